"""What the network says of one row of the table: a picture, or an object with several."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flaxart.evaluation.calibration import Calibration, decide_calibrated, recalibrated
from flaxart.tasks.task import Task
from tfds_rijks import nobody

TOP = 3  # names of a task
DIGITS = 6  # of a probability
Probabilities = Mapping[str, np.ndarray]  # of each task `[C]`, or a number
Answer = Probabilities | str  # or why there are none


@dataclasses.dataclass(frozen=True)
class Name:
  """A possible value of a task: its place among the classes, its calibrated probability, None
  without calibration, and whether it passes the threshold.
  """

  value: str
  place: int
  probability: float | None
  decided: bool


@dataclasses.dataclass(frozen=True)
class Row:
  """`names` of each task, the likeliest `TOP` first and then any others that are decided;
  `numbers` of each task that answers one. Both are empty with a `reason`, of the `status`
  `unreadable` or `passed over`.
  """

  image: str
  id: str
  status: str
  reason: str
  names: Mapping[str, Sequence[Name]]
  numbers: Mapping[str, float]


def stored(tasks: Sequence[Task], calibration: Calibration, answer: Answer) -> dict[str, Any]:
  """An answer as JSON: a `reason`, or of each task `[class, probability, decided]` or a number."""
  return all_stored(tasks, calibration, [answer])[0]


def all_stored(
  tasks: Sequence[Task], calibration: Calibration, answers: Sequence[Answer]
) -> list[dict[str, Any]]:
  """The same of several answers, which is faster than one by one."""
  found: list[dict[str, Any]] = [{'reason': a} if isinstance(a, str) else {} for a in answers]
  read = {i: one for i, one in enumerate(answers) if not isinstance(one, str)}
  for task in tasks if read else ():
    values = np.stack([one[task.name] for one in read.values()])
    of_task = _numbers(values) if task.answers_number else _names(task, calibration, values)
    for i, one in zip(read, of_task, strict=True):
      found[i][task.name] = one
  return found


def row(tasks: Sequence[Task], image: str, record: str, found: Mapping[str, Any]) -> Row:
  """The row of what `stored` made."""
  if 'reason' in found and isinstance(found['reason'], str):
    return Row(image, record, 'unreadable', found['reason'], {}, {})
  names = {
    task.name: [Name(task.classes[c], c, p, bool(so)) for c, p, so in found[task.name]]
    for task in tasks
    if not task.answers_number
  }
  numbers = {task.name: found[task.name] for task in tasks if task.answers_number}
  return Row(image, record, 'ok', '', names, {n: x for n, x in numbers.items() if x is not None})


def _names(task: Task, calibration: Calibration, plain: np.ndarray) -> list[list[list[Any]]]:
  """`plain` `[N, C]`."""
  entry = calibration.get(task.name)
  p = recalibrated(task, entry, plain) if entry and task.decides else None
  orders = np.argsort(-plain, axis=1, kind='stable')
  result = []
  for i, order in enumerate(orders):
    decided = set(decide_calibrated(task, entry, p[i])) if entry and p is not None else set()
    found: list[list[Any]] = []
    rest = len(decided)  # not seen yet
    for c in order:
      if len(found) >= TOP and not rest:
        break
      name = task.classes[c]
      rest -= name in decided
      # A class such as `onbekend`, in a published list, is not a suggestion.
      if _nobody(name) or (len(found) >= TOP and name not in decided):
        continue
      sure = None if p is None or math.isnan(p[i, c]) else round(float(p[i, c]), DIGITS)
      found.append([int(c), sure, int(name in decided)])
    result.append(found)
  return result


@functools.cache  # folding a name takes longer than ranking it
def _nobody(name: str) -> bool:
  return nobody.KNOWN(name)


def _numbers(values: np.ndarray) -> list[float | None]:
  return [round(one, 1) if math.isfinite(one) else None for one in values.astype(float).tolist()]
