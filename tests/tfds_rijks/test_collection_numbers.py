"""Numbers and years in the cells of a table."""

from __future__ import annotations

import math

import pytest
from collections_on_disk import build, records, write_collection
from hypothesis import given
from hypothesis import strategies as st

from tfds_rijks import build_report
from tfds_rijks.collection.numbers import middle, number, year


@pytest.mark.parametrize(
  ('text', 'value'),
  [
    ('1642', 1642),
    (' 1642 ', 1642),
    ('1642?', 1642),
    ('ca. 1650', 1650),
    ('c 1650', 1650),
    ('um 1650', 1650),
    ('±1650', 1650),
    ('1640-1650', 1645),
    ('1640/50', 1645),
    ('1640 – 1650', 1645),
    ('900-1100', 1000),
    ('980-90', 985),
    ('1889-06', None),
    ('-500', -500),
    ('12.5', 12.5),
    ('1e39', None),
    ('12,5', 12.5),
    ('1,234', None),
    ('1.234', 1.234),
    ('1e3', 1000),
    ('17th century', None),
    ('1.234.567', None),
    ('1e999', None),
    ('n.d.', None),
  ],
)
def test_numbers(text, value):
  assert number(text) == value


@pytest.mark.parametrize(
  ('text', 'value'),
  [
    *[
      (text, None)
      for text in ('1.650', '1,650', '0', '9999', '-500', '500 BC', '600 v. Chr.', '99')
    ],
    *[
      (text, None)
      for text in ('1650-1640', '300 av. J.-C.', '17e eeuw', '2101', '1650-9999', '12.5')
    ],
    *[('1642', 1642), ('ca. 1650', 1650), ('1640/50', 1645), ('1650.5', 1650.5), ('1650.0', 1650)],
  ],
)
def test_years(text, value):
  assert year(text) == value


@pytest.mark.parametrize(
  'columns', [('Datering',), ('Date',), ('Millésime',), ('Year begin', 'Object End Date')]
)
def test_years_by_name_and_cells_that_are_not_years(tmp_path, columns):
  cells = ['1650', '1.650', '1712', '-50', 'ca. 1700', '1800', '1900']
  rows = [(f'{i}.png', 'AB'[i % 2], *[cell] * len(columns)) for i, cell in enumerate(cells)]
  rows += [('7.png', 'A', *['0', '1700'][: len(columns)])]
  path = build(write_collection(tmp_path / 's', ['image', 'artist', *columns], rows))
  found = [r['year'] for r in records(path)]
  assert [year for year in found if year == year] == [1650, 1712, 1700, 1800, 1900]
  odd = build_report.read(path)['not_numbers']
  assert odd[columns[0]] == ['1.650', '-50', '0']


def test_missing_numbers_and_middles():
  assert math.isnan(number('')) and math.isnan(number('  '))
  assert middle(1640, 1650) == 1645
  assert middle(math.nan, 1650) == middle(1650, math.nan) == 1650
  assert math.isnan(middle(math.nan, math.nan))


@given(st.text())
def test_any_text_is_a_finite_number_or_missing_or_none(text):
  value = number(text)
  assert value is None or math.isnan(value) or math.isfinite(value)


def test_cells_that_are_not_numbers_are_missing_and_listed(tmp_path, capsys):
  rows = [('a.png', 'Ann', '1600'), ('b.png', 'Ann', '17th century')]
  path = build(write_collection(tmp_path / 's', ['image', 'artist', 'year'], rows))
  assert math.isnan(records(path)[1]['year'])
  assert build_report.read(path)['not_numbers'] == {'year': ['17th century']}
  assert 'year: 1 cell is not a number or year: 17th century' in capsys.readouterr().out
