"""The two forms of the table, as columns and rows of cells: one row for each picture (wide), or one
for each suggestion (long, `tfds_rijks.suggestions`).
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterator, Mapping, Sequence

from flaxart.evaluation.answer import DIGITS, TOP, Row
from flaxart.evaluation.calibration import Calibration
from flaxart.tasks.task import Task
from tfds_rijks import suggestions

SEPARATOR = '|'  # between several decisions, as tfds_rijks.prepare reads them back
FORMS = ('wide', 'long')
Cell = str | float | None  # a number is never text, so that it cannot be run as a formula


@dataclasses.dataclass(frozen=True)
class Column:
  """A column of texts, or of numbers with this many digits after the decimal sign; a workbook
  offers its `choices`.
  """

  name: str
  digits: int | None = None
  choices: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Origin:
  """What made the rows of the long form; `uris` `{class: identifier}` of each field."""

  generator: str
  model_sha256: str
  generated_at: str
  uris: Mapping[str, Mapping[str, str]]


def wide_columns(tasks: Sequence[Task]) -> list[Column]:
  """The columns of the wide form."""
  columns = [Column(name) for name in ('image', 'id', 'status', 'reason')]
  for task in tasks:
    for k in range(1, TOP + 1):
      columns += [
        Column(f'{task.name}_{k}', 1 if task.answers_number else None),
        Column(f'{task.name}_{k}_p', 4),
      ]
    columns.append(Column(f'{task.name}_decision'))
  return columns


def wide(row: Row) -> dict[str, Cell]:
  """The cells of a picture or an object; what is unknown is left out."""
  cells: dict[str, Cell] = {
    'image': row.image, 'id': row.id, 'status': row.status, 'reason': row.reason
  }  # fmt: skip
  for field, number in row.numbers.items():
    cells[f'{field}_1'] = number
  for field, names in row.names.items():
    for k, name in enumerate(names[:TOP], start=1):
      cells[f'{field}_{k}'], cells[f'{field}_{k}_p'] = name.value, name.probability
    decided = sorted((name for name in names if name.decided), key=lambda name: name.place)
    cells[f'{field}_decision'] = SEPARATOR.join(name.value for name in decided)
  return cells


def long_columns() -> list[Column]:
  """The columns of the long form; a value may also be a number."""
  digits = {'rank': 0, 'probability': DIGITS, 'threshold': DIGITS}
  choices = {'status': suggestions.STATUSES}
  return [Column(n, digits.get(n), choices.get(n, ())) for n in suggestions.COLUMNS]


def long(row: Row, calibration: Calibration, origin: Origin) -> Iterator[dict[str, Cell]]:
  """The suggestions of a picture or an object: the likeliest names of each field, further ones that
  are decided, and numbers.
  """
  about: dict[str, Cell] = {
    'record_id': row.id,
    'image': row.image,
    'status': 'suggested',
    'generator': origin.generator,
    'model_sha256': origin.model_sha256,
    'generated_at': origin.generated_at,
  }
  for field, names in row.names.items():
    threshold = (calibration.get(field) or {}).get('threshold')
    if threshold is not None:  # down, so that a decided name is not below it in the table
      threshold = math.floor(threshold * 10**DIGITS) / 10**DIGITS
    uris = origin.uris.get(field, {})
    for rank, name in enumerate(names, start=1):
      yield about | {
        'field': field,
        'value': name.value,
        'value_uri': uris.get(name.value, ''),
        'rank': rank,
        'probability': name.probability,
        'threshold': threshold,
      }
  for field, number in row.numbers.items():
    yield about | {'field': field, 'value': number, 'rank': 1}


def readable(path: str) -> str:
  """A path as text, with bytes that are not UTF-8 as `\\xe9`."""
  return os.fsencode(path).decode(errors='backslashreplace')
