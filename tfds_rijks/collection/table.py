"""Reads the table of a collection: CSV and the like, JSON lines, Parquet, workbooks."""

from __future__ import annotations

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tfds_rijks import strict_json
from tfds_rijks.build_report import examples
from tfds_rijks.delimited import decode, rows
from tfds_rijks.errors import UserError
from tfds_rijks.formulas import restore
from tfds_rijks.labels import normalise
from tfds_rijks.sheets.cells import Fault, Remade
from tfds_rijks.sheets.sheet import Sheet
from tfds_rijks.table_size import MAX_BYTES, Growing, check_size

NAMES = tuple(
  f'metadata.{kind}' for kind in ('csv', 'tsv', 'jsonl', 'parquet', 'xlsx', 'xlsm', 'xls', 'ods')
)
NONE = 'none'  # for a table: folders are the classes, whatever other files there are
# What spreadsheets show for a failed formula, in the user's language: no value (English, Dutch,
# German), or an error (#REF!, #VERW!, #BEZUG!, #DIV/0!).
_NOT_AVAILABLE = frozenset({'#N/A', '#N/B', '#NV'})
_BROKEN = re.compile(r'#[A-ZÀ-Ý0-9/]+[!?]|(?:Err|Fehler|Fout|Erreur) ?:\d{3}|#{3,}')
# What they turn the object number 1E5 into; as text in an exported CSV.
_SCIENTIFIC = re.compile(r'\d(?:[.,]\d+)?E\+\d+')
_LINE = re.compile(r'[^\n]*\n|[^\n]+')
_BATCH, _TEXTS = 100, ('string', 'large_string')  # rows, and types, of Parquet

Cell = str | list[str]


@dataclasses.dataclass
class Table:
  """Columns and rows as text; a list is a cell with several values (in JSON and Parquet).

  `lines` are the rows' line numbers, as in an editor or a spreadsheet, and `header` that of the
  names; `encoding` is that of the text, `sheet` that of a workbook, `notes` what a user should know
  about the reading.
  """

  path: Path
  columns: list[str]
  rows: list[list[Cell]]
  lines: list[int]
  encoding: str = ''
  sheet: str = ''
  notes: list[str] = dataclasses.field(default_factory=list)
  header: int = 1

  def column(self, name: str) -> list[Cell]:
    """All cells of a column."""
    at = self.columns.index(name)
    return [row[at] for row in self.rows]


def find(folder: Path, name: str | None = None) -> Path | None:
  """The table of a folder: the file `name`, or the only `metadata.*`; None if there is none, or for
  the name `none`.
  """
  if name == NONE:
    return None
  if name:
    path = folder / name
    if not path.is_file():
      raise UserError(f'--metadata={name}: no such file in {folder}; expected a table there')
    if Path(os.path.normpath(name)).parts[0] in (
      '..',
      '/',
    ):  # files outside are not checked for changes
      raise UserError(
        f'--metadata={name}: is outside {folder}; expected a path relative to it; copy it there'
      )
    return path
  files = sorted(path for path in folder.iterdir() if path.is_file())
  found = [path for path in files if path.name.lower() in NAMES]
  if len(found) > 1:
    raise UserError(
      f'{folder}: holds {" and ".join(path.name for path in found)}; expected one '
      'table; remove the others or give --metadata=NAME'
    )
  others = [path.name for path in files if path.suffix.lower() in {*_READERS} - {'.txt'}]
  if others and not found:
    raise UserError(
      f'{folder}: has {examples(others)} and no metadata.csv; if it is the table, '
      f'give --metadata={others[0]}, if every folder is a class, --metadata={NONE}'
    )
  return found[0] if found else None


def read(path: Path, *, sheet: str = '') -> Table:
  """Reads a table by its ending; raises `UserError` if that fails.

  `sheet` names that of a workbook; by default the first visible one.
  """
  reader = _READERS.get(path.suffix.lower())
  if reader is None:
    raise UserError(f'{path}: unknown kind of table; expected one of {", ".join(_READERS)}')
  if path.stat().st_size > MAX_BYTES:
    raise UserError(
      f'{path}: {path.stat().st_size:,} bytes; expected a table of at most '
      f'{MAX_BYTES:,}; split it or leave columns out'
    )
  if sheet and reader is not _workbook:
    raise UserError(f'--sheet={sheet}: {path} has no sheets; leave the option out')
  table = _named(reader(path, sheet))
  twice = sorted(name for name, count in Counter(table.columns).items() if count > 1)
  if twice:
    raise UserError(
      f'{path}: the column {twice[0]!r} occurs twice; expected each name once; rename one of them'
    )
  if not table.rows:
    raise UserError(f'{path}: the table has no rows; expected a header and one row per picture')
  return table


def restored(table: Table) -> Table:
  """The table with names and texts that flaxart defused for spreadsheets, such as `'=A1`."""
  table.columns = [restore(name) for name in table.columns]
  for row in table.rows:
    for i, cell in enumerate(row):
      if isinstance(cell, str) and cell.startswith("'"):
        row[i] = restore(cell)
  return table


def without_errors(table: Table, columns: Iterable[str]) -> None:
  """Empties cells of `columns` in which a spreadsheet had no value; refuses errors."""
  place = {name: at for at, name in enumerate(table.columns)}
  for at in [place[name] for name in columns]:
    for row, line in zip(table.rows, table.lines, strict=True):
      cell = row[at]
      if isinstance(cell, list):
        continue
      where = f'{table.path}: line {line}: {table.columns[at]!r}'
      if isinstance(cell, Fault):
        raise UserError(f'{where} {cell}')
      if cell in _NOT_AVAILABLE:
        row[at] = ''
      elif _BROKEN.fullmatch(cell):
        raise UserError(
          f'{where} is {cell}, which a spreadsheet shows for a failed formula or a '
          'narrow column; correct that cell, or empty it'
        )


def check_ids(table: Table, column: str) -> None:
  """Refuses object numbers that a spreadsheet changed: 1965-03 to a date, 1E5 to 1.00E+05."""
  at = table.columns.index(column)
  for row, line in zip(table.rows, table.lines, strict=True):
    cell = row[at]
    if isinstance(cell, Remade) or (isinstance(cell, str) and _SCIENTIFIC.fullmatch(cell)):
      raise UserError(
        f'{table.path}: line {line}: {column!r} is the date or number {cell}, as changed by '
        'a spreadsheet; expected an object number; format that column as text and '
        'enter the number again'
      )


def _named(table: Table) -> Table:
  """The table with plain names, without unnamed columns (such as an index from pandas)."""
  columns = [normalise(name) for name in table.columns]
  keep = [i for i, name in enumerate(columns) if name]
  table.columns = [columns[i] for i in keep]
  if len(keep) < len(columns):
    for i, row in enumerate(table.rows):  # in place: a second copy may not fit
      table.rows[i] = [row[k] for k in keep]
  return table


def _delimited(path: Path, sheet: str) -> Table:
  text, encoding = decode(path.read_bytes(), path=path)
  columns: list[str] = []
  table = Table(path, columns, [], [], encoding)
  for line, row in rows(text, path=path):
    if not columns:
      columns += row
    elif len(row) == len(columns):
      table.rows.append([*row])
      table.lines.append(line)
    else:
      raise UserError(
        f'{path}: line {line} has {len(row)} cells, the header has {len(columns)}; '
        'quote cells that contain the delimiter or a line end'
      )
  return table


def _json_lines(path: Path, sheet: str) -> Table:
  text, encoding = decode(path.read_bytes(), path=path)
  return _from_objects(path, _objects(text, path=path), encoding)


def _objects(text: str, *, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
  """(line, object) of each line that is not empty."""
  for number, match in enumerate(_LINE.finditer(text), start=1):
    if not match[0].strip():
      continue
    try:
      value = strict_json.parse(match[0], nan_as_none=True)  # pandas writes NaN for a missing value
    except ValueError as error:
      raise UserError(
        f'{path}: line {number} is not JSON ({error}); expected one object per line'
      ) from None
    if not isinstance(value, dict):
      raise UserError(f'{path}: line {number} is a {type(value).__name__}; expected an object')
    yield number, value


def _parquet(path: Path, sheet: str) -> Table:
  try:
    import pyarrow.parquet
  except ImportError:
    raise UserError(
      f'{path}: reading Parquet needs pyarrow; pip install pyarrow, or save the table as CSV'
    ) from None
  try:
    texts = [x.name for x in pyarrow.parquet.read_schema(path) if str(x.type) in _TEXTS]
    # As places in a list of texts, as they are stored: one may fill millions of rows.
    with pyarrow.parquet.ParquetFile(path, read_dictionary=texts) as file:
      about = file.metadata
      check_size(path, rows=about.num_rows, columns=len(file.schema_arrow))
      # By its own account; a column of equal values packs to nothing.
      unpacked = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
      if unpacked > MAX_BYTES:
        raise UserError(
          f'{path}: unpacks to {unpacked:,} bytes; expected a table of at most {MAX_BYTES:,}; '
          'split it or leave columns out'
        )
      rows = (row for batch in file.iter_batches(_BATCH) for row in batch.to_pylist())
      return _from_objects(path, enumerate(rows, start=1), 'parquet')
  except (pyarrow.ArrowException, OSError, ValueError) as error:
    raise UserError(f'{path}: not a readable Parquet file ({error})') from None


def _workbook(path: Path, sheet: str) -> Table:
  from tfds_rijks.sheets import read as workbooks  # here: other tables do not need it

  found = workbooks.read(path, sheet)
  filled = _filled(path, found)
  where = f'sheet {found.name!r}'
  if not filled:
    raise UserError(
      f'{path}: {where} has no rows; its other sheets are {", ".join(found.others) or "none"}; '
      'choose the table with --sheet=NAME'
    )
  header = filled[0][0]
  for area in found.merged:
    if area.top <= header <= area.bottom and header < len(found.rows) - 1:
      raise UserError(
        f'{path}: {where}: {area} is one merged cell in the header, row {header + 1}; expected a '
        'name for each column in one row above the data; split that cell, or remove the '
        'rows above the header'
      )
  columns = filled[0][1]
  if fault := next((cell for cell in columns if isinstance(cell, Fault)), None):
    raise UserError(f'{path}: {where}: a name in the header, row {header + 1}, {fault}')
  table = Table(path, columns, [[*row] for _, row in filled[1:]], [i + 1 for i, _ in filled[1:]])
  table.encoding, table.sheet = path.suffix.lower().removeprefix('.'), found.name
  table.header = header + 1
  if found.others:
    table.notes.append(f'{where} was read; not read: {", ".join(found.others)} (--sheet)')
  if found.hidden_rows:
    table.notes.append(f'{where}: {found.hidden_rows:,} hidden rows (a filter) are read as well')
  if found.merged:
    table.notes.append(f'{where}: {len(found.merged):,} merged cells fill their rows')
  return table


def _filled(path: Path, sheet: Sheet) -> list[tuple[int, list[str]]]:
  """(place, cells) of the rows that are not empty, all equally wide; merged cells fill theirs."""
  rows, width = sheet.rows, max(map(len, sheet.rows), default=0)
  check_size(path, rows=sum(map(bool, rows)), columns=width)
  merged = 0
  for area in sheet.merged:
    if area.top >= len(rows) or area.left >= width:
      continue
    inside = rows[area.top : area.bottom + 1]
    across = min(area.right + 1, width) - area.left
    merged += across * len(inside)
    # Merged ranges do not overlap, so that they have no more cells than the table.
    check_size(path, rows=len(inside), columns=width)
    if merged > len(rows) * width or area.bottom < area.top or across < 1:
      raise UserError(
        f'{path}: sheet {sheet.name!r}: {area} and other merged cells overlap; split them'
      )
    shown = rows[area.top][area.left] if area.left < len(rows[area.top]) else ''
    if area.left == 0 and area.top == area.bottom and width <= area.right + 1 and area.top > 0:
      shown = ''  # a heading between rows, as wide as the table
    for row in inside:
      row.extend('' for _ in range(width - len(row)))
      row[area.left : area.left + across] = [shown] * across
  filled = [(i, row) for i, row in enumerate(rows) if any(row)]
  for _, row in filled:
    row.extend('' for _ in range(width - len(row)))
  return filled


def _from_objects(
  path: Path, objects: Iterable[tuple[int, Mapping[str, Any]]], encoding: str
) -> Table:
  """The table of numbered records; their columns are all names, in the order of appearance."""
  places: dict[str, int] = {}
  table, size = Table(path, [], [], [], encoding), Growing(path)
  for line, value in objects:
    row: list[Cell] = [''] * len(places)
    for name, cell in value.items():
      if isinstance(cell, dict) or (
        isinstance(cell, Iterable) and not isinstance(cell, str | list)
      ):
        raise UserError(
          f'{path}: record {line}: {name!r} is a {type(cell).__name__}; expected a '
          'text, a number or a list of texts'
        )
      place = places.setdefault(_text(name, path=path), len(places))
      row.extend('' for _ in range(place + 1 - len(row)))
      row[place] = (
        [_text(one, path=path) for one in cell]
        if isinstance(cell, list)
        else _text(cell, path=path)
      )
    size.add(row)
    table.rows.append(row)
    table.lines.append(line)
  table.columns = list(places)
  for row in table.rows:
    row.extend('' for _ in range(len(places) - len(row)))
  return table


def _text(value: Any, *, path: Path) -> str:
  if value is None or value != value:  # NaN means missing in tables of numbers
    return ''
  if isinstance(value, float) and value.is_integer():
    return str(int(value))  # a number column with gaps has 12.0 for 12
  if isinstance(value, list | dict):
    raise UserError(f'{path}: a list inside a list; expected texts')
  text = str(value)
  try:
    text.encode()
  except UnicodeEncodeError:
    raise UserError(f'{path}: {text[:40]!a} contains half a character; correct that text') from None
  return text


_READERS: dict[str, Callable[[Path, str], Table]] = {
  '.csv': _delimited,
  '.tsv': _delimited,
  '.txt': _delimited,
  '.jsonl': _json_lines,
  '.ndjson': _json_lines,
  '.parquet': _parquet,
  **dict.fromkeys(('.xlsx', '.xlsm', '.xls', '.xlsb', '.ods'), _workbook),
}
