"""Data whose classes are others, or in another order, read in the order of a run's heads."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

import numpy as np

from flaxart.data.source import Dataset, Split
from flaxart.tasks.task import REGRESSION, SIGMOID, Task, tasks_from_features

log = logging.getLogger('flaxart')


def by_class_name(dataset: Dataset, tasks: Sequence[Task]) -> Dataset:
  """`dataset` with the labels of `tasks` numbered as the run numbers them.

  The heads stay as they are: a label is moved to the class of the same name. A class that the run
  does not know becomes a missing label, which no loss and no score counts; both are logged.
  """
  splits = dict(dataset.splits)
  for task in tasks:
    if task.kind == REGRESSION:
      continue
    found = tasks_from_features(dataset.features, {task.name: task.weight})[0].classes
    number = {name: i for i, name in enumerate(task.classes)}
    to = np.asarray([number.get(name, -1) for name in found], np.int32)
    splits = {name: _moved(split, task, to) for name, split in splits.items()}
    unknown = [name for name in found if name not in number]
    absent = [name for name in task.classes if name not in found]
    log.info(
      '%s: %d of %d classes matched by name; unknown to the run, their labels count as missing: '
      '%s; not in the data: %s',
      task.name,
      len(found) - len(unknown),
      len(task.classes),
      _some(unknown),
      _some(absent),
    )
  return dataclasses.replace(dataset, splits=splits)


def _moved(split: Split, task: Task, to: np.ndarray) -> Split:
  labels = split.labels[task.name]
  if task.kind == SIGMOID:
    moved = np.zeros((len(labels), len(task.classes)), bool)
    known = to >= 0
    moved[:, to[known]] = labels[:, known]
  else:
    moved = np.where(labels >= 0, to[labels], -1).astype(np.int32)
  return dataclasses.replace(split, labels={**split.labels, task.name: moved})


def _some(names: Sequence[str]) -> str:
  more = f' and {len(names) - 5} more' if len(names) > 5 else ''
  return ', '.join(repr(name) for name in names[:5]) + more if names else 'none'
