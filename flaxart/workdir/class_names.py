"""Reads data with other classes, or another order of them, in the order of a run's heads."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

import numpy as np

from flaxart.data.source import Dataset
from flaxart.tasks.kinds import tasks_from_features
from flaxart.tasks.task import Task

log = logging.getLogger('flaxart')


def by_class_name(dataset: Dataset, tasks: Sequence[Task]) -> Dataset:
  """`dataset` with the labels of `tasks` numbered as the run numbers them.

  The heads stay unchanged: labels are matched by class name. A class unknown to the run becomes a
  missing label, which no loss and no score counts; both are logged.
  """
  splits = dict(dataset.splits)
  for task in tasks:
    if not task.classes:
      continue
    found = tasks_from_features(dataset.features, {task.name: task.weight})[0].classes
    number = {name: i for i, name in enumerate(task.classes)}
    to = np.asarray([number.get(name, -1) for name in found], np.int32)
    splits = {
      name: dataclasses.replace(
        split,
        labels={**split.labels, task.name: task.renumbered(split.labels[task.name], to)},
        weights={
          name: _renumbered(rows, to, len(task.classes)) if name == task.name else rows
          for name, rows in split.weights.items()
        },
      )
      for name, split in splits.items()
    }
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


def _renumbered(weights: np.ndarray, to: np.ndarray, classes: int) -> np.ndarray:
  """`Split.weights` with class `to[c]` for class c; a class that the data lack is absent from a
  record of which everything is known, else unknown.
  """
  if weights.ndim == 1:
    return weights
  whole = (weights > 0).all(axis=1, keepdims=True)
  moved = np.repeat(whole.astype(np.float32), classes, axis=1)
  moved[:, to[to >= 0]] = weights[:, to >= 0]
  return moved


def _some(names: Sequence[str]) -> str:
  more = f' and {len(names) - 5} more' if len(names) > 5 else ''
  return ', '.join(repr(name) for name in names[:5]) + more if names else 'none'
