"""The table of suggestions in its long form: one row for each value that a program suggests for a
field of a record, and what a person decided about it. `docs/suggestions.md` describes it for users.

`flaxart predict --form=long` writes it, reviewers fill in `status`, and `flaxart apply` and
`flaxart prepare --decisions` read it.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import os
import re
import typing
from collections.abc import Iterable
from pathlib import Path

from tfds_rijks import own_files
from tfds_rijks.collection import table
from tfds_rijks.errors import UserError
from tfds_rijks.formulas import defuse, restore
from tfds_rijks.labels import normalise
from tfds_rijks.sheets.cells import Remade

Status = typing.Literal['suggested', 'accepted', 'changed', 'rejected', 'unsure']
STATUSES: tuple[Status, ...] = typing.get_args(Status)
DECIDED: tuple[Status, ...] = ('accepted', 'changed')  # a person vouches for the value


@dataclasses.dataclass(frozen=True)
class Suggestion:
  """A row; its fields are the columns, in their order. What is unknown is '' or None.

  Attributes: `record_id` the museum's number of the record; `image` the picture, relative to the
  folder that was predicted; `field` such as `artist`; `value` the name, or a number as text;
  `value_uri` its identifier; `rank` 1 for the likeliest value of the field; `probability`
  calibrated; `threshold` the probability from which the program itself would decide; `status`;
  `reviewer`, `reviewed_at` and `comment` of the person who decided; `generator` the program and
  its version; `model_sha256` the hash of the checkpoint's manifest; `generated_at` in UTC.
  """

  record_id: str
  image: str
  field: str
  value: str
  value_uri: str = ''
  rank: int | None = None
  probability: float | None = None
  threshold: float | None = None
  status: Status = 'suggested'
  reviewer: str = ''
  reviewed_at: str = ''
  comment: str = ''
  generator: str = ''
  model_sha256: str = ''
  generated_at: str = ''


COLUMNS = tuple(field.name for field in dataclasses.fields(Suggestion))
NUMBERS = ('rank', 'probability', 'threshold')
_COMMA = re.compile(r'(-?\d+),(\d+)')
_WHOLE = re.compile(r'(\d+)(?:[.,]0+)?')  # pandas writes 1.0 in a column with an empty cell
_TEXTS = ('record_id', 'image', 'value')  # that a spreadsheet may have made a date


def read(path: Path, *, sheet: str = '') -> list[Suggestion]:
  """The rows of a table of suggestions, in any kind of file that `prepare` reads as a table.

  A spreadsheet may have saved it: with semicolons, decimal commas, in another encoding, with more
  columns or in another order. Raises `UserError`, which names the line, for anything that is not
  such a table.
  """
  path = path.expanduser()
  if not path.is_file():
    raise UserError(f'{path}: is not a file; give a table of suggestions')
  content = table.read(path, sheet=sheet)
  missing = [name for name in COLUMNS if name not in content.columns]
  if missing:
    raise UserError(
      f'{path}: has no column {", ".join(missing)}; expected the columns of a table of '
      f'suggestions: {", ".join(COLUMNS)}'
    )
  table.without_errors(content, [name for name in COLUMNS if name != 'comment'])
  table.check_ids(content, 'record_id')
  cells = [content.column(name) for name in COLUMNS]
  return [
    _suggestion(row, f'{path}: line {line}')
    for row, line in zip(zip(*cells, strict=True), content.lines, strict=True)
  ]


def write(path: Path, suggestions: Iterable[Suggestion]) -> None:
  """Writes the whole table or nothing, as of `as_csv`."""
  data = as_csv(suggestions)
  with own_files.temporary(path) as (handle, new), os.fdopen(os.dup(handle), 'wb') as file:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())
    new.replace(path)


def as_csv(suggestions: Iterable[Suggestion]) -> bytes:
  """The table as CSV: UTF-8 with a byte order mark, formulas defused."""
  text = io.StringIO()
  text.write('\ufeff')
  rows = csv.writer(text, lineterminator='\r\n')
  rows.writerow(COLUMNS)
  rows.writerows(cells(one) for one in suggestions)
  return text.getvalue().encode('utf-8')


def cells(one: Suggestion) -> list[str]:
  """The cells of a row of CSV."""
  return [
    ('' if value is None else str(value)) if name in NUMBERS else defuse(value)
    for name, value in dataclasses.asdict(one).items()
  ]


def _suggestion(row: tuple[table.Cell, ...], where: str) -> Suggestion:
  texts: dict[str, str] = {}
  for name, cell in zip(COLUMNS, row, strict=True):
    if isinstance(cell, list):
      raise UserError(f'{where}: several values in {name}; expected one row for each value')
    if isinstance(cell, Remade) and name in _TEXTS:
      raise UserError(
        f'{where}: {name!r} is the date or number {cell}, as changed by a spreadsheet; format '
        'that column as text and enter it again'
      )
    texts[name] = restore(str(cell))
  field, value, status = texts['field'], texts['value'], normalise(texts['status']).casefold()
  if status not in STATUSES:
    raise UserError(
      f'{where}: found the status {texts["status"]!r}, expected one of {", ".join(STATUSES)}'
    )
  if not normalise(field) or (status in DECIDED and not normalise(value)):
    lacking = 'value' if normalise(field) else 'field'
    raise UserError(f'{where}: {lacking!r} is empty in a row that is {status}; fill it in')
  if not texts['probability'].strip():  # a number has none, and the decimal sign of its file
    texts['value'] = _COMMA.sub(r'\1.\2', value) if _COMMA.fullmatch(value) else value
  return Suggestion(
    **{name: text for name, text in texts.items() if name not in (*NUMBERS, 'status')},
    rank=_rank(texts['rank'], where),
    probability=_fraction(texts, 'probability', where),
    threshold=_fraction(texts, 'threshold', where),
    status=status,
  )


def _rank(text: str, where: str) -> int | None:
  """A whole number from 1; None if empty."""
  if not text.strip():
    return None
  found = _WHOLE.fullmatch(text.strip())
  if not found or int(found[1]) < 1:
    raise UserError(f'{where}: found the rank {text!r}, expected a whole number from 1')
  return int(found[1])


def _fraction(texts: dict[str, str], name: str, where: str) -> float | None:
  """A number from 0 to 1 with a decimal point or comma; None if empty."""
  text = texts[name].strip()
  if not text:
    return None
  try:
    found = float(text.replace(',', '.'))
  except ValueError:
    found = math.nan
  if not 0 <= found <= 1:  # not so for NaN
    raise UserError(f'{where}: found the {name} {text!r}, expected a number from 0 to 1')
  return found
