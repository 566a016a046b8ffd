"""Answers of runs on the test objects, as scores that can be resampled."""

from __future__ import annotations

import dataclasses
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from flaxart.report.numbers.runs import Run
from flaxart.tasks.redrawn import Redrawn
from flaxart.tasks.task import Task

MAX_BYTES = 4 << 30  # unpacked, of the answers of a run
_DAMAGE = (
  OSError,
  KeyError,
  ValueError,
  EOFError,
  MemoryError,
  NotImplementedError,
  RuntimeError,
  zipfile.BadZipFile,
  zlib.error,
)


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
  """One task of one run on the records with its label.

  `ids` `[N]` from `record_ids`, `groups` `[N]`, `kept` `[N, ...]` the stored arrays of the task.
  """

  task: Task
  ids: np.ndarray
  groups: np.ndarray
  kept: Mapping[str, np.ndarray]

  def at(self, rows: np.ndarray) -> Answers:
    """The answers for some of the records."""
    kept = {key: values[rows] for key, values in self.kept.items()}
    return Answers(self.task, self.ids[rows], self.groups[rows], kept)


def read_answers(run: Run, name: str, *, split: str = 'test') -> Answers | None:
  """The answers of a task, from `predictions_<split>.npz`; None if the run has no such file of its
  own: one whose main score differs from `results.json` belongs to another evaluation.
  """
  task = run.labels[name]
  path = run.path / f'predictions_{split}.npz'
  try:
    with zipfile.ZipFile(path) as archive:
      if sum(info.file_size for info in archive.infolist()) > MAX_BYTES:
        return None
    with np.load(path, allow_pickle=False) as file:
      ids, groups = file['ids'], file['groups']
      kept = {key: file[f'{name}/{key}'] for key in task.stored}
  except _DAMAGE:
    return None
  lengths = {a.shape[0] if a.ndim else -1 for a in (ids, groups, *kept.values())}
  if lengths != {len(ids) if ids.ndim else 0} or {ids.dtype.kind, groups.dtype.kind} != {'U'}:
    return None
  groups = np.where(groups == '', ids, groups).astype(object)
  answers = Answers(task, np.array(record_ids(ids), object), groups, kept)
  answers = answers.at(task.is_labelled(kept['label']))
  scores = run.results[split][name]
  if len(answers.ids) != scores['n'] or not len(answers.ids):
    return None
  right = task.right(answers.kept)
  main = scores[task.main]
  if right is not None and (main is None or abs(right.mean() - main) > 1e-6):
    return None
  return answers


def record_ids(object_numbers: Sequence[str]) -> list[str]:
  """A unique name for every record of a split, as an object with several pictures has several
  records."""
  seen: Counter[str] = Counter()
  names = []
  for number in map(str, object_numbers):
    names.append(f'{number}\n{seen[number]}' if seen[number] else number)
    seen[number] += 1
  return names


def common(all_answers: Sequence[Answers]) -> list[Answers]:
  """The same records in the same order: those that all runs have, with the same label."""
  tables = [{record: i for i, record in enumerate(a.ids)} for a in all_answers]
  first = all_answers[0]
  rows = [
    [table[record] for table in tables]
    for record in first.ids
    if all(record in table for table in tables)
  ]
  aligned = [
    answers.at(np.array([row[i] for row in rows], int)) for i, answers in enumerate(all_answers)
  ]
  labels = aligned[0].task.comparable(aligned[0].kept)
  same = np.all([a.task.comparable(a.kept) == labels for a in aligned], axis=0)
  return [a.at(np.flatnonzero(same)) for a in aligned]


def count_groups(answers: Answers) -> int:
  """The number of groups, that is, objects."""
  return len(np.unique(answers.groups.astype(str)))


def score_of(answers: Answers, metric: str) -> Redrawn:
  """A score over draws of these records' groups: the main one of the task, or a further one."""
  group = np.unique(answers.groups.astype(str), return_inverse=True)[1]
  return answers.task.redrawn(metric, answers.kept, group)
