"""The table as a file: numbers arrive as numbers and texts as texts, whatever opens it."""

from __future__ import annotations

import csv
import dataclasses
import io
import shutil
import subprocess

import openpyxl
import pyarrow.parquet as pq
import pytest

from flaxart.evaluation.answer import Row, row, stored
from flaxart.evaluation.calibration import Calibration
from flaxart.prediction import files, output, table
from flaxart.prediction.output import Dialect, check_output, check_rows
from flaxart.tasks.regression import Regression
from flaxart.tasks.sigmoid import Sigmoid
from flaxart.tasks.softmax import Softmax
from tfds_rijks import suggestions
from tfds_rijks.errors import UserError
from tfds_rijks.suggestions import Suggestion

ARTIST = Softmax('artist', ('Ann', 'Bob', 'Cleo', 'Dürer; "D"'))
TAGS = Sigmoid('tags', ('=oak', 'gilt', 'silk', 'tin', 'wood'))
YEAR = Regression('year')
TASKS = (ARTIST, TAGS, YEAR)
FITTED: Calibration = {
  'artist': {'temperature': 2.0, 'threshold': 0.6000009, 'precision': 0.9, 'n': 50},
  'tags': {'temperature': 1.0, 'threshold': 0.5, 'precision': 0.9, 'n': 50},
}
ORIGIN = table.Origin(
  'flaxart 0', 'ab' * 32, '2026-11-28T12:00:00Z', {'artist': {'Bob': 'http://b'}}
)
SOFFICE = pytest.mark.skipif(not shutil.which('soffice'), reason='needs LibreOffice')
MANUAL = {'nl': (';', ','), 'en': (',', '.'), 'de-CH': (';', '.')}


def rows() -> list[Row]:
  import numpy as np

  sure = {
    'artist': np.array([0.01, 0.89, 0.06, 0.04], np.float32),
    'tags': np.array([0.9, 0.8, 0.7, 0.6, 0.1], np.float32),
    'year': np.float32(1650.25),
  }
  unsure = {**sure, 'artist': np.full(4, 0.25, np.float32), 'year': np.float32(-12)}
  unsure['tags'] = np.full(5, 0.01, np.float32)
  return [
    row(TASKS, '=1.png', '0012', stored(TASKS, FITTED, sure)),
    row(TASKS, 'b,c.png', '-12', stored(TASKS, FITTED, unsure)),
    row(TASKS, 'c.png', '1E5', stored(TASKS, FITTED, 'truncated')),
    Row('d.pdf', '', 'passed over', 'a PDF', {}, {}),
  ]


def in_long() -> list[dict[str, table.Cell]]:
  return [one for of_row in rows() for one in table.long(of_row, FITTED, ORIGIN)]


def test_a_picture_has_its_names_probabilities_and_decisions():
  first, second, third, fourth = map(table.wide, rows())
  assert first['artist_1'] == 'Bob' and first['artist_decision'] == 'Bob'
  odds = [0.01**0.5, 0.89**0.5, 0.06**0.5, 0.04**0.5]
  assert first['artist_1_p'] == pytest.approx(odds[1] / sum(odds), abs=1e-6)
  assert first['tags_decision'] == '=oak|gilt|silk|tin' and first['tags_3'] == 'silk'
  assert (first['year_1'], second['year_1']) == (1650.2, -12.0)
  assert second['artist_decision'] == second['tags_decision'] == '' and second['artist_1'] == 'Ann'
  assert third == {'image': 'c.png', 'id': '1E5', 'status': 'unreadable', 'reason': 'truncated'}
  assert fourth['status'] == 'passed over'


def test_without_calibration_there_are_names_but_no_probabilities():
  import numpy as np

  plain = {'artist': np.array([0.1, 0.6, 0.2, 0.1], np.float32)}
  cells = table.wide(row((ARTIST,), 'a.png', '', stored((ARTIST,), {}, plain)))
  assert cells['artist_1'] == 'Bob' and cells['artist_1_p'] is None
  assert cells['artist_decision'] == ''


def test_the_long_form_has_a_row_for_each_suggestion():
  found = in_long()
  keys = [(one['image'], one['field'], one['value'], one['rank']) for one in found]
  assert keys[:8] == [
    ('=1.png', 'artist', 'Bob', 1), ('=1.png', 'artist', 'Cleo', 2),
    ('=1.png', 'artist', 'Dürer; "D"', 3), ('=1.png', 'tags', '=oak', 1),
    ('=1.png', 'tags', 'gilt', 2), ('=1.png', 'tags', 'silk', 3),
    ('=1.png', 'tags', 'tin', 4), ('=1.png', 'year', 1650.2, 1),
  ]  # fmt: skip
  assert {one['image'] for one in found} == {'=1.png', 'b,c.png'}
  assert found[0]['value_uri'] == 'http://b' and found[1]['value_uri'] == ''
  assert found[0]['threshold'] == 0.6 and {one['status'] for one in found} == {'suggested'}
  assert 'probability' not in found[7] and found[7]['record_id'] == '0012'


@pytest.mark.parametrize('ending', ['nl.csv', 'en.csv', 'de-CH.csv', 'xlsx', 'parquet'])
def test_the_long_form_is_read_as_suggestions(tmp_path, ending):
  path = tmp_path / f'S.{ending}'
  dialect = Dialect.of(ending.removesuffix('.csv'), None, None) if 'csv' in ending else Dialect()
  files.write(path, table.long_columns(), in_long(), dialect=dialect, about={})
  found = suggestions.read(path)
  assert len(found) == len(in_long()) == 8 + 7
  assert found[0] == Suggestion(
    '0012', '=1.png', 'artist', 'Bob', 'http://b', 1, found[0].probability, 0.6,
    generator='flaxart 0', model_sha256='ab' * 32, generated_at='2026-11-28T12:00:00Z',
  )  # fmt: skip
  assert found[0].probability == pytest.approx(in_long()[0]['probability'], abs=1e-9)
  assert [one.value for one in found if one.field == 'tags'][:2] == ['=oak', 'gilt']
  assert [one.value for one in found if one.field == 'year'] == ['1650.2', '-12']
  assert {one.record_id for one in found} == {'0012', '-12'}


def test_a_workbook_of_suggestions_offers_the_statuses(tmp_path):
  files.write(tmp_path / 'S.xlsx', table.long_columns(), in_long(), dialect=Dialect(), about={})
  sheet = openpyxl.load_workbook(tmp_path / 'S.xlsx')['suggestions']
  (offered,) = sheet.data_validations.dataValidation
  assert str(offered.sqref) == 'I2:I16' and sheet['I1'].value == 'status'
  assert offered.formula1 == '"suggested,accepted,changed,rejected,unsure"'


def in_wide(path, dialect):
  cells = [table.wide(one) for one in rows()]
  files.write(path, table.wide_columns(TASKS), cells, dialect=dialect, about={'a': {'b': 0.5}})


@pytest.mark.parametrize('locale', sorted(MANUAL))
def test_a_csv_is_in_the_dialect_of_the_country(tmp_path, locale):
  delimiter, decimal = MANUAL[locale]
  in_wide(tmp_path / 'T.csv', Dialect.of(locale, None, None))
  text = (tmp_path / 'T.csv').read_bytes().decode('utf-8-sig')
  found = list(csv.DictReader(io.StringIO(text, newline=''), delimiter=delimiter))
  assert len(found) == 4 and found[0]['image'] == "'=1.png" and found[1]['id'] == "'-12"
  for name, expected in (('artist_1_p', 0.6), ('year_1', 1650.2)):
    assert decimal in found[0][name] and found[0][name] == found[0][name].strip("'")
    assert float(found[0][name].replace(decimal, '.')) == pytest.approx(expected, abs=0.1)
  assert found[1]['year_1'] == f'-12{decimal}0'  # a number, not defused


@pytest.mark.parametrize(
  ('given', 'expected'),
  [
    ((None, None, None), (',', '.')),
    (('nl_NL.UTF-8', None, None), (';', ',')),
    (('NL', None, '.'), (';', '.')),
    (('en', 'tab', ','), ('\t', ',')),
    ((None, ';', None), (';', '.')),
    (('xx', None, None), '--locale=xx: is not known; expected one of bg, ca'),
    ((None, 'x', None), '--delimiter=x: expected a comma, a semicolon'),
    ((None, None, 'x'), '--decimal=x: expected a point or a comma'),
    ((None, None, ','), 'cells are divided by commas as well'),
  ],
)
def test_options_of_a_csv(given, expected):
  if isinstance(expected, str):
    with pytest.raises(UserError, match=expected):
      Dialect.of(*given)
  else:
    assert Dialect.of(*given) == Dialect(*expected)


def test_a_workbook_has_numbers_texts_and_what_made_it(tmp_path):
  in_wide(tmp_path / 'T.xlsx', Dialect())
  book = openpyxl.load_workbook(tmp_path / 'T.xlsx')
  assert book.sheetnames == ['suggestions', 'made by']
  sheet = book['suggestions']
  assert sheet.freeze_panes == 'A2' and sheet.max_row == 5
  names = [cell.value for cell in sheet[1]]
  cells = dict(zip(names, sheet[2], strict=True))
  assert (cells['image'].value, cells['image'].data_type) == ('=1.png', 's')  # never a formula
  assert (cells['id'].value, cells['id'].data_type) == ('0012', 's')
  assert cells['id'].number_format == '@'
  assert cells['artist_1_p'].data_type == 'n' and 0.5 < cells['artist_1_p'].value < 1
  assert (cells['year_1'].value, cells['year_1'].data_type) == (1650.2, 'n')
  assert not any(cell.data_type == 'f' for line in sheet.iter_rows() for cell in line)
  assert [cell.value for cell in book['made by'][2]] == ['a.b', '0.5']


def test_parquet_has_types(tmp_path):
  in_wide(tmp_path / 'T.parquet', Dialect())
  found = pq.read_table(tmp_path / 'T.parquet')
  kinds = {field.name: str(field.type) for field in found.schema}
  assert kinds['id'] == kinds['artist_1'] == 'string'
  assert kinds['year_1'] == kinds['artist_1_p'] == 'double'
  assert found['id'].to_pylist() == ['0012', '-12', '1E5', '']
  assert found['year_1'].to_pylist() == [1650.2, -12.0, None, None]


@pytest.mark.parametrize('ending', ['.csv', '.xlsx', '.parquet'])
def test_a_stop_while_writing_leaves_nothing(tmp_path, ending):
  def broken():
    yield table.wide(rows()[0])
    raise RuntimeError('stop')

  path = tmp_path / f'T{ending}'
  with pytest.raises(RuntimeError):
    files.write(path, table.wide_columns(TASKS), broken(), dialect=Dialect(), about={})
  assert not list(tmp_path.iterdir())


def test_outputs_that_cannot_be(tmp_path, monkeypatch):
  with pytest.raises(UserError, match=r'T.txt is not a table; .* ends in .csv, .xlsx, .parquet'):
    check_output(tmp_path / 'T.txt')
  check_rows(tmp_path / 'T.csv', 2_000_000)
  with pytest.raises(UserError, match=r'may need 2,000,000 rows, a workbook has 1,048,575'):
    check_rows(tmp_path / 'T.xlsx', 2_000_000)
  (tmp_path / 'T.json').write_text('{"written_by": "flaxart", "output": "T.csv"}')
  check_output(tmp_path / 'T.xlsx')  # its table is gone
  (tmp_path / 'T.csv').write_text('x')
  with pytest.raises(UserError, match=r'T.json, which goes beside the table, is that of T.csv'):
    check_output(tmp_path / 'T.xlsx')
  (tmp_path / 'A.json').write_text('{"written_by": "flaxart", "applied": {}}')
  (tmp_path / 'A.csv').write_text('x')
  with pytest.raises(UserError, match=r'A.csv was written by flaxart apply'):
    check_output(tmp_path / 'A.csv')
  monkeypatch.setattr(output.importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(UserError, match=r"needs pyarrow; pip install 'flaxart\[parquet\]'"):
    check_output(tmp_path / 'U.parquet')


def converted(path, kind, *options):
  """The file as LibreOffice saves it."""
  home = f'-env:UserInstallation=file://{path.parent}/home'
  subprocess.run(
    ['soffice', home, '--headless', *options, '--convert-to', kind, '--outdir',
     str(path.parent / 'out'), str(path)],
    check=True, capture_output=True, timeout=300,
  )  # fmt: skip
  return path.parent / 'out' / f'{path.stem}.{kind.partition(":")[0]}'


@SOFFICE
def test_numbers_arrive_as_numbers_in_a_dutch_libreoffice(tmp_path):
  in_wide(tmp_path / 'T.csv', Dialect.of('nl', None, None))
  # Semicolons, quotes, UTF-8, from line 1, nl-NL, quoted cells are not text, numbers are detected.
  sheet = openpyxl.load_workbook(
    converted(tmp_path / 'T.csv', 'xlsx', '--infilter=CSV:59,34,76,1,,1043,false,true')
  ).active
  names = [cell.value for cell in sheet[1]]
  cells = dict(zip(names, sheet[2], strict=True))
  assert cells['artist_1_p'].data_type == cells['year_1'].data_type == 'n'
  assert cells['year_1'].value == 1650.2 and cells['image'].value == "'=1.png"
  assert cells['artist_1_p'].value == pytest.approx(table.wide(rows()[0])['artist_1_p'], abs=1e-4)


@SOFFICE
@pytest.mark.parametrize('kind', ['xlsx', 'ods', 'csv:Text - txt - csv (StarCalc):59,34,76,1'])
def test_suggestions_survive_libreoffice(tmp_path, kind):
  files.write(tmp_path / 'S.xlsx', table.long_columns(), in_long(), dialect=Dialect(), about={})
  found = suggestions.read(converted(tmp_path / 'S.xlsx', kind))
  before = suggestions.read(tmp_path / 'S.xlsx')
  assert [dataclasses.replace(one, probability=None, threshold=None) for one in found] == [
    dataclasses.replace(one, probability=None, threshold=None) for one in before
  ]
  for one, other in zip(found, before, strict=True):
    assert one.probability == pytest.approx(other.probability, abs=1e-6)
