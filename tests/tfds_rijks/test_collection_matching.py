"""Pictures and rows paired by file names, by object numbers in them, and by metadata."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from collections_on_disk import build, draw, records, write_table
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tfds_rijks import build_report
from tfds_rijks.collection import matching, table
from tfds_rijks.errors import UserError


@pytest.mark.parametrize(
  ('name', 'number'),
  [
    ('SK-A-1718', 'SK-A-1718'),
    ('sk_a_1718', 'SK-A-1718'),
    ('SK.A.1718', 'SK-A-1718'),
    ('sk a 1718', 'SK-A-1718'),
    ('SK-A-1718_1', 'SK-A-1718'),
    ('SK-A-1718-a', 'SK-A-1718'),
    ('SK-A-1718(2)', 'SK-A-1718'),
    ('SK-A-1718 (2)', 'SK-A-1718'),
    ('SK-A-1718_verso', 'SK-A-1718'),
    ('SK-A-1718_1_detail', 'SK-A-1718'),
    ('SK-A-1718_detail02', 'SK-A-1718'),
    ('SK-A-1718 voorzijde', 'SK-A-1718'),
    ('SK-A-1718-Rückseite_2', 'SK-A-1718'),
    ('SK-A-1718_thumb', None),
    ('0012', '0012'),
    ('0012_3', '0012'),
    ('BK-NM-13348-A', 'BK-NM-13348-A'),
    ('BK-NM-13348-A_2', 'BK-NM-13348-A'),
    ('BK-NM-13348-B', 'BK-NM-13348'),
    ('1.2', '1.2'),
    ('12', None),
    ('SK-A-17180', None),
    ('portrait', None),
  ],
)
def test_file_names(name, number):
  numbers = ['SK-A-1718', '0012', 'BK-NM-13348', 'BK-NM-13348-A', '1.2']
  content = table.Table(Path('t.csv'), ['nr'], [[one] for one in numbers], [2, 3, 4, 5, 6])
  by = matching.rule(content, 'stem', id_column='NR', image_column=None)
  found = matching.rows_of(content, [f'x/{name}.jpg'], by, folder=Path())
  assert [numbers[i] for i in found[f'x/{name}.jpg']] == ([number] if number else [])


@pytest.mark.parametrize(
  ('names', 'pictures', 'found'),
  [
    (['b\\2.png', './é.png'], ['b/2.png', 'e\u0301.png'], [[0], [1]]),
    (['A.JPG', 'a.jpg'], ['a.jpg', 'A.JPG'], [[1], [0]]),
    (['A.JPG'], ['a.jpg'], [[0]]),
    (['Sub/A.jpg'], ['x/a.JPG', 'y/b.jpg'], [[0], []]),
    (['/mnt/scans/1.jpg'], ['x/1.jpg'], [[0]]),
    (['1.jpg'], ['x/1.jpg', 'y/1.jpg'], [[], []]),
    (['a/1.jpg', 'b/1.jpg'], ['b/1.jpg'], [[1]]),
    (['a/1.jpg', 'b/1.jpg'], ['c/1.jpg'], [[0, 1]]),
    (['a.jpg', 'a.jpg', ''], ['a.jpg'], [[0, 1]]),
  ],
)
def test_paths_and_names_of_files(names, pictures, found):
  assert list(matching.by_path(names, pictures).values()) == found


def test_numbers_that_differ_only_in_case_are_refused(tmp_path):
  draw(tmp_path / 's' / 'a.png', 0)
  write_table(tmp_path / 's' / 'metadata.csv', ['nr', 'artist'], [('a', 'one'), ('A', 'two')])
  with pytest.raises(UserError, match=r"line 3: 'A' differs from 'a' of line 2 only in case"):
    build(tmp_path / 's', match='stem', id_column='nr')


XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:dc="http://purl.org/dc/elements/1.1/"
xmlns:p="http://ns.adobe.com/photoshop/1.0/"><rdf:Description p:TransmissionReference="{0}">
<dc:identifier>{0}</dc:identifier><dc:title><rdf:Alt><rdf:li xml:lang="x">{0}</rdf:li></rdf:Alt>
</dc:title></rdf:Description></rdf:RDF></x:xmpmeta>"""


def with_metadata(path: Path, seed: int, number: str) -> None:
  packet = XMP.format(number).encode()
  options = {'.png': {}, '.tif': {'tiffinfo': {700: packet}}}
  draw(path, seed, **options.get(path.suffix, {'xmp': packet}))
  if path.suffix == '.jpg':
    field = b'\x1c\2\5' + struct.pack('>H', len(number)) + number.encode()
    record = b'Photoshop 3.0\0' + b'8BIM\4\4\0\0' + struct.pack('>I', len(field)) + field
    data = path.read_bytes()
    start = data[:2] + b'\xff\xed' + struct.pack('>H', len(record) + 2) + record
    path.write_bytes(start + data[2:])
  elif path.suffix == '.png':
    about = PngInfo()
    about.add_itxt('XML:com.adobe.xmp', XMP.format(number), zip=True)
    Image.open(path).save(path, pnginfo=about)


@pytest.mark.parametrize(
  'match',
  [
    *('xmp:dc:identifier', 'xmp:Title', 'xmp:photoshop:TransmissionReference'),
    *('iptc:ObjectName', 'iptc:2:05'),
  ],
)
def test_numbers_inside_the_files(tmp_path, match):
  endings = ['jpg', 'jpg', 'png', 'webp', 'tif'] if match.startswith('xmp') else ['jpg', 'jpg']
  for i, ending in enumerate(endings):
    with_metadata(tmp_path / 's' / f'IMG_{i}.{ending}', i, f'SK-A-{i // 2}')
  draw(tmp_path / 's' / 'IMG_9.jpg', 9)
  (tmp_path / 's' / 'IMG_8.jpg').write_bytes(b'\xff\xd8 no')
  rows = [(f'sk.a.{i}', 'Ann') for i in range(3)]
  write_table(tmp_path / 's' / 'metadata.csv', ['Id', 'artist'], rows)
  found = records(build(tmp_path / 's', match=match))
  assert [r['object_number'] for r in found] == [f'sk.a.{i // 2}' for i in range(len(endings))]
  # Without a table, as `flaxart predict` may be: the numbers as they are there.
  names = [f'IMG_{i}.{ending}' for i, ending in enumerate(endings)]
  without = matching.without_table([*names, 'IMG_9.jpg', 'IMG_8.jpg'], match, folder=tmp_path / 's')
  assert without == {name: f'SK-A-{i // 2}' for i, name in enumerate(names)}


@pytest.mark.parametrize(
  ('match', 'message'),
  [
    ('iptc:Nothing', "no field 'Nothing' of IPTC is known"),
    ('xmp:no:Title', "no namespace 'no' of XMP is known"),
    ('exif:x', 'no such rule; expected path, stem, iptc:ObjectName or xmp:dc:identifier'),
    ('iptc:', 'no such rule'),
    ('iptc:Headline', 'no picture below .* has a number from the column objectnummer'),
  ],
)
def test_missing_fields(export, match, message):
  with pytest.raises(UserError, match=message):
    build(export, match=match, id_column='objectnummer')


def test_another_column_names_the_files(tmp_path):
  source = tmp_path / 's'
  for i, name in enumerate(
    ['thumbs/a_8.jpg', 'x/b_8.JPG', '@eaDir/b_8.jpg/SYNO.jpg', '.t/b_8.JPG']
  ):
    draw(source / name, i)
  rows = [('1', 'A/A00/a_8.jpg', 'Ann'), ('2', 'B/b_8.jpg', 'Bob')]
  write_table(source / 'metadata.csv', ['id', 'thumbnailUrl', 'artist'], rows)
  with pytest.raises(UserError, match=r'holds such names: --image_column=thumbnailU'):
    build(source)
  with pytest.raises(UserError, match=r"no column 'thumbnail'; did you mean 'thumbnailUrl'\?"):
    build(source, image_column='thumbnail')
  path = build(source, image_column='THUMBNAILURL', max_unreadable='1')
  assert [(r['image'] != b'', r['object_number']) for r in records(path)] == [(True, '2')]


@pytest.fixture
def export(tmp_path):
  """A museum's export: no column with files, and files with realistic names."""
  names = ['SK-A-1.jpg', 'sk_a_2_1.jpg', 'sk_a_2_2.jpg', 'sub/SK A 3.png', 'twice.jpg', 'loose.jpg']
  for i, name in enumerate(names):
    draw(tmp_path / 's' / name, i)
  write_table(
    tmp_path / 's' / 'metadata.csv',
    ['objectnummer', 'maker'],
    [
      ('SK-A-1', 'Ann'),
      ('SK-A-2', 'Bob'),
      ('SK-A-3', 'Ann'),
      ('SK-A-4', 'Bob'),
      ('Twice', 'Ann'),
      ('Twice', 'Bob'),
    ],
    delimiter=';',
    encoding='cp1252',
  )
  return tmp_path / 's'


def test_an_export_is_joined_and_the_rest_is_listed(export, capsys):
  path = build(export, match='stem', id_column='objectnummer')
  assert [(r['object_number'], r['group'], r['maker']) for r in records(path)] == [
    ('SK-A-1', 'SK-A-1', 'Ann'),
    ('SK-A-2', 'SK-A-2', 'Bob'),
    ('SK-A-2', 'SK-A-2', 'Bob'),
    ('SK-A-3', 'SK-A-3', 'Ann'),
  ]
  assert build_report.read(path)['matching'] == {
    'pictures': 4,
    'objects': 3,
    'pictures_without_row': ['loose.jpg'],
    'rows_without_picture': ['SK-A-4', 'Twice', 'Twice'],
    'ambiguous': ['twice.jpg'],
  }
  out = capsys.readouterr().out
  assert out.index('sk_a_2_1.jpg  ->  SK-A-2') < out.index('pictures; about')  # before it writes
  assert '1 picture without a row: loose.jpg' in out
  assert '1 picture whose number is in several rows: twice.jpg' in out


def test_ten_examples_are_shown(tmp_path, capsys):
  for i in range(55):
    draw(tmp_path / 's' / f'X-{i}.png', i)
  write_table(
    tmp_path / 's' / 'metadata.csv', ['id', 'artist'], [(f'X.{i}', 'Ann') for i in range(55)]
  )
  build(tmp_path / 's', match='stem')
  assert capsys.readouterr().out.count('  ->  ') == 10


def test_no_match_at_all(export):
  for path in export.rglob('*.*g'):
    path.rename(path.with_name(f'IMG{path.name}'))
  with pytest.raises(UserError, match=r"no file name .*such as 'SK-A-1'.*check --id_column"):
    build(export, match='stem', id_column='objectnummer')


def test_the_column_must_be_named(export):
  with pytest.raises(UserError, match=r'--match=stem: metadata.csv has no column object_number'):
    build(export, match='stem')
