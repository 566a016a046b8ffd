"""What the training labels say before anything learns."""

from __future__ import annotations

from collections.abc import Sequence

from flaxart.data.source import Split
from flaxart.tasks.task import Task


def with_target_scale(tasks: Sequence[Task], train: Split) -> list[Task]:
  """The tasks with what they take from the training labels (regression: mean and scale)."""
  return [task.fitted(train.labels[task.name]) for task in tasks]


def labelled_records(task: Task, split: Split) -> int:
  """How many records of a split carry a label of this task."""
  return int(task.is_labelled(split.labels[task.name]).sum())
