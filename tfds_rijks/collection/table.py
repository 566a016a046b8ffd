"""Reads the table of a collection: CSV, TSV, semicolons, JSON lines, Parquet, Excel."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tfds_rijks.build_report import examples
from tfds_rijks.errors import UserError
from tfds_rijks.labels import normalise

NAMES = ('metadata.csv', 'metadata.tsv', 'metadata.jsonl', 'metadata.parquet', 'metadata.xlsx')
NONE = 'none'  # for a table: folders are the classes, whatever else lies there
MAX_BYTES = 1 << 30
# A byte order mark says it; without one a table that is not UTF-8 comes from a Western Windows.
_MARKS = ((b'\xef\xbb\xbf', 'utf-8-sig'), (b'\xff\xfe', 'utf-16'), (b'\xfe\xff', 'utf-16'))
_DELIMITERS = ',;\t'
_ACCENTED = re.compile(r'[^\x00-\x7f\ufffd]')
_SEPARATOR = re.compile(r'sep=([,;\t])\r?\n')  # a first line that Excel understands

# What spreadsheets show where a formula failed, in the language of their user: that there is
# nothing (English, Dutch, German), or that something is broken (#REF!, #VERW!, #BEZUG!, #DIV/0!).
_NOT_AVAILABLE = frozenset({'#N/A', '#N/B', '#NV'})
_BROKEN = re.compile(r'#[A-ZÀ-Ý0-9/]+[!?]')

Cell = str | list[str]


@dataclasses.dataclass
class Table:
  """Columns and rows as text; a list is a cell with several values (JSON and Parquet have them).

  `lines` are the places of the rows in the file, counted as an editor or a spreadsheet does;
  `encoding` is how the text was read.
  """

  path: Path
  columns: list[str]
  rows: list[list[Cell]]
  lines: list[int]
  encoding: str

  def column(self, name: str) -> list[Cell]:
    """All cells of a column."""
    at = self.columns.index(name)
    return [row[at] for row in self.rows]


def find(folder: Path, name: str | None = None) -> Path | None:
  """The table of a folder: the file `name`, or the one `metadata.*`; None if there is none, or for
  the name `none`.
  """
  if name == NONE:
    return None
  if name:
    path = folder / name
    if not path.is_file():
      raise UserError(f'--metadata={name}: no such file in {folder}; expected a table there')
    if Path(os.path.normpath(name)).parts[0] in ('..', '/'):  # what is outside is not watched
      raise UserError(
        f'--metadata={name}: lies outside {folder}; expected a path relative to it; copy it there'
      )
    return path
  files = sorted(path for path in folder.iterdir() if path.is_file())
  found = [path for path in files if path.name.lower() in NAMES]
  if len(found) > 1:
    raise UserError(
      f'{folder}: holds {" and ".join(path.name for path in found)}; expected one '
      'table; remove the others or say --metadata=NAME'
    )
  others = [path.name for path in files if path.suffix.lower() in {*_READERS, '.xls'} - {'.txt'}]
  if others and not found:
    raise UserError(
      f'{folder}: holds {examples(others)} and no metadata.csv; if it is the table, say '
      f'--metadata={others[0]}, if every folder is a class, --metadata={NONE}'
    )
  return found[0] if found else None


def read(path: Path) -> Table:
  """Reads a table by its ending; raises `UserError` for one that cannot be read as such."""
  reader = _READERS.get(path.suffix.lower())
  if reader is None:
    raise UserError(f'{path}: unknown kind of table; expected one of {", ".join(_READERS)}')
  if path.stat().st_size > MAX_BYTES:
    raise UserError(
      f'{path}: {path.stat().st_size:,} bytes; expected a table of at most '
      f'{MAX_BYTES:,}; split it or leave columns out'
    )
  table = _named(reader(path))
  twice = sorted({name for name in table.columns if table.columns.count(name) > 1})
  if twice:
    raise UserError(
      f'{path}: the column {twice[0]!r} stands twice; expected each name once; rename one of them'
    )
  if not table.rows:
    raise UserError(f'{path}: the table has no rows; expected a header and one row a picture')
  return table


def without_errors(table: Table, columns: Iterable[str]) -> None:
  """Empties cells of `columns` in which a spreadsheet had nothing to show; refuses broken ones."""
  for at in [table.columns.index(name) for name in columns]:
    for row, line in zip(table.rows, table.lines, strict=True):
      cell = row[at]
      if isinstance(cell, str) and cell in _NOT_AVAILABLE:
        row[at] = ''
      elif isinstance(cell, str) and _BROKEN.fullmatch(cell):
        raise UserError(
          f'{table.path}: line {line}: {table.columns[at]!r} is {cell}, what a spreadsheet shows '
          'where a formula failed; correct that cell, or empty it'
        )


def _named(table: Table) -> Table:
  """The table with plain names, without the columns that have none (an index that pandas wrote)."""
  columns = [normalise(name) for name in table.columns]
  keep = [i for i, name in enumerate(columns) if name]
  table.columns = [columns[i] for i in keep]
  table.rows = [[row[i] for i in keep] for row in table.rows]
  return table


def decode(data: bytes, *, path: Path) -> tuple[str, str]:
  """Bytes -> (text, encoding): by mark, else UTF-8, else Windows-1252."""
  encoding = next((name for mark, name in _MARKS if data.startswith(mark)), '')
  if not encoding:
    # UTF-16 without a mark: every plain letter has a zero beside it, always on the same side.
    even, odd = data[:4096:2].count(0), data[1:4096:2].count(0)
    if max(even, odd) > len(data[:4096]) // 4:
      encoding = 'utf-16-le' if odd > even else 'utf-16-be'
  try:
    return data.decode(encoding or 'utf-8'), encoding or 'utf-8'
  except UnicodeDecodeError as error:
    if encoding:
      raise UserError(
        f'{path}: broken {encoding} at byte {error.start:,}; save the table as UTF-8'
      ) from None
    guessed = data.decode(errors='replace')
    if len(_ACCENTED.findall(guessed)) > guessed.count('\ufffd'):
      line = data.count(b'\n', 0, error.start) + 1
      raise UserError(
        f'{path}: line {line} is not UTF-8 as the rest is '
        f'({data[error.start : error.end]!r}); correct that line, or save the table as UTF-8'
      ) from None
  try:
    return data.decode('cp1252'), 'cp1252'
  except UnicodeDecodeError as error:
    raise UserError(
      f'{path}: neither UTF-8 nor Windows-1252 (byte {error.start:,}); save the table as UTF-8'
    ) from None


def _delimited(path: Path) -> Table:
  text, encoding = decode(path.read_bytes(), path=path)
  if '\0' in text:
    raise UserError(f'{path}: holds zero bytes; expected text; is it really a table?')
  said = _SEPARATOR.match(text)
  header = next(
    (line for line in text[said.end() if said else 0 :].splitlines() if line.strip()), ''
  )
  delimiter = '\t' if path.suffix.lower() == '.tsv' else max(_DELIMITERS, key=header.count)
  reader = csv.reader(
    io.StringIO(text, newline=''), delimiter=said[1] if said else delimiter, strict=True
  )
  if said:
    next(reader)
  columns: list[str] = []
  rows: list[list[Cell]] = []
  lines: list[int] = []
  line = 1
  try:
    for row in reader:
      start, line = line, reader.line_num + 1
      if not any(cell.strip() for cell in row):
        continue
      if not columns:
        columns = list(row)
      elif len(row) == len(columns):
        rows.append([*row])
        lines.append(start)
      else:
        raise UserError(
          f'{path}: line {start} has {len(row)} cells, the header has {len(columns)}; '
          'put cells that hold the delimiter or a line end into quotes'
        )
  except csv.Error as error:
    raise UserError(
      f'{path}: line {line}: {error}; expected a table with quotes in pairs'
    ) from None
  return Table(path, columns, rows, lines, encoding)


def _json_lines(path: Path) -> Table:
  text, encoding = decode(path.read_bytes(), path=path)
  objects: list[dict[str, Any]] = []
  lines: list[int] = []
  for number, line in enumerate(text.split('\n'), start=1):
    if not line.strip():
      continue
    try:
      value = json.loads(line)
    except (ValueError, RecursionError) as error:
      raise UserError(
        f'{path}: line {number} is not JSON ({error}); expected one object a line'
      ) from None
    if not isinstance(value, dict):
      raise UserError(f'{path}: line {number} is a {type(value).__name__}; expected an object')
    objects.append(value)
    lines.append(number)
  return _from_objects(path, objects, lines, encoding)


def _parquet(path: Path) -> Table:
  try:
    import pyarrow.parquet
  except ImportError:
    raise UserError(
      f'{path}: reading Parquet needs pyarrow; pip install pyarrow, or save the table as CSV'
    ) from None
  try:
    objects = pyarrow.parquet.read_table(path).to_pylist()
  except (pyarrow.ArrowException, OSError) as error:
    raise UserError(f'{path}: not a Parquet file that can be read ({error})') from None
  return _from_objects(path, objects, list(range(1, len(objects) + 1)), 'parquet')


def _excel(path: Path) -> Table:
  try:
    import openpyxl
  except ImportError:
    raise UserError(
      f'{path}: reading .xlsx needs openpyxl; pip install openpyxl, or save the table as CSV'
    ) from None
  try:
    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    sheet = book.worksheets[0]
    sheet.reset_dimensions()  # some programs write a size that leaves rows or columns out
    values = [list(row) for row in sheet.iter_rows(values_only=True)]
    book.close()
  except Exception as error:  # openpyxl lets zip, XML and key errors through as they come
    raise UserError(f'{path}: not an Excel file that can be read ({error})') from None
  filled = [
    (i, row) for i, row in enumerate(values, start=1) if any(cell is not None for cell in row)
  ]
  if not filled:
    return Table(path, [], [], [], 'xlsx')
  width = max(len(row) for _, row in filled)
  columns, *rows = (
    [_text(row[i], path=path) if i < len(row) else '' for i in range(width)] for _, row in filled
  )
  return Table(path, columns, [[*row] for row in rows], [i for i, _ in filled[1:]], 'xlsx')


def _from_objects(
  path: Path, objects: Sequence[dict[str, Any]], lines: list[int], encoding: str
) -> Table:
  columns = list(dict.fromkeys(name for value in objects for name in value))
  rows: list[list[Cell]] = []
  for value, line in zip(objects, lines, strict=True):
    row: list[Cell] = []
    for name in columns:
      cell = value.get(name)
      if isinstance(cell, dict) or (
        isinstance(cell, Iterable) and not isinstance(cell, str | list)
      ):
        raise UserError(
          f'{path}: record {line}: {name!r} is a {type(cell).__name__}; expected a '
          'text, a number or a list of texts'
        )
      row.append(
        [_text(one, path=path) for one in cell]
        if isinstance(cell, list)
        else _text(cell, path=path)
      )
    rows.append(row)
  return Table(path, columns, rows, lines, encoding)


def _text(value: Any, *, path: Path) -> str:
  if value is None or value != value:  # NaN is how tables of numbers say missing
    return ''
  if isinstance(value, float) and value.is_integer():
    return str(int(value))  # a number column with gaps comes as 12.0
  if isinstance(value, list | dict):
    raise UserError(f'{path}: a list inside a list; expected texts')
  text = str(value)
  try:
    text.encode()
  except UnicodeEncodeError:
    raise UserError(
      f'{path}: {text[:40]!a} holds half a character; expected whole ones; correct that text'
    ) from None
  return text


_READERS: dict[str, Callable[[Path], Table]] = {
  '.csv': _delimited,
  '.tsv': _delimited,
  '.txt': _delimited,
  '.jsonl': _json_lines,
  '.ndjson': _json_lines,
  '.parquet': _parquet,
  '.xlsx': _excel,
}
