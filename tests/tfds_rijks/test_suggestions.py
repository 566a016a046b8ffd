"""The table of suggestions comes back unchanged, from flaxart and from spreadsheets."""

from __future__ import annotations

import csv
import dataclasses
import io
import json

import pytest
from workbooks import Page
from workbooks import write as write_workbook

from tfds_rijks import suggestions
from tfds_rijks.errors import UserError
from tfds_rijks.formulas import as_string, defuse, restore
from tfds_rijks.suggestions import COLUMNS, Suggestion

AWKWARD = [
  '0012', '-12', '=A1', "'=A1", "''=A1", '@x', "'x", '+1', '\t', 'a;b', 'a,b', '"q"', "'", '',
  'Dürer & Söhne', 'שלום', 'two\nlines', '<script>', '1E5', '1965-03',
]  # fmt: skip
SOME = Suggestion(
  '0012', 'sub/a b.png', 'type', 'coin', 'http://vocab.getty.edu/aat/300037222', 1, 0.8312, 0.75,
  'accepted', 'Ada', '2026-11-28', 'clear', 'flaxart 0.2.0', 'ab' * 32, '2026-11-28T12:00:00Z',
)  # fmt: skip


def texts(rows: list[Suggestion]) -> list[list[str]]:
  """As a spreadsheet holds them after opening the CSV."""
  return [list(COLUMNS), *(suggestions.cells(row) for row in rows)]


@pytest.mark.parametrize('cell', AWKWARD)
def test_every_text_comes_back(cell):
  for kept in (defuse(cell), as_string(cell)):
    assert restore(kept) == cell
  assert not defuse(cell).startswith(('=', '+', '-', '@', '\t', '\r', '\n'))
  assert as_string(cell) == cell or cell.startswith("'")


def test_what_is_written_is_read(tmp_path):
  rows = [SOME, Suggestion('', 'x.png', 'year', '1650.0', status='unsure')]
  rows += [
    dataclasses.replace(SOME, record_id=c, value=c if c.strip() else 'x', comment=c)
    for c in AWKWARD
  ]
  path = tmp_path / 'S.csv'
  suggestions.write(path, rows)
  assert suggestions.read(path) == rows
  assert path.read_bytes().startswith(b'\xef\xbb\xbfrecord_id,image,field,value,value_uri,rank,')
  assert [one.name for one in tmp_path.iterdir()] == ['S.csv']


@pytest.mark.parametrize('ending', ['csv', 'xlsx', 'ods'])
def test_a_spreadsheet_may_have_saved_it(tmp_path, ending):
  rows = [SOME, dataclasses.replace(SOME, record_id='-12', value='=A1', comment='###')]
  header, *cells = texts(rows)
  header, cells = [*header, 'my notes'], [[*row, 'x'] for row in cells]
  path = tmp_path / f'S.{ending}'
  if ending == 'csv':  # of a Dutch Excel
    text = io.StringIO()
    at = [COLUMNS.index('probability'), COLUMNS.index('threshold')]
    local = [[c.replace('.', ',') if i in at else c for i, c in enumerate(r)] for r in cells]
    csv.writer(text, delimiter=';').writerows([header, *local, [''] * len(header)])
    path.write_bytes(text.getvalue().encode('cp1252'))
  else:
    for row in cells:
      row[5:8] = [float(cell) for cell in row[5:8]]
    write_workbook(path, Page('suggestions', [header, *cells]))
  assert suggestions.read(path) == rows


@pytest.mark.parametrize('rank', ['1', '1.0', '1,00', ' 1 '])
def test_a_rank_may_have_become_a_fraction(tmp_path, rank):
  header, row = texts([SOME])
  row[COLUMNS.index('rank')] = rank
  with (tmp_path / 'S.csv').open('w', newline='', encoding='utf-8') as file:
    csv.writer(file).writerows([header, row])
  assert suggestions.read(tmp_path / 'S.csv') == [SOME]


@pytest.mark.parametrize(
  ('column', 'cell', 'line'),
  [
    ('status', 'ok', "line 2: found the status 'ok', expected one of suggested, accepted, changed"),
    ('status', '', "line 2: found the status '', expected one of"),
    ('probability', '83 %', "line 2: found the probability '83 %', expected a number from 0 to 1"),
    ('threshold', '1.1', "line 2: found the threshold '1.1', expected a number from 0 to 1"),
    ('probability', 'nan', "line 2: found the probability 'nan'"),
    ('rank', '0', "line 2: found the rank '0', expected a whole number from 1"),
    ('rank', '1.5', "line 2: found the rank '1.5'"),
    ('field', '', "line 2: 'field' is empty in a row that is accepted; fill it in"),
    ('value', '', "line 2: 'value' is empty in a row that is accepted; fill it in"),
    ('record_id', '1.00E+05', "line 2: 'record_id' is the date or number 1.00E\\+05, as changed"),
    ('value', '\u00a0 ', "line 2: 'value' is empty in a row that is accepted; fill it in"),
    ('value', '#REF!', "line 2: 'value' is #REF!"),
  ],
)
def test_cells_that_mean_nothing_are_refused_by_line(tmp_path, column, cell, line):
  header, row = texts([SOME])
  row[COLUMNS.index(column)] = cell
  path = tmp_path / 'S.csv'
  with path.open('w', newline='', encoding='utf-8') as file:
    csv.writer(file).writerows([header, row])
  with pytest.raises(UserError, match=line):
    suggestions.read(path)


@pytest.mark.parametrize(
  ('data', 'line'),
  [
    (None, 'is not a file; give a table of suggestions'),
    (b'record_id,value\n1,x\n', 'has no column image, field, value_uri, rank, prob'),
    (','.join(COLUMNS).encode(), 'has no rows'),
    (','.join(COLUMNS).encode() + b'\n\x81\x8d' + b',' * 14, 'neither UTF-8 nor Windows-1252'),
    ('é'.encode() + ','.join(COLUMNS).encode() + b'\n\xff' + b',' * 14, 'is not UTF-8 like the re'),
  ],
)
def test_other_files_are_refused(tmp_path, data, line):
  path = tmp_path / 'S.csv'
  if data is not None:
    path.write_bytes(data)
  with pytest.raises(UserError, match=line):
    suggestions.read(path)


def test_what_a_spreadsheet_made_a_date_is_refused(tmp_path):
  from datetime import date

  header, row = texts([SOME])
  row[COLUMNS.index('value')] = date(1965, 3, 1)
  path = write_workbook(tmp_path / 'S.xlsx', Page('S', [header, row]))
  with pytest.raises(UserError, match="line 2: 'value' is the date or number 1965-03-01"):
    suggestions.read(path)


def test_several_values_in_a_cell_are_refused(tmp_path):
  path = tmp_path / 'S.jsonl'
  path.write_text(json.dumps({name: ['1', '2'] for name in COLUMNS}))
  with pytest.raises(UserError, match='line 1: several values in record_id; expected one row for'):
    suggestions.read(path)
