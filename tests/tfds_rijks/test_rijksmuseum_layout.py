"""Files paired by stem, lists of objects, and parts of one object number."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tfds_rijks.errors import UserError
from tfds_rijks.rijksmuseum import layout, objects, survey
from tfds_rijks.rijksmuseum.groups import base_number


def museum(folder: Path, pictures: list[str], records: list[str], names=('jpg2', 'xml2')) -> Path:
  for name, members in zip(names, (pictures, records), strict=True):
    (folder / name).mkdir(parents=True)
    for member in members:
      (folder / name / member).write_bytes(b'x')
  return folder


def test_names_that_are_not_utf8(tmp_path):
  folder = museum(tmp_path, ['0000001_A.jpg'], ['0000001_A.xml'])
  (folder / 'jpg2' / os.fsdecode(b'K\xfc.txt')).touch()
  assert layout.find(folder).other_files == [r'jpg2/K\xfc.txt']
  (folder / 'jpg2' / os.fsdecode(b'0000002_K\xfc.jpg')).touch()
  with pytest.raises(UserError, match='the name is not UTF-8'):
    layout.find(folder)


def test_pairs_by_stem_with_dots_and_hyphens(tmp_path):
  found = layout.find(
    museum(
      tmp_path,
      ['0000001_RP-P-OB-84.268.jpg', '0000002_SK-A-1.JPG', '0000004_BK-NM-13348-A.jpeg'],
      ['0000001_RP-P-OB-84.268.xml', '0000003_SK-C-5.xml', '0000004_BK-NM-13348-A.xml'],
    )
  )
  assert list(found.stems) == [
    '0000001_RP-P-OB-84.268',
    '0000002_SK-A-1',
    '0000003_SK-C-5',
    '0000004_BK-NM-13348-A',
  ]
  assert found.without_record == ['0000002_SK-A-1']
  assert found.without_picture == ['0000003_SK-C-5']
  assert [layout.object_number(stem) for stem in found.stems] == [
    'RP-P-OB-84.268',
    'SK-A-1',
    'SK-C-5',
    'BK-NM-13348-A',
  ]


@pytest.mark.parametrize(
  'names', [('jpg', 'xml'), ('rijks/jpg2', 'rijks/xml2'), ('jpg2/jpg2', 'xml2/xml2')]
)
def test_other_folders(tmp_path, names):
  found = layout.find(museum(tmp_path, ['1_a.jpg'], ['1_a.xml'], names))
  assert list(found.stems) == ['1_a']


def test_other_files_are_listed(tmp_path):
  found = layout.find(
    museum(
      tmp_path,
      ['1_a.jpg', '1_a.jpeg', 'Thumbs.db', '._1_a.jpg', 'noending'],
      ['1_a.xml', 'list.txt'],
    )
  )
  assert list(found.stems) == ['1_a']
  assert found.other_files == ['jpg2/1_a.jpg', 'jpg2/Thumbs.db', 'jpg2/noending', 'xml2/list.txt']


@pytest.mark.parametrize(
  ('names', 'message'),
  [(('jpg2', 'teksten'), 'folder xml2 or xml'), (('beelden', 'xml2'), 'folder jpg2 or jpg')],
)
def test_missing_folders_are_named(tmp_path, names, message):
  with pytest.raises(UserError, match=message):
    layout.find(museum(tmp_path, ['1_a.jpg'], ['1_a.xml'], names))


def test_no_such_folder(tmp_path):
  with pytest.raises(UserError, match='no such folder'):
    layout.find(tmp_path / 'nowhere')


@pytest.mark.parametrize(
  ('stem', 'number'),
  [
    ('0000001_SK-A-1', 'SK-A-1'),
    ('SK-A-1', 'SK-A-1'),
    ('0000001_', '0000001_'),
    ('a_b', 'a_b'),
    ('0000001_NG_1_2', 'NG_1_2'),
  ],
)
def test_object_number(stem, number):
  assert layout.object_number(stem) == number


@pytest.mark.parametrize(
  ('number', 'base'),
  [
    ('BK-NM-13348-A', 'BK-NM-13348'),
    ('BK-NM-13348-B', 'BK-NM-13348'),
    ('BK-15751-A', 'BK-15751'),
    ('BK-14562-E-1', 'BK-14562'),
    ('BK-14562-O-M-1', 'BK-14562'),
    ('RP-T-1937-22(V)', 'RP-T-1937-22'),
    ('RP-T-1937-22(R)', 'RP-T-1937-22'),
    ('NG-2001-16-A-77', 'NG-2001-16'),
    ('BK-1958-37-A', 'BK-1958-37'),
    # not parts
    ('RP-T-1889-A-1922', 'RP-T-1889-A-1922'),
    ('RP-P-1908-A-12', 'RP-P-1908-A-12'),
    ('SK-A-4878', 'SK-A-4878'),
    ('RP-P-OB-27.249X', 'RP-P-OB-27.249X'),
    ('SK-C-5', 'SK-C-5'),
    ('NG-MC-400', 'NG-MC-400'),
    ('BK-B', 'BK-B'),
  ],
)
def test_base_number(number, base):
  assert base_number(number) == base


def test_groups_join_parts_and_equal_pictures():
  from tfds_rijks.pictures import Picture

  def picture(digest: str) -> Picture:
    return Picture(digest, 10, 10, 0, 0)

  shelf = {
    '1_BK-1-A': picture('x'),
    '2_BK-1-B': picture(''),
    '3_SK-A-9': picture('y'),
    '4_RP-P-7': picture('y'),
    '5_SK-A-9': picture('z'),
    '6_AK-2': picture(''),
  }
  assert survey.groups(shelf, {}) == {
    '1_BK-1-A': 'BK-1',
    '2_BK-1-B': 'BK-1',
    '3_SK-A-9': 'RP-P-7',
    '4_RP-P-7': 'RP-P-7',
    '5_SK-A-9': 'RP-P-7',
    '6_AK-2': 'AK-2',
  }
  # A new part, even one that sorts before the others, renames no group.
  grown = survey.groups({'0_BK-1-C': picture('q'), **shelf}, {})
  assert {stem: grown[stem] for stem in shelf} == survey.groups(shelf, {})


def test_list_as_published(tmp_path):
  path = tmp_path / 'material.csv'
  path.write_text('jpg,material\n0007810_BK-15071.jpg,zilver\n0100569_RP-T-00-492-55A.jpg,papier\n')
  listed = objects.read(path)
  assert listed.stems == ('0007810_BK-15071', '0100569_RP-T-00-492-55A')
  assert listed.labels['0007810_BK-15071'] == {'material': 'zilver'}
  assert listed.splits is None


def test_list_with_splits_and_its_digest(tmp_path):
  a, b, c = (tmp_path / name for name in 'abc')
  a.write_bytes(
    (
      '\ufeffSplit,ImageId,note\ntraining,1_a,x\nvalidation,2_b.0,\ntest,sub/3_c.jpg,"y, z"\n'
    ).encode()
  )
  b.write_text('stem,split\n3_c,test\n1_a,train\n2_b.0,val\n')
  c.write_text('stem,split\n3_c,train\n1_a,train\n2_b.0,val\n')
  listed = objects.read(a)
  assert listed.splits == {'1_a': 'train', '2_b.0': 'val', '3_c': 'test'}
  assert listed.digest == objects.read(b).digest != objects.read(c).digest


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('', 'columns none'),
    ('a,b\n1,2\n', 'columns a, b'),
    ('stem\n', 'lists no objects'),
    ('stem,split\n1_a,later\n', "split 'later'"),
    ('stem\n1_a\n1_a.jpg\n', 'line 3 1_a occurs twice'),
    ('stem,split\n,train\n', 'names no object'),
    ('stem,split\n1_a\n', 'has 1 cells'),
  ],
)
def test_bad_lists(tmp_path, text, message):
  path = tmp_path / 'list.csv'
  path.write_text(text)
  with pytest.raises(UserError, match=message) as error:
    objects.read(path)
  assert str(path) in str(error.value)


def test_lists_that_cannot_be_read(tmp_path):
  (tmp_path / 'utf16.csv').write_bytes('stem\n1_ä\n'.encode('utf-16'))
  for name, message in (('nowhere.csv', 'No such file'), ('utf16.csv', 'not UTF-8')):
    with pytest.raises(UserError, match=message):
      objects.read(tmp_path / name)
