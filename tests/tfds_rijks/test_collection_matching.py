"""Pictures and rows paired by the object number in the file name."""

from __future__ import annotations

import pytest
from collections_on_disk import build, draw, records, write_table

from tfds_rijks import build_report
from tfds_rijks.collection import matching
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
  rows = {matching.key(text): [i] for i, text in enumerate(numbers)}
  assert [numbers[i] for i in matching._rows_of(name, rows)] == ([number] if number else [])


@pytest.fixture
def export(tmp_path):
  """A museum's export: no column with files, and files named as people name them."""
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
      ('TWICE', 'Bob'),
    ],
    delimiter=';',
    encoding='cp1252',
  )
  return tmp_path / 's'


def test_an_export_is_joined_and_what_is_left_over_is_listed(export, capsys):
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
    'rows_without_picture': ['SK-A-4', 'Twice', 'TWICE'],
    'ambiguous': ['twice.jpg'],
  }
  out = capsys.readouterr().out
  assert out.index('sk_a_2_1.jpg  ->  SK-A-2') < out.index('pictures; about')  # before it writes
  assert '1 pictures without a row: loose.jpg' in out
  assert '1 pictures whose number stands in several rows: twice.jpg' in out


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
