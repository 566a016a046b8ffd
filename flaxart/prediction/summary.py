"""What a table of predictions says of itself: one sentence for each task, and its sidecar."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from flaxart.evaluation.answer import Row
from flaxart.evaluation.calibration import LEAST, Calibration
from flaxart.tasks.task import Task

NOTE = (
  'A prediction is a suggestion for a cataloguer. It is not an attribution and not an '
  'authentication.'
)


@dataclasses.dataclass(frozen=True)
class Counted:
  """Of one task: the rows with an answer and those with a decision, and why the rest has none."""

  answered: int
  decided: int
  sentence: str

  def as_json(self) -> dict[str, Any]:
    """For the sidecar."""
    return dataclasses.asdict(self)


def count(
  tasks: Sequence[Task], calibration: Calibration, rows: Sequence[Row]
) -> dict[str, Counted]:
  """How many rows of each task have a decision, and if none, why."""
  readable = [row for row in rows if row.status == 'ok']
  result = {}
  for task in tasks:
    names = [row.names.get(task.name, ()) for row in readable]
    decided = sum(any(name.decided for name in of_row) for of_row in names)
    likeliest = [of_row[0].probability for of_row in names if of_row]
    sentence = _sentence(task, calibration.get(task.name), len(readable), decided, likeliest)
    result[task.name] = Counted(len(readable), decided, sentence)
  return result


def _sentence(
  task: Task,
  entry: Mapping[str, Any] | None,
  rows: int,
  decided: int,
  likeliest: Sequence[float | None],
) -> str:
  if not task.decides:
    return f'{task.name}: {"a number" if task.answers_number else "an answer"} without a decision'
  if entry is None:
    return (
      f'{task.name}: no probability and no decision, because the run has no calibration (it has no '
      'val split, is not finished, or this is not its best step)'
    )
  aim = f'{100 * entry["precision"]:g} %'
  threshold = entry['threshold']
  if threshold is None:
    return (
      f'{task.name}: no decision, because no threshold makes {aim} of at least {LEAST} names right '
      f'on val ({entry["n"]:,} records); a lower --precision may'
    )
  if decided:
    return (
      f'{task.name}: {decided:,} of {rows:,} have a decision, a name with a probability of at '
      f'least {threshold:.4f} ({_reached(entry)})'
    )
  most = max((p for p in likeliest if p is not None), default=None)
  if most is None:
    return f'{task.name}: no decision, because no picture has a name with a probability'
  return (
    f'{task.name}: no decision, because the highest probability is {most:.4f}, and a decision '
    f'needs {threshold:.4f} ({_reached(entry)})'
  )


def _reached(entry: Mapping[str, Any]) -> str:
  right, aim = entry.get('val_precision'), f'{100 * entry["precision"]:g} %'
  return f'of such names on val {100 * right:.0f} % were right; asked for: {aim}' if right else aim


def probabilities(tasks: Sequence[Task], calibration: Calibration) -> dict[str, Any]:
  """What the probabilities of each task are."""
  return {
    task.name: {'calibrated': True, 'temperature': calibration[task.name]['temperature']}
    if task.name in calibration
    else {'calibrated': False, 'written': False}
    for task in tasks
    if task.decides
  }
