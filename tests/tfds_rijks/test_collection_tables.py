"""Tables of every kind and encoding, and roles of columns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from collections_on_disk import build, draw, records, write_collection, write_table
from hypothesis import given, settings
from hypothesis import strategies as st
from workbooks import KINDS, Page, write

from tfds_rijks.collection import table
from tfds_rijks.errors import UserError

CASES = Path(__file__).parents[2] / '../shared/cases'
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


def test_a_guessed_encoding_is_reported(source, capsys):
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


@pytest.mark.parametrize('kind', KINDS)
def test_workbooks(source, kind):
  write(source / f'metadata.{kind}', Page('x', [COLUMNS, *ROWS]))
  check(build(source))


@pytest.mark.parametrize('kind', ['csv', *KINDS])
def test_a_failed_formula_is_not_a_class(source, kind):
  path, rows = source / f'metadata.{kind}', [list(row) for row in ROWS]

  def save():
    if kind == 'csv':
      write_table(path, COLUMNS, rows)
      return
    write(path, Page('x', [COLUMNS, *rows]))

  rows[1][1] = '#N/A'
  save()
  assert [r['artist'] for r in records(build(source))].count(None) == 1 + sum(
    not row[1] for row in ROWS
  )
  for broken in ('#REF!', '#VERW!', '#DIV/0!', '#NAAM?', '#ÜBERLAUF!', 'Err:502', '#####'):
    rows[2][1] = broken
    save()
    with pytest.raises(UserError, match=r"line 4: 'artist' is .*, which a spreadsheet shows"):
      build(source)
  build(source, labels='material', overwrite=True)  # unused cells may be broken


def test_a_missing_reader_says_what_to_install(source, monkeypatch):
  (source / 'metadata.parquet').write_bytes(b'PK')
  monkeypatch.setitem(__import__('sys').modules, 'pyarrow', None)
  with pytest.raises(UserError, match='pip install pyarrow'):
    build(source)


@pytest.mark.parametrize(
  ('text', 'columns'),
  [
    ('"image";"artist (last, first, role)";type\na;x;y', 'image/artist (last, first, role)/type'),
    ('image,"stone; wood; x; y",type\na,b,c', 'image/stone; wood; x; y/type'),
    (
      'image;artist (last, first);type\na;Steen, J;b\nc;Hals, F;d',
      'image/artist (last, first)/type',
    ),
    ('image|artist\na|b', 'image/artist'),
    ('image,tags\na,b|c', 'image/tags'),
    ('nr\n1;2', 'nr'),
  ],
)
def test_the_delimiter_is_counted_outside_quotes(tmp_path, text, columns):
  (tmp_path / 't.csv').write_text(text)
  assert '/'.join(table.read(tmp_path / 't.csv').columns) == columns


def test_a_cell_of_any_length(tmp_path):
  path = write_table(tmp_path / 't.csv', ['image', 'text'], [('a.png', 'x' * 200_000)])
  assert len(table.read(path).rows[0][1]) == 200_000


def test_cases(tmp_path):
  for case, columns in (
    ('22', ['image', 'artist (last, first, prefix, role)', 'type']),
    ('23', ['image', 'artist', 'text']),
  ):
    found = next(CASES.glob(f'{case}-*/metadata.csv'), None)
    if found is None:
      pytest.skip('the inputs are in ../shared/cases')
    assert table.read(found).columns == columns


def test_two_tables_need_a_choice(source):
  write_table(source / 'metadata.csv', COLUMNS, ROWS)
  write_table(source / 'metadata.tsv', COLUMNS, ROWS, delimiter='\t')
  with pytest.raises(UserError, match=r'metadata\.csv and metadata\.tsv; expected one table'):
    build(source)
  check(build(source, metadata='metadata.tsv'))


def test_a_missing_table_or_one_outside_the_folder(source):
  write_table(source.parent / 'out.csv', COLUMNS, ROWS)
  with pytest.raises(UserError, match=r'--metadata=no\.csv: no such file'):
    build(source, metadata='no.csv')
  for name in ('../out.csv', f'{source.parent}/out.csv'):
    with pytest.raises(UserError, match='is outside'):
      build(source, metadata=name)


def test_the_name_of_the_table_in_any_case(source):
  write_table(source / 'Metadata.CSV', COLUMNS, ROWS)
  check(build(source))


def test_a_table_of_another_name_is_not_skipped(tmp_path):
  source = tmp_path / 's'
  for i in range(12):
    draw(source / 'AB'[i % 2] / f'{i}.png', i)
  write_table(source / 'objects.csv', ['image', 'artist'], [('A/0.png', 'Ann')])
  with pytest.raises(UserError, match=r'has objects\.csv and no metadata\.csv; .*=objects\.csv'):
    build(source)
  assert {r['label'] for r in records(build(source, metadata='none'))} == {'A', 'B'}
  (source / 'objects.csv').rename(source / 'README.txt')
  assert len(records(build(source, overwrite=True))) == 12


def test_columns_without_a_name_are_left_out(source):
  rows = [(i, *row, '', '') for i, row in enumerate(ROWS)]  # pandas's index; Excel's empty columns
  write_table(source / 'metadata.csv', ['', *COLUMNS, '', ''], rows)
  check(build(source))


@pytest.mark.parametrize('before', ['sep=;\n', 'sep=;\r\n', '\n', '\r\n  \n'])
def test_lines_before_the_header(source, before):
  path = write_table(source / 'metadata.csv', COLUMNS, ROWS, delimiter=';')
  path.write_bytes(before.encode() + path.read_bytes())
  check(build(source))


def test_a_separator_that_excel_was_told(source):
  columns, rows = [*COLUMNS, 'a,b,c,d,e'], [[*row, ''] for row in ROWS]
  path = write_table(source / 'metadata.csv', columns, rows, delimiter=';')
  path.write_bytes(b'sep=;\n' + path.read_bytes())
  check(build(source, labels='artist,material', float_columns='year'))


def test_a_folder_per_class(tmp_path):
  for i in range(12):
    draw(tmp_path / 's' / ['Ann', 'Bob Ü'][i % 2] / 'sub' / f'{i}.png', i)
  found = records(build(tmp_path / 's'))
  assert [r['label'] for r in found] == ['Ann'] * 6 + ['Bob Ü'] * 6
  assert found[0]['object_number'] == 'Ann/sub/0.png'


def test_names_of_folders_are_not_read_as_cells(tmp_path):
  names = ['glass|silver', ' a: b', 'http://x', 'c:d', 'back\\slash', '#REF!']
  for i in range(2 * len(names)):
    draw(tmp_path / 's' / names[i % len(names)] / f'{i}.png', i)
  found = records(build(tmp_path / 's'))
  assert len(found) == 2 * len(names)
  assert {r['label'] for r in found} == {
    'glass|silver',
    'a: b',
    'http:',  # the slash makes a subfolder
    'c:d',
    'back\\slash',
    '#REF!',
  }


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


def test_roles_and_years_in_any_spelling(tmp_path):
  columns = ['File name', 'Object number', 'Artist', 'Year_Begin', 'Year end']
  rows = [('a.png', 'RP-1', 'Ann', 1600, 1650), ('b.png', 'RP-2', 'Bob', 1700, '')]
  found = records(build(write_collection(tmp_path / 's', columns, rows)))
  assert [(r['object_number'], r['year'], r['year_begin']) for r in found] == [
    ('RP-1', 1625, 1600),
    ('RP-2', 1700, 1700),
  ]
  assert 'File_name' not in found[0]


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
def test_tables_are_read_as_written(tmp_path_factory, rows, delimiter, encoding):
  rows = [(a or 'x', b) for a, b in rows if (a or 'x').strip() or b.strip()]
  path = tmp_path_factory.getbasetemp() / 'round.csv'
  write_table(path, ['image', 'artist'], rows, delimiter=delimiter, encoding=encoding)
  assert [tuple(row) for row in table.read(path).rows] == rows
