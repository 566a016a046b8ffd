"""The build report: `build_report.json` beside the data, and its text form."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfds_rijks import terminal

FILE = 'build_report.json'


def write_json(path: Path, value: Any) -> None:
  """Writes a JSON file whole or not at all."""
  write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + '\n')


def write_text(path: Path, text: str, *, encoding: str = 'utf-8') -> None:
  """Writes a text file whole or not at all: a temporary neighbour, synced, then renamed."""
  path.parent.mkdir(parents=True, exist_ok=True)
  handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.')
  try:
    with os.fdopen(handle, 'w', encoding=encoding, newline='') as file:
      file.write(text)
      file.flush()
      os.fsync(file.fileno())
    Path(temporary).chmod(0o644)
    Path(temporary).replace(path)
  except BaseException:
    Path(temporary).unlink(missing_ok=True)
    raise


def read(folder: Path) -> dict[str, Any]:
  """The report beside prepared data; empty if there is none."""
  path = Path(folder) / FILE
  return json.loads(path.read_text(encoding='utf-8')) if path.exists() else {}


def table(rows: Sequence[Sequence[Any]], *, header: Sequence[str]) -> str:
  """Plain text columns, as wide as the terminal: numbers to the right, text to the left."""
  numeric = [
    bool(rows) and all(not isinstance(row[i], str) for row in rows) for i in range(len(header))
  ]
  cells = [[_cell(cell) for cell in row] for row in rows]
  return terminal.table(header, cells, right=numeric, columns=terminal.width(sys.stdout))


def _sizes(splits: Mapping[str, int], intended: Mapping[str, float]) -> str:
  """Records of each split; where it was drawn, its share and the one that was intended."""
  everything = sum(splits.values())
  if not intended:
    return table([*splits.items(), ('all', everything)], header=('split', 'records'))
  rows = [
    (name, splits.get(name, 0), splits.get(name, 0) / everything, share)
    for name, share in intended.items()
  ]
  return table(
    [*rows, ('all', everything, 1.0, 1.0)], header=('split', 'records', 'share', 'intended')
  )


def _cell(cell: Any) -> str:
  if isinstance(cell, float):
    return f'{cell:.3f}'
  return f'{cell:,}' if isinstance(cell, int) else str(cell)


def text(report: Mapping[str, Any]) -> str:
  """The text printed at the end of a build. Absent keys are skipped.

  `splits` {name: records}, `shares` {name: intended}, `tasks` {name: labels.describe(...)},
  `unreadable` {reason: [ids]}, `picture_notes` and `passed_over` {phrase: [names]},
  `leak` {'test', 'leaked'}, `notes` [text].
  """
  parts = []
  if splits := report.get('splits'):
    parts.append(_sizes(splits, report.get('shares', {})))
  if tasks := report.get('tasks'):
    rows = [
      (
        name,
        task['classes'],
        task['labelled'],
        task['missing'],
        task['largest_class_share'],
        task['gini'],
        len(task['dropped_classes']),
        sum(task['dropped_classes'].values()),
      )
      for name, task in tasks.items()
      if 'classes' in task
    ]
    parts.append(
      table(
        rows,
        header=(
          'task',
          'classes',
          'labelled',
          'missing',
          'floor',
          'gini',
          'dropped classes',
          'their records',
        ),
      )
    )
  if unreadable := report.get('unreadable'):
    parts.append(
      table(
        [(reason, len(ids), examples(ids)) for reason, ids in unreadable.items()],
        header=('unreadable', 'pictures', 'examples'),
      )
    )
  for key, what in (('picture_notes', 'tolerated'), ('passed_over', 'passed over')):
    if found := report.get(key):
      named = [(reason, len(names), examples(names)) for reason, names in found.items()]
      parts.append(table(named, header=(what, 'files', 'examples')))
  if leaked := report.get('leak'):
    parts.append(
      f'A split by record would have leaked {leaked["leaked"]:,} of {leaked["test"]:,} '
      'test records (a member of their group in train); the split by group leaks none.'
    )
  parts += report.get('notes', [])
  return '\n\n'.join(parts)


def examples(items: Iterable[str], most: int = 3) -> str:
  """The first few, and how many more there are."""
  items = list(items)
  more = f' and {len(items) - most:,} more' if len(items) > most else ''
  return ', '.join(items[:most]) + more
