"""Tables as files: CSV in the dialect of a country, workbooks, Parquet; whole or not at all."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flaxart.machine.files import clear_left_behind, write_bytes
from flaxart.prediction.output import MADE_BY, Dialect, check_rows
from flaxart.prediction.table import Cell, Column
from tfds_rijks import own_files
from tfds_rijks.formulas import as_string, defuse
from tfds_rijks.progress import track

Rows = Iterable[Mapping[str, Cell]]
_CONTROL = re.compile(r'[\x00-\x08\x0b\x0c\x0e-\x1f]')  # not allowed in the XML of a workbook
_WIDEST = 50  # characters of a column, as shown
_SAMPLE = 200  # rows from which its width is taken


def to_csv(columns: Sequence[Column], rows: Rows, dialect: Dialect) -> str:
  """The text of a CSV, with a byte order mark for spreadsheets and formulas defused."""
  text = io.StringIO()
  text.write('\ufeff')
  table = csv.writer(text, delimiter=dialect.delimiter, lineterminator='\r\n')
  table.writerow([column.name for column in columns])
  for row in rows:
    table.writerow([_csv_cell(row.get(column.name), column, dialect) for column in columns])
  return text.getvalue()


def _csv_cell(cell: Cell, column: Column, dialect: Dialect) -> str:
  if cell is None:
    return ''
  if isinstance(cell, str):
    return defuse(cell)
  text = _short(cell) if column.digits is None else f'{cell:.{column.digits}f}'
  return text if dialect.decimal == '.' else text.replace('.', dialect.decimal)


def write(
  path: Path, columns: Sequence[Column], rows: Rows, *, dialect: Dialect, about: Mapping[str, Any]
) -> None:
  """Writes the table in the format of its ending; a workbook also tells what made it (`about`)."""
  kind = path.suffix.lower()
  if kind == '.csv':
    write_bytes(path, to_csv(columns, rows, dialect).encode('utf-8'))
    return
  clear_left_behind(path)
  with own_files.temporary(path) as (handle, new):
    with os.fdopen(os.dup(handle), 'w+b') as file:
      if kind == '.xlsx':
        _write_workbook(path, file, columns, rows, about)
      else:
        _write_parquet(file, columns, rows)
      file.flush()
      os.fsync(file.fileno())
    new.replace(path)


def _write_workbook(
  path: Path, file: Any, columns: Sequence[Column], rows: Rows, about: Mapping[str, Any]
) -> None:
  import openpyxl  # here: other tables do not need it
  from openpyxl.cell import WriteOnlyCell
  from openpyxl.styles import Font
  from openpyxl.utils import get_column_letter
  from openpyxl.worksheet.datavalidation import DataValidation

  book = openpyxl.Workbook(write_only=True)

  def cell(sheet: Any, value: Cell, digits: int | None = None) -> Any:
    if value is None or value == '':
      return None
    if not isinstance(value, str):
      made = WriteOnlyCell(sheet, value)
      if digits is not None:  # else a number among texts, which CSV would get as it is shown
        made.number_format = f'0.{"0" * digits}'.removesuffix('.')
      return made
    made = WriteOnlyCell(sheet, as_string(_CONTROL.sub('\ufffd', value)))
    made.data_type = 's'  # also of a text that begins with =
    made.number_format = '@'  # it stays text when it is edited: 0012
    return made

  def header(sheet: Any, names: Sequence[str]) -> None:
    cells = [cell(sheet, name) for name in names]
    for one in cells:
      one.font = Font(bold=True)
    sheet.append(cells)

  kept = list(rows)
  check_rows(path, len(kept))
  sheet = book.create_sheet('suggestions')
  sheet.freeze_panes = 'A2'
  sheet.auto_filter.ref = f'A1:{get_column_letter(len(columns))}{len(kept) + 1}'
  for i, column in enumerate(columns, start=1):
    widths = (len(str(row.get(column.name) or '')) for row in kept[:_SAMPLE])
    width = min(_WIDEST, max([len(column.name) + 3, *widths]))
    letter = get_column_letter(i)
    sheet.column_dimensions[letter].width = width + 1
    if column.choices and kept:
      listed = ','.join(column.choices)
      sheet.data_validations.append(
        DataValidation('list', f'"{listed}"', sqref=f'{letter}2:{letter}{len(kept) + 1}')
      )
  header(sheet, [column.name for column in columns])
  for row in track(kept, 'writing the workbook', len(kept), unit='row'):
    sheet.append([cell(sheet, row.get(column.name), column.digits) for column in columns])
  origin = book.create_sheet(MADE_BY)
  origin.freeze_panes = 'A2'
  origin.column_dimensions['A'].width, origin.column_dimensions['B'].width = 40, 100
  header(origin, ['what', 'value'])
  for name, value in _flat(about):
    origin.append([cell(origin, name), cell(origin, value)])
  book.save(file)


def _flat(value: Any, name: str = '') -> Iterator[tuple[str, str]]:
  """`artist.threshold`, `0.9` of nested objects."""
  if isinstance(value, Mapping):
    for key, one in value.items():
      yield from _flat(one, f'{name}.{key}' if name else key)
  else:
    yield name, '' if value is None else str(value)


def _write_parquet(file: Any, columns: Sequence[Column], rows: Rows) -> None:
  import pyarrow as pa
  import pyarrow.parquet as pq

  kept = list(rows)
  arrays, fields = [], []
  for column in columns:
    kind = {None: pa.string(), 0: pa.int64()}.get(column.digits, pa.float64())
    cells: list[Any] = [row.get(column.name) for row in kept]
    if column.digits is None:
      cells = [one if isinstance(one, str) else _short(one) for one in cells]
    arrays.append(pa.array(cells, kind))
    fields.append(pa.field(column.name, kind))
  pq.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), file)


def _short(number: float | None) -> str:
  """A number among texts, such as a year: 1650 and 1650.5."""
  return '' if number is None else f'{number:.1f}'.removesuffix('.0')
