"""The table of suggestions: one row per picture."""

from __future__ import annotations

import csv
import io
import itertools
import os
from collections.abc import Container

import numpy as np

from flaxart.net import Net
from flaxart.prediction.pictures import Answer
from flaxart.tasks.task import Task
from tfds_rijks import nobody
from tfds_rijks.formulas import defuse

SEPARATOR = '|'  # between several decisions, as tfds_rijks.prepare reads them back
TOP = 3  # names per task


def task_columns(task: Task) -> list[str]:
  """The columns of one task, in the order of the table."""
  ranks = [c for k in range(1, TOP + 1) for c in (f'{task.name}_{k}', f'{task.name}_{k}_p')]
  return [*ranks, f'{task.name}_decision']


def row(net: Net, path: str, record: str, answer: Answer) -> dict[str, str]:
  """One row of the table; what is unknown is empty."""
  cells = {'image': readable(path), 'id': record, 'status': 'ok', 'reason': ''}
  if isinstance(answer, str):
    return {**cells, 'status': 'unreadable', 'reason': answer}
  given = net.decide({name: np.asarray(values)[None] for name, values in answer.items()})
  for task in net.tasks:
    # A class such as `onbekend`, in a published list, is not a suggestion.
    said = ((name, p) for name, p in task.ranked(answer[task.name]) if not nobody.KNOWN(name))
    for k, (name, p) in enumerate(itertools.islice(said, TOP), start=1):
      cells[f'{task.name}_{k}'], cells[f'{task.name}_{k}_p'] = name, p
    cells[f'{task.name}_decision'] = SEPARATOR.join(
      name for name in given[task.name][0] if not nobody.KNOWN(name)
    )
  return cells


def passed_over_row(path: str, reason: str) -> dict[str, str]:
  """The row of a file that is not a picture."""
  return {'image': readable(path), 'id': '', 'status': 'passed over', 'reason': reason}


def to_csv(rows: list[dict[str, str]], columns: list[str], *, numbers: Container[str] = ()) -> str:
  """The table as text, with a byte-order mark for spreadsheets; cells that would run are defused,
  except in the columns `numbers`.
  """
  text = io.StringIO()
  text.write('\ufeff')
  table = csv.DictWriter(text, columns, restval='', lineterminator='\r\n')
  table.writeheader()
  table.writerows(
    {key: value if key in numbers else defuse(value) for key, value in cells.items()}
    for cells in rows
  )
  return text.getvalue()


def readable(path: str) -> str:
  """A path as text, with bytes that are not UTF-8 as `\\xe9`."""
  return os.fsencode(path).decode(errors='backslashreplace')
