"""What the training labels say before anything learns."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from flaxart.data.source import Split
from flaxart.tasks.task import REGRESSION, SIGMOID, SOFTMAX, Task


def with_target_scale(tasks: Sequence[Task], train: Split) -> list[Task]:
  """Regression tasks with the mean and standard deviation of the training labels."""
  scaled = []
  for task in tasks:
    if task.kind == REGRESSION:
      known = train.labels[task.name][~np.isnan(train.labels[task.name])]
      scale = float(known.std()) if len(known) > 1 else 1.0
      task = dataclasses.replace(
        task, center=float(known.mean()) if len(known) else 0.0, scale=scale or 1.0
      )
    scaled.append(task)
  return scaled


def labelled_records(task: Task, split: Split) -> int:
  """How many records of a split carry a label of this task."""
  labels = split.labels[task.name]
  if task.kind == SOFTMAX:
    return int((labels >= 0).sum())
  return int(labels.any(axis=1).sum() if task.kind == SIGMOID else (~np.isnan(labels)).sum())
