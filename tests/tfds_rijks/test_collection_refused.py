"""What the builder `collection` refuses, by file and line, or counts as unreadable."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from collections_on_disk import VERSION, build, draw, records, simple, write_collection
from PIL import Image

from tfds_rijks import pictures
from tfds_rijks.errors import UserError


@pytest.fixture
def source(tmp_path):
  for i, name in enumerate(('a.png', 'b.png', 'c.png')):
    draw(tmp_path / 's' / name, i)
  return tmp_path / 's'


BAD_TABLES = {
  'no image column': ('file,artist\na.png,Ann\n', r'columns file, artist; expected a column image'),
  'empty file': ('', 'no rows'),
  'header only': ('image,artist\n', 'the table has no rows'),
  'a column twice': ('image,artist,artist\na.png,Ann,Bob\n', "'artist' occurs twice"),
  'a cell too many': ('image,artist\na.png,Steen, Jan\n', r'line 2 has 3 cells, the header has 2'),
  'a cell too few': ('image,artist\n\na.png\n', r'line 3 has 1 cells'),
  'an open quote': ('image,artist\na.png,"Ann\n', r'line 2'),
  'zero bytes': ('image,artist\na\0.png,Ann\n' + ' ' * 100, 'holds zero bytes, expected text'),
  'a picture twice': (
    'image,artist\na.png,Ann\nb.png,Ann\n./a.png,Bob\n',
    r'line 4: a\.png is already in line 2',
  ),
  'a path upwards': (
    'image,artist\n../a.png,Ann\n',
    r'line 2: image is \.\./a\.png, which is out',
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
      r'line 3 is not UTF-8 like the rest .b.\\xfc',
    ),
    ('metadata.jsonl', b'{"image": "a.png"}\n[1]\n', 'line 2 is a list; expected an object'),
    ('metadata.jsonl', b'{"image": "a.png"}\n{"image": \n', 'line 2 is not JSON'),
    ('metadata.jsonl', b'[' * 100_000, 'line 1 is not JSON'),
    ('metadata.jsonl', b'{"image": "a.png", "artist": "\\ud83d"}\n', 'half a character'),
    ('metadata.jsonl', b'{"image": {"bytes": ""}}\n', "'image' is a dict"),
    ('metadata.jsonl', b'{"image": [["a"]]}\n', 'a list inside a list'),
    ('metadata.jsonl', b'{"image": ["a.png", "b.png"], "artist": "Ann"}\n', 'several pictures'),
    ('metadata.parquet', b'PAR1 no', 'not a readable Parquet file'),
    ('table.docx', b'', 'unknown kind of table'),
  ],
)
def test_files_that_are_not_tables(source, name, data, message):
  if name.endswith('parquet'):
    pytest.importorskip('pyarrow')
  (source / name).write_bytes(data)
  with pytest.raises(UserError, match=message):
    build(source, metadata=name)


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
  'a match': ({'match': 'name'}, 'no such rule; expected path, stem, iptc:ObjectName or xmp'),
  'a sheet of no workbook': ({'sheet': 'x'}, r'--sheet=x: .*metadata\.csv has no sheets'),
  'a column in two roles': (
    {'labels': 'type', 'text': 'Type'},
    '--labels and --text both name type',
  ),
  'a column almost named': ({'labels': 'artits'}, "no column 'artits'; did you mean 'artist'"),
  'an empty separator': ({'multi_value_separator': ''}, 'expected a character'),
  'fractions': ({'fractions': '0.8,0.3,0.1'}, 'sum to 1'),
  'two fractions': ({'fractions': '0.8,0.2'}, 'expected three shares'),
  'an unknown option': ({'sise': 3}, 'sise: not an option of collection'),
  'a budget': ({'max_unreadable': 'many'}, "--max_unreadable: found 'many'"),
  'a budget of no size': ({'max_unreadable': 'nan%'}, "--max_unreadable: found 'nan%'"),
  'a budget without end': ({'max_unreadable': 'inf'}, "--max_unreadable: found 'inf'"),
  'fractions that are not numbers': ({'fractions': 'nan,0.5,0.5'}, 'sum to 1'),
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


def test_a_file_name_that_is_not_utf8(tmp_path):
  source = simple(tmp_path / 's', 6)
  (source / '00.png').rename(os.fsdecode(os.fsencode(source) + b'/K\xfcnstler.png'))
  (tmp_path / 's' / 'old').mkdir()
  for folder in (b'', b'/old'):  # other files do not matter
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
  assert not (source.parent / 'prepared' / 'collection' / VERSION).exists()
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
  with pytest.raises(UserError, match='no class of type has'):
    build(source)


def test_a_split_column_that_separates_equal_pictures(tmp_path):
  rows = [('a.png', 'Ann', 'train'), ('b.png', 'Ann', 'test'), ('c.png', 'Ann', 'test')]
  source = write_collection(tmp_path / 's', ['image', 'artist', 'split'], rows)
  draw(source / 'b.png', 0)  # the pixels of a.png
  with pytest.raises(UserError, match=r'first: a\.png \(train\) and b\.png \(test\), which have'):
    build(source)


def test_folders_with_pictures_beside_them(tmp_path):
  draw(tmp_path / 's' / 'Ann' / 'a.png', 0)
  draw(tmp_path / 's' / 'loose.png', 1)
  with pytest.raises(UserError, match=r'1 picture is beside the folders \(such as loose\.png\)'):
    build(tmp_path / 's')


def test_pictures_without_table_and_without_folders(tmp_path):
  draw(tmp_path / 's' / 'a.png', 0)
  with pytest.raises(UserError, match=r'has no metadata\.csv and no pictures in subfolders'):
    build(tmp_path / 's')
