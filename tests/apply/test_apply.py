"""Decided values in the museum's own table: exactly those, and not a byte of the rest."""

from __future__ import annotations

import csv
import dataclasses
import errno
import io
import json
import os
import zipfile
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flaxart.apply.additions import Choices
from flaxart.apply.origin import hashed
from flaxart.apply.to_table import apply
from flaxart.prediction import files
from flaxart.prediction.output import Dialect, sidecar_of
from flaxart.prediction.table import Column
from tfds_rijks.collection import table
from tfds_rijks.errors import UserError
from tfds_rijks.formulas import restore
from tfds_rijks.suggestions import COLUMNS, Suggestion, write

FILL = Choices(fill=True)
ENDS = ('', '_uri', '_status', '_reviewer', '_reviewed_at', '_generator', '_model')
OF_TYPE = [f'type_suggested{end}' for end in ENDS]
BY_ANN = ['', 'accepted', 'Ann', '2026-11-28', 'flaxart 1', 'abc']


def decision(record, field, value, status='accepted', **more):
  made = {'reviewer': 'Ann', 'reviewed_at': '2026-11-28', 'generator': 'flaxart 1'}
  made |= {'image': 'a.jpg', 'model_sha256': 'abc', **more}
  return Suggestion(record_id=record, field=field, value=value, status=status, **made)


def decide(folder, *rows):
  write(folder / 'D.csv', rows)
  return folder / 'D.csv'


def content(path):
  """Columns and rows as `prepare` reads them."""
  found = table.restored(table.read(path))
  return [found.columns, *found.rows]


def of(path, column):
  """Record -> the cell of a column, of an export whose first column is the record."""
  columns, *rows = content(path)
  return {row[0]: row[columns.index(column)] for row in rows}


def workbook(path, rows):
  book = openpyxl.Workbook()
  for i, row in enumerate(rows, start=1):
    for j, text in enumerate(row, start=1):
      cell = book.active.cell(i, j, text)
      cell.data_type = 's' if isinstance(text, str) else cell.data_type
  book.save(path)
  return path


def export_as(path, rows):
  if path.suffix == '.xlsx':
    return workbook(path, rows)
  text = io.StringIO()
  csv.writer(text).writerows(rows)
  path.write_text(text.getvalue(), encoding='utf-8', newline='')
  return path


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16-le', 'utf-16-be', 'cp1252'])
@pytest.mark.parametrize('end', ['\r\n', '\n', '\r'])
@pytest.mark.parametrize(
  ('ending', 'text', 'new'),
  [
    ('csv', 'id,type,n|1,"é, ""x""\n y",2||2,,|3, bowl ,9', ['oil', '', '']),
    ('csv', '"id";"type";"n"|"1";"";""|"2";"ë";"7"|', ['"oil"', '""', '""']),
    ('csv', 'sep=;|id;type;n|1;ü;2|;;|2;;', ['oil', '', '']),
    ('tsv', 'id\ttype\tn|1\t"a\n,b"\t|2\t\t', ['oil', '', '']),
    ('txt', '"id","type","n"|"1","ï",2|"2","",3|', ['"oil"', '""', '""']),
  ],
)
def test_everything_but_the_new_cells_stays_byte_for_byte(
  ending, text, new, end, encoding, tmp_path
):
  """`|` is the line end of a row here, and the last row may have none."""
  end = '\n' if text.startswith('sep=') and end == '\r' else end  # Excel needs the line feed
  rows = text.split('|')
  mark = {'utf-16-le': b'\xff\xfe', 'utf-16-be': b'\xfe\xff'}.get(encoding, b'')
  export, output = tmp_path / f'E.{ending}', tmp_path / f'F.{ending}'
  export.write_bytes(mark + end.join(rows).encode(encoding))
  apply(decide(tmp_path, decision('1', 'material', 'oil', value_uri='')), export, output)
  separator = {'tsv': '\t'}.get(ending, ';' if ';' in text else ',')
  found = output.read_bytes()
  assert found.startswith(mark)
  changed = iter(found[len(mark) :].decode(encoding).split(end))
  at = 0
  for row in rows:
    parts = row.split(end)  # a cell may contain the line end
    after = end.join(next(changed) for _ in parts)
    assert after.startswith(row)
    added = after[len(row) :].split(separator)[1:]
    blank = not row.strip(',;') or row.startswith('sep=')
    assert len(added) == (0 if blank else len(ENDS)), after
    if added:
      at += 1
      assert at != 2 or added[:2] == new[:2], after
      assert at != 3 or {*added} == {new[2]}, after
  assert next(changed, None) is None and at >= 2


@pytest.mark.parametrize('ending', ['csv', 'xlsx'])
def test_texts_that_a_spreadsheet_would_run_match_again_and_never_run(ending, tmp_path):
  odd = ['-12', '=A1', '@x', "'x", "'=A1", '+1', '0012']
  rows = [['id', 'type', 'note'], *([one, None, f'{i}'] for i, one in enumerate(odd))]
  export, output = tmp_path / f'E.{ending}', tmp_path / f'F.{ending}'
  if ending == 'csv':  # as a museum wrote it, and as a program that defuses would
    rows[2][0] = "'=A1"
    rows[5][0] = "''=A1"
  else:
    rows[5][0] = "''=A1"
  export_as(export, rows)
  decisions = decide(tmp_path, *(decision(one, 'type', one) for one in odd))
  apply(decisions, export, output, choices=FILL)
  columns, *found = content(output)
  assert [row[columns.index('type')] for row in found] == odd
  assert [row[0] for row in found] == odd  # as `prepare` reads them
  if ending == 'xlsx':
    cells = [cell for row in openpyxl.load_workbook(output).active for cell in row]
    assert {cell.data_type for cell in cells if cell.value is not None} == {'s'}
  else:
    written = list(csv.reader(io.StringIO(output.read_text(encoding='utf-8'), newline='')))
    starts = {row[1][:1] for row in written[1:]}
    assert starts == {"'", '0'}


@pytest.mark.parametrize('ending', ['csv', 'xlsx'])
def test_only_decided_values_leave_and_nothing_is_overwritten(ending, tmp_path):
  rows = [['id', 'type', 'year'], ['1', 'bowl', None], ['2', None, None], ['3', None, '1650']]
  export = export_as(tmp_path / f'E.{ending}', rows)
  rows = [
    decision('1', 'type', 'coin', value_uri='http://x/coin'),
    decision('2', 'type', 'vase', 'changed', value_uri='http://x/coin'),
    decision('2', 'year', '1700'),
    *(decision('3', 'type', f'never {s}', s) for s in ('rejected', 'unsure', 'suggested')),
  ]
  decisions, output = decide(tmp_path, *rows), tmp_path / f'F.{ending}'
  apply(decisions, export, output)
  assert content(output)[0] == [
    *('id', 'type', 'year'),
    *OF_TYPE,
    *(name.replace('type', 'year') for name in OF_TYPE),
  ]
  assert of(output, 'type') == {'1': 'bowl', '2': '', '3': ''}
  assert of(output, 'type_suggested') == {'1': 'coin', '2': 'vase', '3': ''}
  # The URI of the suggestion is not that of the value a person wrote in its place.
  assert of(output, 'type_suggested_uri') == {'1': 'http://x/coin', '2': '', '3': ''}
  assert of(output, 'type_suggested_status') == {'1': 'accepted', '2': 'changed', '3': ''}
  assert of(output, 'year_suggested') == {'1': '', '2': '1700', '3': ''}
  assert content(output)[1][3:10] == ['coin', 'http://x/coin', *BY_ANN[1:]]
  again, filled = tmp_path / f'G.{ending}', tmp_path / f'H.{ending}'
  apply(decisions, export, filled, choices=FILL)
  assert of(filled, 'type') == {'1': 'bowl', '2': 'vase', '3': ''}
  assert of(filled, 'year') == {'1': '', '2': '1700', '3': '1650'}
  assert of(filled, 'type_suggested_reviewer') == {'1': '', '2': 'Ann', '3': ''}
  for path, choices in ((output, Choices()), (filled, FILL)):
    data = path.read_bytes()
    assert 'never' not in str(content(path))
    apply(decisions, path, again, choices=choices)
    assert again.read_bytes() == data  # applied to its own output
    apply(decisions, export, path, choices=choices)
    assert path.read_bytes() == data  # and again to the export
  # Another decision about a cell that is filled: the cell stays, and is named.
  found = apply(decide(tmp_path, decision('1', 'type', 'jar')), output, again)
  assert again.read_bytes() == output.read_bytes() and len(found.kept) == 1
  assert "type_suggested is 'coin', the decision 'jar'" in found.kept[0]


@pytest.mark.parametrize(
  ('cells', 'asked', 'joined'),
  [
    (['oil;wood', 'tin'], '', 'oil;ink'),
    (['oil|wood', ''], '', 'oil|ink'),
    (['', ''], '', 'oil|ink'),
    (['tin', ''], '$', 'oil$ink'),
    (['tin', ''], '', None),
    (['oil / ink', ''], 'i', None),  # which values contain
  ],
)
def test_several_values_are_joined_as_in_the_export(cells, asked, joined, tmp_path):
  rows = [['id', 'material'], *([str(i), cell] for i, cell in enumerate(cells)), ['9', None]]
  export = export_as(tmp_path / 'E.csv', rows)
  decisions = decide(
    tmp_path,
    decision('9', 'material', 'oil', value_uri='http://x/oil'),
    decision('9', 'material', 'oil', image='other.jpg'),
    decision('9', 'material', 'ink', reviewer='Bo'),
  )
  if joined is None:
    with pytest.raises(UserError, match="9: material is decided as 'oil' and 'ink'"):
      apply(decisions, export, tmp_path / 'F.csv', choices=Choices(separator=asked))
    return
  apply(decisions, export, tmp_path / 'F.csv', choices=Choices(separator=asked))
  sign = joined[3]
  row = content(tmp_path / 'F.csv')[-1]
  assert row[2:6] == [joined, f'http://x/oil{sign}', 'accepted', f'Ann{sign}Bo']


def with_part(name, data=b''):
  def make(path):
    workbook(path, [['id', 'type'], ['1', None]])
    with zipfile.ZipFile(path, 'a') as book:
      book.writestr(name, data)

  return make


def with_formula(path):
  workbook(path, [['id', 'n'], ['1', None]])
  book = openpyxl.load_workbook(path)
  book.active['B2'] = '=1+1'
  book.save(path)


def linked(path):
  export_as(path.with_name('E.csv'), [['id'], ['1']])
  path.with_name('F.csv').symlink_to(path.with_name('E.csv'))


def hard_linked(path):
  export_as(path.with_name('E.csv'), [['id'], ['1']])
  os.link(path.with_name('E.csv'), path.with_name('F.csv'))


@pytest.mark.parametrize(
  ('export', 'make', 'said'),
  [
    ('E.csv', b'id,type\n2,\n', "no record '1' in id"),
    ('E.csv', b'id,type\n1,\n2,\n1,\n', "id '1' is in line 2 and in line 4"),
    ('E.csv', b'nr,type\n1,\n', 'has no column object_number or id'),
    ('E.csv', b'id,type\n1,\n1,2,3\n', 'line 3 has 3 cells'),
    ('E.csv', b'id,type\n1,\x81\xc3\n', 'neither UTF-8 nor Windows-1252'),
    ('E.csv', 'id,type\n1,é\n'.encode('cp1252'), 'is cp1252, which has no'),
    ('E.csv', b'id,type_suggested,type_suggested\n1,,\n', "'type_suggested' occurs twice"),
    ('E.csv', b'', 'the table is empty'),
    ('E.ods', b'', 'expected .csv'),
    ('E.csv', linked, 'would replace'),
    ('E.csv', hard_linked, 'would replace'),
    ('E.xlsx', with_part('xl/media/image1.png'), 'has pictures'),
    ('E.xlsx', with_part('xl/pivotTables/pivotTable1.xml'), 'has pivot tables'),
    ('E.xlsx', with_part('xl/charts/chart1.xml'), 'has charts'),
    ('E.xlsx', with_part('xl/vbaProject.bin'), 'has macros'),
    ('E.xlsx', with_part('xl/unheard/of.xml'), r'has xl/unheard/of\.xml'),
    ('E.xlsx', with_part('xl/worksheets/sheet9.xml', b'<x><extLst/></x>'), 'has sparklines'),
    ('E.xlsx', with_formula, 'formula'),
  ],
)
def test_what_cannot_be_applied_is_one_line_and_nothing_is_written(export, make, said, tmp_path):
  path = tmp_path / export
  if callable(make):
    make(path)
  else:
    path.write_bytes(make)
  decisions = decide(tmp_path, decision('1', 'type', 'Čapek'))
  before = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
  with pytest.raises(UserError, match=said) as refused:
    apply(decisions, path, tmp_path / f'F{path.suffix}')
  assert '\n' not in str(refused.value)
  assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == before


@pytest.mark.parametrize('known', ['sidecar', 'sidecar of the prediction', 'workbook'])
def test_an_export_that_changed_since_is_refused(known, tmp_path):
  export = export_as(tmp_path / 'E.csv', [['id', 'type'], ['1', None]])
  rows = [decision('1', 'type', 'bowl', generated_at='2026-11-28T12:00:00Z')]
  decisions, output = decide(tmp_path, *rows), tmp_path / 'F.csv'
  entry = hashed('E.csv', export.read_bytes())
  if known == 'workbook':
    decisions = tmp_path / 'D.xlsx'
    files.write(
      decisions,
      [Column(name) for name in COLUMNS],
      [dataclasses.asdict(row) for row in rows],
      dialect=Dialect(),
      about={'table': entry},
    )
  else:
    made = {'model_sha256': 'abc', 'generated_at': '2026-11-28T12:00:00Z'}
    sidecar = decisions if known == 'sidecar' else tmp_path / 'suggestions.csv'
    text = json.dumps({'table': entry, **made})
    sidecar_of(sidecar).write_text(text, encoding='utf-8')
  apply(decisions, export, output)
  apply(decisions, output, tmp_path / 'G.csv')  # its sidecar says from which export it is
  export.write_bytes(export.read_bytes() + b'2,\r\n')
  with pytest.raises(UserError, match='has changed since the suggestions were made'):
    apply(decisions, export, tmp_path / 'H.csv')
  output.write_bytes(output.read_bytes() + b' ')
  with pytest.raises(UserError, match='has changed since'):
    apply(decisions, output, tmp_path / 'H.csv')
  assert not (tmp_path / 'H.csv').exists()
  apply(decisions, export, tmp_path / 'H.csv', changed_table=True)
  assert of(tmp_path / 'H.csv', 'type_suggested') == {'1': 'bowl', '2': ''}
  with pytest.raises(UserError, match='has been edited since flaxart apply'):
    apply(decisions, export, output, changed_table=True)


@pytest.mark.parametrize(
  ('output', 'said'),
  [
    ('E.csv', 'would replace'),
    ('D.csv', 'would replace'),
    ('D.tsv', 'would replace'),  # its sidecar is that of D.csv
    ('F.xlsx', 'of the same kind as the export'),
    ('none/F.csv', 'does not exist'),
    ('other.csv', 'was not written by flaxart apply'),
    ('theirs.csv', 'theirs.json exists'),
  ],
)
def test_other_files_are_not_replaced(output, said, tmp_path, call):
  export = export_as(tmp_path / 'E.csv', [['id', 'type'], ['1', None]])
  decisions = decide(tmp_path, decision('1', 'type', 'bowl'))
  for name in ('D.json', 'other.csv', 'theirs.json'):
    (tmp_path / name).write_text('{}', encoding='utf-8')
  options = (f'--decisions={decisions}', f'--table={export}')
  code, _, error = call('flaxart.apply.__main__', *options, f'--output={tmp_path / output}')
  assert code == 2 and said in error and error.count('\n') == 1
  code, out, _ = call('flaxart.apply.__main__', *options, f'--output={tmp_path / "F.csv"}')
  assert code == 0 and '1 value in 1 record of' in out


def test_a_workbook_keeps_its_other_cells_formats_and_sheets(tmp_path):
  export = workbook(tmp_path / 'E.xlsx', [[], [], ['id', 'type', 'when']])
  book = openpyxl.load_workbook(export)
  sheet, other = book.active, book.create_sheet('more')
  sheet['A3'].font = openpyxl.styles.Font(bold=True)
  sheet['C3'].font = openpyxl.styles.Font(bold=True)
  sheet['A4'], sheet['A5'] = 7, 8
  sheet['A4'].number_format = sheet['A5'].number_format = '000'
  sheet.freeze_panes, sheet.column_dimensions['A'].width = 'A4', 33
  other['B2'] = 3.5
  book.save(export)
  apply(decide(tmp_path, decision('007', 'type', 'bowl')), export, tmp_path / 'F.xlsx')
  book = openpyxl.load_workbook(tmp_path / 'F.xlsx')
  sheet = book.active
  assert [cell.value for cell in sheet[3]] == ['id', 'type', 'when', *OF_TYPE]
  assert sheet['A4'].value == 7 and sheet['A4'].number_format == '000'
  assert sheet['D4'].value == 'bowl' and sheet['D5'].value is None and sheet['D3'].font.bold
  assert sheet.freeze_panes == 'A4' and sheet.column_dimensions['A'].width == 33
  assert book['more']['B2'].value == 3.5


@pytest.mark.parametrize('ending', ['csv', 'xlsx'])
def test_any_name_of_a_field_makes_columns_that_are_found_again(ending, tmp_path):
  export = export_as(tmp_path / f'E.{ending}', [['id', '=x'], ['1', None]])
  fields = ('=x', 'two  words', "'-12", 'a"b', 'a,b')
  decisions = decide(tmp_path, *(decision('1', field, 'bowl') for field in fields))
  output, again = tmp_path / f'F.{ending}', tmp_path / f'G.{ending}'
  apply(decisions, export, output)
  apply(decisions, output, again)
  assert again.read_bytes() == output.read_bytes()
  assert content(output)[1].count('bowl') == len(fields)


def test_a_merged_cell_is_not_filled(tmp_path):
  export = workbook(tmp_path / 'E.xlsx', [['id', 'type'], ['1', None], ['2', None]])
  book = openpyxl.load_workbook(export)
  book.active.merge_cells('B2:B3')
  book.save(export)
  for record in '12':
    decisions = decide(tmp_path, decision(record, 'type', 'bowl'))
    with pytest.raises(UserError, match='is part of a merged cell'):
      apply(decisions, export, tmp_path / 'F.xlsx', choices=FILL)
  apply(decisions, export, tmp_path / 'F.xlsx')
  assert of(tmp_path / 'F.xlsx', 'type_suggested') == {'1': '', '2': 'bowl'}


def test_a_decision_needs_a_record(tmp_path):
  export = export_as(tmp_path / 'E.csv', [['id', 'type'], ['1', None]])
  with pytest.raises(UserError, match='is accepted without a record_id'):
    apply(decide(tmp_path, decision('', 'type', 'bowl')), export, tmp_path / 'F.csv')
  apply(decide(tmp_path, decision('', 'type', 'bowl', 'unsure')), export, Path(tmp_path / 'F.csv'))
  assert (tmp_path / 'F.csv').read_bytes() == export.read_bytes()


@pytest.mark.parametrize(
  ('rows', 'fill', 'said'),
  [
    (
      [('type', 'bowl'), ('type', ' bowl', 'rejected')],
      False,
      "1: type 'bowl' is accepted in one row",
    ),
    (
      [('type', 'cup', 'rejected'), ('type', 'cup', 'changed')],
      False,
      "1: type 'cup' is changed in one row",
    ),
    ([('type', 'bowl'), ('Type', 'cup')], True, 'type and Type would both fill'),
  ],
)
def test_decisions_that_contradict_each_other_are_refused(rows, fill, said, tmp_path):
  export = export_as(tmp_path / 'E.csv', [['id', 'type'], ['1', None]])
  made = [decision('1', *row) for row in rows]
  with pytest.raises(UserError, match=said):
    apply(decide(tmp_path, *made), export, tmp_path / 'F.csv', choices=Choices(fill=fill))
  assert not (tmp_path / 'F.csv').exists()


@pytest.mark.parametrize('full_at', [1, 2])
def test_a_full_disk_changes_neither_table_nor_sidecar(full_at, tmp_path, monkeypatch):
  export = export_as(tmp_path / 'E.csv', [['id', 'type'], ['1', None]])
  apply(decide(tmp_path, decision('1', 'type', 'bowl')), export, tmp_path / 'F.csv')
  decisions = decide(tmp_path, decision('1', 'type', 'vase'))
  before = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
  synced = []

  def fsync(handle):
    synced.append(handle)
    if len(synced) == full_at:
      raise OSError(errno.ENOSPC, 'No space left on device')

  with monkeypatch.context() as patch, pytest.raises(OSError, match=r'F\.(json|csv)'):
    patch.setattr(os, 'fsync', fsync)
    apply(decisions, export, tmp_path / 'F.csv')
  assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == before
  apply(decisions, export, tmp_path / 'F.csv')


def test_blanks_around_a_value_make_no_other_value(tmp_path):
  export = export_as(tmp_path / 'E.csv', [['id', 'type'], ['1', None], ['2', 'cup']])
  twice = decision('1', 'type', 'bowl'), decision('1', 'type', 'bowl ', image='b.jpg')
  apply(decide(tmp_path, *twice), export, tmp_path / 'F.csv')
  assert of(tmp_path / 'F.csv', 'type_suggested') == {'1': 'bowl', '2': ''}


TEXTS = st.text(
  st.sampled_from(['a', 'é', '"', ',', ';', '\t', '|', ' ', '\n', '=', "'", '-', '好'])
)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_table_keeps_its_cells_and_reads_back_the_decided_ones(data, tmp_path_factory):
  folder = tmp_path_factory.mktemp('any')
  rows = data.draw(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5))
  text = io.StringIO()
  delimiter = data.draw(st.sampled_from(',;|'))
  quoting = data.draw(st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]))
  end = data.draw(st.sampled_from(['\n', '\r\n']))
  writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=end)
  writer.writerows([('id', 'type', 'note'), *((f'A{i}', *row) for i, row in enumerate(rows))])
  whole = text.getvalue().removesuffix(end if data.draw(st.booleans()) else '')
  export = folder / 'E.csv'
  export.write_bytes(whole.encode('utf-8'))
  values = [data.draw(TEXTS).strip() or 'x' for _ in rows]
  decisions = decide(folder, *(decision(f'A{i}', 'type', one) for i, one in enumerate(values)))
  choices = Choices(fill=data.draw(st.booleans()))
  for source, output in ((export, folder / 'F.csv'), (folder / 'F.csv', folder / 'G.csv')):
    apply(decisions, source, output, choices=choices)
  found = (folder / 'F.csv').read_bytes().decode('utf-8')
  assert found == (folder / 'G.csv').read_bytes().decode('utf-8')
  _, *cells = csv.reader(io.StringIO(found, newline=''), delimiter=delimiter)
  for i, (row, after) in enumerate(zip(rows, cells, strict=True)):
    filled = choices.fill and not row[0].strip()
    assert after[:3] == [f'A{i}', after[1] if filled else row[0], row[1]]
    if filled or not choices.fill:
      assert restore(after[1 if filled else 3]) == values[i]


@pytest.mark.parametrize(
  ('name', 'column'), [('tate/artist_data.csv', 'id'), ('walters/creators.csv', 'id')]
)
def test_real_exports_stay_byte_for_byte(name, column, tmp_path):
  export = Path(__file__).parents[2] / '../shared/exports' / name
  if not export.exists():
    pytest.skip(f'{export} is not there')
  before = export.read_bytes().split(b'\n')
  lines = [2, len(before) // 2]
  ids = [row[0] for row in content(export)[1:]]
  decisions = decide(tmp_path, *(decision(ids[i], 'type', 'bowl') for i in lines))
  apply(decisions, export, tmp_path / 'F.csv', choices=Choices(column))
  after = (tmp_path / 'F.csv').read_bytes().split(b'\n')
  assert all(new.startswith(old.rstrip(b'\r')) for old, new in zip(before, after, strict=True))
  assert (
    sum(b'bowl' in new and b'bowl' not in old for old, new in zip(before, after, strict=True)) == 2
  )
