"""A task is a labelled feature of the dataset: its kind and its classes.

The kind follows from the TFDS feature and is typed nowhere: `ClassLabel` is softmax,
`Sequence(ClassLabel)` is sigmoid, a float is regression.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flaxart.data.source import is_label
from flaxart.machine.files import damaged, read_object
from tfds_rijks.errors import UserError

OF_BATCHES = frozenset({'image', 'record', 'draw', 'mask'})  # see flaxart/data/loader.py
SOFTMAX, SIGMOID, REGRESSION = 'softmax', 'sigmoid', 'regression'


@dataclasses.dataclass(frozen=True)
class Task:
  """One head: `name` is the feature, `classes` its names in the order of the logits.

  A regression head has one output, in units of `scale` around `center` (both from the training
  split, so that a year near 1650 is a number near 0 for the network).
  """

  name: str
  kind: str
  classes: tuple[str, ...] = ()
  weight: float = 1.0
  center: float = 0.0
  scale: float = 1.0

  @property
  def outputs(self) -> int:
    """Width of the head."""
    return 1 if self.kind == REGRESSION else len(self.classes)

  @property
  def sha256(self) -> str:
    """Of the class names in order: equal hashes mean that the same index is the same class."""
    return hashlib.sha256('\n'.join(self.classes).encode()).hexdigest()


def tasks_from_features(features: Mapping[str, Any], weights: Mapping[str, float]) -> list[Task]:
  """The tasks named in `weights`, with kind and classes as the dataset's features give them."""
  import tensorflow_datasets as tfds

  tasks = []
  for name, weight in weights.items():
    if name in OF_BATCHES:
      raise UserError(
        f'config.tasks: {name!r} is what a batch calls something else; rename the column and '
        'prepare again'
      )
    feature = features.get(name)
    inner = getattr(feature, 'feature', None)  # of a Sequence
    if isinstance(feature, tfds.features.ClassLabel):
      task = Task(name, SOFTMAX, tuple(feature.names), weight)
    elif isinstance(inner, tfds.features.ClassLabel):
      task = Task(name, SIGMOID, tuple(inner.names), weight)
    elif (
      feature is not None
      and feature.shape == ()
      and np.issubdtype(np.dtype(feature.np_dtype), np.floating)
    ):
      task = Task(name, REGRESSION, (), weight)
    else:
      labels = sorted(key for key, value in features.items() if is_label(value))
      found = (
        'no such feature' if feature is None else f'a feature of kind {type(feature).__name__}'
      )
      raise UserError(
        f'config.tasks: {name!r} is {found} in the dataset; '
        f'its labels are {", ".join(labels) or "none"}'
      )
    if task.kind != REGRESSION and task.outputs < 2:
      raise UserError(
        f'config.tasks: {name!r} has {task.outputs} class(es); a task needs two or '
        'more: lower --min_per_class when preparing, or leave the task out'
      )
    tasks.append(task)
  return tasks


def labels_json(tasks: Sequence[Task]) -> str:
  """What `labels.json` holds: everything needed to read the heads without the dataset."""
  return (
    json.dumps(
      {
        task.name: {
          'kind': task.kind,
          'classes': list(task.classes),
          'sha256': task.sha256,
          'weight': task.weight,
          'center': task.center,
          'scale': task.scale,
        }
        for task in tasks
      },
      indent=1,
      ensure_ascii=False,
    )
    + '\n'
  )


def read_labels(path: Path) -> list[Task]:
  """The tasks of a `labels.json`; one that was edited or is damaged is refused."""
  entries = read_object(path)
  try:
    read = [
      (
        Task(name, e['kind'], tuple(e['classes']), e['weight'], e['center'], e['scale']),
        e['sha256'],
      )
      for name, e in entries.items()
    ]
  except (KeyError, TypeError) as error:
    raise damaged(path, error) from None
  for task, sha256 in read:
    if task.sha256 != sha256:
      raise UserError(
        f'{path}: the classes of {task.name} do not match their SHA-256; the file was '
        'changed after training, restore it from the run that wrote it'
      )
  return [task for task, _ in read]


def is_labelled(task: Task, labels: jax.Array) -> jax.Array:
  """`[B]` bool: which records carry this label (-1, an empty row and NaN are missing)."""
  if task.kind == SOFTMAX:
    return labels >= 0
  if task.kind == SIGMOID:
    return labels.any(axis=-1)
  return ~jnp.isnan(labels)
