"""Tables of every kind and encoding, and what is refused about them, by file and line."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import pytest
from collections_on_disk import build, draw, records, simple, write_collection, write_table
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tfds_rijks import pictures
from tfds_rijks.collection import table
from tfds_rijks.errors import UserError

ROWS = [
  ('a.png', 'Dürer', 'hout|ijzer', 1500),
  ('b.png', 'Élise', '', 1600),
  ('c.png', 'Dürer', 'hout', 1700),
]
COLUMNS = ['image', 'artist', 'material', 'year']


@pytest.fixture
def source(tmp_path):
  for i, row in enumerate(ROWS):
    draw(tmp_path / 's' / row[0], i)
  return tmp_path / 's'


def check(path) -> None:
  found = [(r['object_number'], r['artist'], r['material'], r['year']) for r in records(path)]
  assert found == [
    ('a.png', 'Dürer', ['hout', 'ijzer'], 1500),
    ('b.png', 'Élise', [], 1600),
    ('c.png', 'Dürer', ['hout'], 1700),
  ]


@pytest.mark.parametrize(
  'encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'utf-16-le', 'utf-16-be', 'cp1252']
)
@pytest.mark.parametrize(
  ('name', 'delimiter'),
  [('metadata.csv', ','), ('metadata.csv', ';'), ('metadata.csv', '\t'), ('metadata.tsv', '\t')],
)
def test_delimited(source, encoding, name, delimiter):
  write_table(source / name, COLUMNS, ROWS, delimiter=delimiter, encoding=encoding)
  check(build(source))


def test_a_guessed_encoding_is_told(source, capsys):
  # A French quotation with hard blanks, which by itself would be a letter of UTF-8.
  rows = [*ROWS[:2], ('c.png', 'Dürer', '« Né\xa0»', 1700)]
  write_table(source / 'metadata.csv', COLUMNS, rows, encoding='cp1252')
  assert [r['artist'] for r in records(build(source))] == ['Dürer', 'Élise', 'Dürer']
  assert 'metadata.csv: not UTF-8, and read as Windows-1252' in capsys.readouterr().out


def test_json_lines(source):
  lines = [
    {'image': a, 'artist': b, 'material': c.split('|') if c else None, 'year': d}
    for a, b, c, d in ROWS
  ]
  (source / 'metadata.jsonl').write_text('\n'.join(json.dumps(line) for line in lines) + '\n\n')
  check(build(source))


def test_parquet(source):
  pyarrow = pytest.importorskip('pyarrow')
  from pyarrow import parquet

  parquet.write_table(
    pyarrow.table(
      {
        'image': [r[0] for r in ROWS],
        'artist': [r[1] for r in ROWS],
        'material': [r[2].split('|') if r[2] else [] for r in ROWS],
        'year': [float(r[3]) for r in ROWS],
      }
    ),
    source / 'metadata.parquet',
  )
  check(build(source))


def test_excel(source):
  openpyxl = pytest.importorskip('openpyxl')
  book = openpyxl.Workbook()
  for row in [COLUMNS, *ROWS]:
    book.active.append(row)
  book.save(source / 'metadata.xlsx')
  check(build(source))


def test_an_excel_file_that_gives_a_wrong_size(source):
  openpyxl = pytest.importorskip('openpyxl')
  book = openpyxl.Workbook()
  for row in [COLUMNS, *ROWS]:
    book.active.append(row)
  book.save(source / 'right.xlsx')
  with (
    zipfile.ZipFile(source / 'right.xlsx') as right,
    zipfile.ZipFile(source / 'metadata.xlsx', 'w') as wrong,
  ):
    for name in right.namelist():
      data = right.read(name)
      wrong.writestr(name, data.replace(b'ref="A1:D4"', b'ref="A1:B2"'))
      assert name != 'xl/worksheets/sheet1.xml' or b'<dimension ref="A1:D4"' in data
  (source / 'right.xlsx').unlink()
  check(build(source))


@pytest.mark.parametrize(
  ('name', 'package'), [('metadata.parquet', 'pyarrow'), ('metadata.xlsx', 'openpyxl')]
)
def test_a_missing_reader_says_what_to_install(source, monkeypatch, name, package):
  (source / name).write_bytes(b'PK')
  monkeypatch.setitem(__import__('sys').modules, package, None)
  with pytest.raises(UserError, match=f'pip install {package}'):
    build(source)


def test_two_tables_need_a_choice(source):
  write_table(source / 'metadata.csv', COLUMNS, ROWS)
  write_table(source / 'metadata.tsv', COLUMNS, ROWS, delimiter='\t')
  with pytest.raises(UserError, match=r'metadata\.csv and metadata\.tsv; expected one table'):
    build(source)
  check(build(source, metadata='metadata.tsv'))


def test_a_table_that_is_not_there_or_not_in_the_folder(source):
  write_table(source.parent / 'out.csv', COLUMNS, ROWS)
  with pytest.raises(UserError, match=r'--metadata=no\.csv: no such file'):
    build(source, metadata='no.csv')
  for name in ('../out.csv', f'{source.parent}/out.csv'):
    with pytest.raises(UserError, match='lies outside'):
      build(source, metadata=name)


def test_the_name_of_the_table_in_any_case(source):
  write_table(source / 'Metadata.CSV', COLUMNS, ROWS)
  check(build(source))


def test_a_table_of_another_name_is_not_passed_over(tmp_path):
  source = tmp_path / 's'
  for i in range(12):
    draw(source / 'AB'[i % 2] / f'{i}.png', i)
  write_table(source / 'objects.csv', ['image', 'artist'], [('A/0.png', 'Ann')])
  with pytest.raises(UserError, match=r'holds objects\.csv and no metadata\.csv; .*=objects\.csv'):
    build(source)
  assert {r['label'] for r in records(build(source, metadata='none'))} == {'A', 'B'}
  (source / 'objects.csv').rename(source / 'README.txt')
  assert len(records(build(source, overwrite=True))) == 12


def test_columns_without_a_name_are_left_out(source):
  rows = [(i, *row, '', '') for i, row in enumerate(ROWS)]  # pandas's index; Excel's empty columns
  write_table(source / 'metadata.csv', ['', *COLUMNS, '', ''], rows)
  check(build(source))


@pytest.mark.parametrize('before', ['sep=;\n', 'sep=;\r\n', '\n', '\r\n  \n'])
def test_what_stands_before_the_header(source, before):
  path = write_table(source / 'metadata.csv', COLUMNS, ROWS, delimiter=';')
  path.write_bytes(before.encode() + path.read_bytes())
  check(build(source))


def test_a_separator_that_excel_was_told(source):
  rows = [[str(cell).replace('|', '|') for cell in row] for row in ROWS]
  path = write_table(
    source / 'metadata.csv', [*COLUMNS, 'a,b,c,d,e'], [[*r, ''] for r in rows], delimiter=';'
  )
  path.write_bytes(b'sep=;\n' + path.read_bytes())
  check(build(source, labels='artist,material', float_columns='year'))


def test_a_folder_per_class(tmp_path):
  for i in range(12):
    draw(tmp_path / 's' / ['Ann', 'Bob Ü'][i % 2] / 'sub' / f'{i}.png', i)
  found = records(build(tmp_path / 's'))
  assert [r['label'] for r in found] == ['Ann'] * 6 + ['Bob Ü'] * 6
  assert found[0]['object_number'] == 'Ann/sub/0.png'


def test_a_folder_per_split_and_class(tmp_path):
  for i in range(12):
    draw(tmp_path / 's' / ['train', 'valid', 'test'][i % 3] / ['Ann', 'Bob'][i % 2] / f'{i}.png', i)
  found = records(build(tmp_path / 's'))
  assert {(r['split'], r['object_number'].split('/')[0]) for r in found} == {
    ('train', 'train'),
    ('val', 'valid'),
    ('test', 'test'),
  }
  assert {r['label'] for r in found} == {'Ann', 'Bob'}


def test_huggingface_column_name(source):
  write_table(source / 'metadata.csv', ['file_name', *COLUMNS[1:]], ROWS)
  check(build(source))


def test_paths_of_windows_and_of_another_normal_form(tmp_path):
  draw(tmp_path / 's' / 'sub' / 'a.png', 0)
  draw(tmp_path / 's' / 'Du\u0308rer.png', 1)
  write_table(
    tmp_path / 's' / 'metadata.csv',
    ['image', 'artist'],
    [('sub\\a.png', 'Ann'), ('D\u00fcrer.png', 'Ann')],
  )
  assert len(records(build(tmp_path / 's'))) == 2


def test_cells_in_quotes_may_hold_delimiters_and_line_ends(tmp_path):
  source = write_collection(
    tmp_path / 's', ['image', 'artist'], [('a.png', 'Steen, Jan'), ('b.png', 'Steen,\nJan')]
  )
  assert [r['artist'] for r in records(build(source))] == ['Steen, Jan', 'Steen, Jan']


def test_rows_without_picture_are_counted(tmp_path):
  source = write_collection(
    tmp_path / 's', ['image', 'artist'], [('a.png', 'Ann'), ('b.png', 'Ann')]
  )
  with (source / 'metadata.csv').open('a') as file:
    file.write(',Bob\n\n')
  path = build(source)
  assert json.loads((path / 'build_report.json').read_text())['rows_without_picture'] == 1


BAD_TABLES = {
  'no image column': ('file,artist\na.png,Ann\n', r'columns file, artist; expected a column image'),
  'empty file': ('', 'no rows'),
  'header only': ('image,artist\n', 'the table has no rows'),
  'a column twice': ('image,artist,artist\na.png,Ann,Bob\n', "'artist' stands twice"),
  'a cell too many': ('image,artist\na.png,Steen, Jan\n', r'line 2 has 3 cells, the header has 2'),
  'a cell too few': ('image,artist\n\na.png\n', r'line 3 has 1 cells'),
  'an open quote': ('image,artist\na.png,"Ann\n', r'line 2'),
  'zero bytes': ('image,artist\na\0.png,Ann\n' + ' ' * 100, 'holds zero bytes; expected text'),
  'a picture twice': (
    'image,artist\na.png,Ann\nb.png,Ann\n./a.png,Bob\n',
    r'line 4: a\.png stands in line 2 already',
  ),
  'a path upwards': (
    'image,artist\n../a.png,Ann\n',
    r'line 2: image is \.\./a\.png, which lies out',
  ),
  'a hidden path upwards': ('image,artist\nx/../../a.png,Ann\n', 'outside the folder'),
  'a description for a path': (f'image,artist\n{"x" * 300}.png,Ann\n', 'longer than any file name'),
  'an absolute path': ('image,artist\n/etc/passwd,Ann\n', 'outside the folder'),
  'a drive': ('image,artist\nC:\\a.png,Ann\n', 'outside the folder'),
  'a web address': ('image,artist\nhttps://x.org/a.png,Ann\n', 'web address .*download'),
  'no picture named': ('image,artist\n,Ann\n', 'no row has a picture'),
  'an unknown split': ('image,artist,split\na.png,Ann,trian\n', r"line 2: split is 'trian'"),
  'no label': ('image,artist\na.png,\n', 'no column has a value on 1 or more pictures'),
  'two columns, one name': ('image,art ist,art-ist\na.png,Ann,Bob\n', 'same feature name twice'),
}


@pytest.mark.parametrize('case', BAD_TABLES)
def test_bad_tables_are_refused_by_file_and_line(source, case):
  text, message = BAD_TABLES[case]
  (source / 'metadata.csv').write_text(text)
  with pytest.raises(UserError, match=message) as error:
    build(source)
  assert str(source) in str(error.value) or '--' in str(error.value)
  assert '\n' not in str(error.value)
  assert not (source.parent / 'prepared').exists()


@pytest.mark.parametrize(
  ('name', 'data', 'message'),
  [
    ('metadata.csv', b'image,artist\na.png,\x81\x8d\n', 'neither UTF-8 nor Windows-1252'),
    ('metadata.csv', b'\xff\xfei\0m\0a', 'broken utf-16'),
    (
      'metadata.csv',
      'image,artist\na.png,Jan Dürer\nb.png,Éva D'.encode() + b'\xfcrer\n',
      r'line 3 is not UTF-8 as the rest is .b.\\xfc',
    ),
    ('metadata.jsonl', b'{"image": "a.png"}\n[1]\n', 'line 2 is a list; expected an object'),
    ('metadata.jsonl', b'{"image": "a.png"}\n{"image": \n', 'line 2 is not JSON'),
    ('metadata.jsonl', b'[' * 100_000, 'line 1 is not JSON'),
    ('metadata.jsonl', b'{"image": "a.png", "artist": "\\ud83d"}\n', 'half a character'),
    ('metadata.jsonl', b'{"image": {"bytes": ""}}\n', "'image' is a dict"),
    ('metadata.jsonl', b'{"image": [["a"]]}\n', 'a list inside a list'),
    ('metadata.jsonl', b'{"image": ["a.png", "b.png"], "artist": "Ann"}\n', 'several pictures'),
    ('metadata.parquet', b'PAR1 no', 'not a Parquet file'),
    ('table.docx', b'', 'unknown kind of table'),
  ],
)
def test_files_that_are_no_tables(source, name, data, message):
  if name.endswith('parquet'):
    pytest.importorskip('pyarrow')
  (source / name).write_bytes(data)
  with pytest.raises(UserError, match=message):
    build(source, metadata=name)


def test_an_excel_file_that_is_none(source):
  pytest.importorskip('openpyxl')
  (source / 'metadata.xlsx').write_bytes(b'PK no')
  with pytest.raises(UserError, match='not an Excel file'):
    build(source)


BAD_OPTIONS = {
  'a label column that is not there': (
    {'labels': 'artist,colour'},
    "no column 'colour'; its columns",
  ),
  'an id column that is not there': ({'id_column': 'nr'}, "--id_column: .* no column 'nr'"),
  'a float column that is not there': ({'float_columns': 'nr'}, "no column 'nr'"),
  'a rare label that was asked for': (
    {'labels': 'artist', 'min_per_class': 50},
    'artist has no value on 50 or more pictures',
  ),
  'everything rare': ({'min_per_class': 50}, 'no column has a value on 50'),
  'a match': ({'match': 'name'}, 'expected path or stem'),
  'an empty separator': ({'multi_value_separator': ''}, 'expected a character'),
  'fractions': ({'fractions': '0.8,0.3,0.1'}, 'sum to 1'),
  'two fractions': ({'fractions': '0.8,0.2'}, 'expected three shares'),
  'an unknown option': ({'sise': 3}, 'sise: not an option of collection'),
  'a budget': ({'max_unreadable': 'many'}, "--max_unreadable: found 'many'"),
  'a budget of no size': ({'max_unreadable': 'nan%'}, "--max_unreadable: found 'nan%'"),
  'a budget without end': ({'max_unreadable': 'inf'}, "--max_unreadable: found 'inf'"),
  'fractions that are no numbers': ({'fractions': 'nan,0.5,0.5'}, 'sum to 1'),
  'a label named as what every record has': ({'labels': 'image,artist'}, 'the feature image'),
  'no processes': ({'processes': 0}, '--processes=0'),
}


@pytest.mark.parametrize('case', BAD_OPTIONS)
def test_bad_options(tmp_path, case):
  options, message = BAD_OPTIONS[case]
  with pytest.raises(UserError, match=message):
    build(simple(tmp_path / 's', 6), **options)


def test_a_bad_budget_is_refused_before_a_picture_is_read(tmp_path, monkeypatch):
  monkeypatch.setattr(pictures, 'read_all', None)
  with pytest.raises(UserError, match='--max_unreadable'):
    build(simple(tmp_path / 's', 6), max_unreadable='many')


def test_roles_and_years_in_any_spelling(tmp_path):
  columns = ['File name', 'Object number', 'Artist', 'Year_Begin', 'Year end']
  rows = [('a.png', 'RP-1', 'Ann', 1600, 1650), ('b.png', 'RP-2', 'Bob', 1700, '')]
  found = records(build(write_collection(tmp_path / 's', columns, rows)))
  assert [(r['object_number'], r['year'], r['year_begin']) for r in found] == [
    ('RP-1', 1625, 1600),
    ('RP-2', 1700, 1700),
  ]
  assert 'File_name' not in found[0]


def test_a_file_name_that_is_not_utf8(tmp_path):
  source = simple(tmp_path / 's', 6)
  (source / '00.png').rename(os.fsdecode(os.fsencode(source) + b'/K\xfcnstler.png'))
  (tmp_path / 's' / 'old').mkdir()
  for folder in (b'', b'/old'):  # what is no picture of the table is nobody's business
    Path(os.fsdecode(os.fsencode(source) + folder + b'/caf\xe9.txt')).write_text('')
  assert len(records(build(source))) == 5
  with pytest.raises(UserError, match=r'K\\udcfcnstler.* the name is not UTF-8'):
    build(source, match='stem', id_column='image', overwrite=True)
  (source / 'metadata.csv').unlink()
  for picture in source.glob('*.png'):
    picture.rename(source / 'old' / picture.name)
  with pytest.raises(UserError, match='the name is not UTF-8'):
    build(source, overwrite=True)


def test_a_picture_too_long_for_jpeg_is_one_unreadable_picture(tmp_path):
  source = simple(tmp_path / 's', 6)
  Image.new('RGB', (90_000, 20)).save(source / '00.png')
  path = build(source, image_size=16)
  about = json.loads((path / 'build_report.json').read_text())
  assert about['unreadable'] == {'too long and narrow': ['00.png']}


def test_more_unreadable_pictures_than_the_budget(tmp_path):
  source = simple(tmp_path / 's', 30)
  for i in range(5):
    (source / f'{i:02d}.png').write_bytes(b'')
  with pytest.raises(
    UserError,
    match=r'5 of 30 pictures are unreadable \(5 empty file; first: '
    r'00\.png\); expected at most 4;.*--max_unreadable',
  ):
    build(source, max_unreadable='4')
  with pytest.raises(UserError, match='expected at most 3'):
    build(source, max_unreadable='10%')
  assert not (source.parent / 'prepared' / 'collection' / '1.1.0').exists()
  assert len(records(build(source, max_unreadable='5'))) == 25


def test_nothing_readable(tmp_path):
  source = simple(tmp_path / 's', 5)
  for i in range(5):
    (source / f'{i:02d}.png').write_bytes(b'')
  with pytest.raises(UserError, match='no picture could be read'):
    build(source)


def test_a_class_that_only_unreadable_pictures_had(tmp_path):
  source = write_collection(
    tmp_path / 's', ['image', 'artist', 'type'], [('a.png', 'Ann', ''), ('b.png', '', 'bowl')]
  )
  (source / 'b.png').write_bytes(b'')
  with pytest.raises(UserError, match='no class of type is left'):
    build(source)


def test_a_split_column_that_tears_equal_pictures_apart(tmp_path):
  rows = [('a.png', 'Ann', 'train'), ('b.png', 'Ann', 'test'), ('c.png', 'Ann', 'test')]
  source = write_collection(tmp_path / 's', ['image', 'artist', 'split'], rows)
  draw(source / 'b.png', 0)  # the pixels of a.png
  with pytest.raises(UserError, match=r'first: a\.png \(train\) and b\.png \(test\), which have'):
    build(source)


def test_folders_with_pictures_beside_them(tmp_path):
  draw(tmp_path / 's' / 'Ann' / 'a.png', 0)
  draw(tmp_path / 's' / 'loose.png', 1)
  with pytest.raises(UserError, match=r'1 pictures lie beside the folders \(such as loose\.png\)'):
    build(tmp_path / 's')


def test_pictures_without_table_and_without_folders(tmp_path):
  draw(tmp_path / 's' / 'a.png', 0)
  with pytest.raises(UserError, match=r'holds no metadata\.csv and no pictures in subfolders'):
    build(tmp_path / 's')


@settings(max_examples=300, deadline=1000)
@given(st.binary(max_size=400), st.sampled_from(['.csv', '.tsv', '.jsonl']))
def test_any_bytes_are_a_table_or_refused(tmp_path_factory, data, ending):
  path = tmp_path_factory.getbasetemp() / f'fuzz{ending}'
  path.write_bytes(data)
  try:
    found = table.read(path)
  except UserError as error:
    assert str(path) in str(error)
  else:
    assert all(len(row) == len(found.columns) for row in found.rows)
    assert len(found.rows) == len(found.lines) > 0


@settings(max_examples=100, deadline=1000)
@given(
  st.lists(
    st.tuples(
      st.text(st.characters(exclude_categories=['Cs', 'Cc'])),
      st.text(st.characters(exclude_categories=['Cs', 'Cc'])),
    ),
    min_size=1,
  ),
  st.sampled_from(',;\t'),
  st.sampled_from(['utf-8', 'utf-8-sig', 'utf-16']),
)
def test_what_was_written_is_read(tmp_path_factory, rows, delimiter, encoding):
  rows = [(a or 'x', b) for a, b in rows if (a or 'x').strip() or b.strip()]
  path = tmp_path_factory.getbasetemp() / 'round.csv'
  write_table(path, ['image', 'artist'], rows, delimiter=delimiter, encoding=encoding)
  assert [tuple(row) for row in table.read(path).rows] == rows
