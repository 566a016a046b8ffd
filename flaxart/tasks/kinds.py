"""The kinds of tasks, and tasks from the dataset or from `labels.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flaxart.data.source import is_label
from flaxart.machine import form
from flaxart.machine.files import damaged, read_object
from flaxart.tasks.regression import Regression
from flaxart.tasks.sigmoid import Sigmoid
from flaxart.tasks.softmax import Softmax
from flaxart.tasks.task import Task
from tfds_rijks.errors import UserError
from tfds_rijks.words import did_you_mean, nearest

# A feature belongs to the first kind that accepts it.
KINDS: tuple[type[Task], ...] = (Softmax, Sigmoid, Regression)

_LABELS = form.each(
  form.fields(
    {
      'kind': form.name,
      'classes': form.listed(form.name),
      'sha256': form.name,
      'weight': form.number,
      'center': form.number,
      'scale': form.positive,
    }
  )
)
OF_BATCHES = frozenset({'image', 'record', 'draw', 'mask'})  # see flaxart/data/loader.py


def tasks_from_features(features: Mapping[str, Any], weights: Mapping[str, float]) -> list[Task]:
  """The tasks named in `weights`, with kind and classes as the dataset's features give them."""
  tasks = []
  for name, weight in weights.items():
    if name in OF_BATCHES:
      raise UserError(
        f'config.tasks: {name!r} is a reserved name of batches; rename the column and prepare again'
      )
    feature = features.get(name)
    fit = (kind.of_feature(name, feature, weight) for kind in KINDS if feature is not None)
    task = next(filter(None, fit), None)
    if task is None:
      labels = sorted(key for key, value in features.items() if is_label(value))
      found = (
        'no such feature' if feature is None else f'a feature of kind {type(feature).__name__}'
      )
      raise UserError(
        f'config.tasks: {name!r} is {found} in the dataset; '
        f'{did_you_mean(nearest(name, labels))}its labels are {", ".join(labels) or "none"}'
      )
    tasks.append(task)
  return tasks


def labels_json(tasks: Sequence[Task]) -> str:
  """What `labels.json` holds: everything needed to read the heads without the dataset."""
  entries = {
    task.name: {
      'kind': task.kind,
      'classes': list(task.classes),
      'sha256': task.sha256,
      'weight': task.weight,
      'center': task.center,
      'scale': task.scale,
    }
    for task in tasks
  }
  return json.dumps(entries, indent=1, ensure_ascii=False) + '\n'


def read_labels(path: Path) -> list[Task]:
  """The tasks of a `labels.json`; raises `UserError` if it was edited or is damaged."""
  entries = read_object(path, form=_LABELS)
  if not entries:
    raise damaged(path, 'names no task')
  for name in entries:
    if '/' in name or name.startswith('.'):
      raise damaged(path, f'{name!r} is not the name of a task')
  read = [(task_of(path, name, entry), entry['sha256']) for name, entry in entries.items()]
  for task, sha256 in read:
    if task.sha256 != sha256:
      raise UserError(
        f'{path}: the classes of {task.name} do not match their SHA-256; the file was '
        'changed after training, restore it from the run that wrote it'
      )
  return [task for task, _ in read]


def task_of(path: Path, name: str, entry: Mapping[str, Any]) -> Task:
  """The task of one entry of the `labels.json` at `path`."""
  kinds = {kind.kind: kind for kind in KINDS}
  if entry['kind'] not in kinds:
    raise UserError(
      f'{path}: {name!r} is of kind {entry["kind"]!r}, expected one of {", ".join(kinds)}; read it '
      'with the flaxart that wrote it'
    )
  e = entry
  return kinds[e['kind']](name, tuple(e['classes']), e['weight'], e['center'], e['scale'])
