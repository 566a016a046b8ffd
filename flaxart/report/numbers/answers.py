"""What runs answered on the test objects, as scores that can be drawn again."""

from __future__ import annotations

import dataclasses
import zipfile
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from flaxart.report.numbers.runs import Run
from flaxart.report.numbers.statistics import Score
from flaxart.tasks.scores import YEARS


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
  """One task of one run on the records that carry its label.

  `ids` `[N]` as `record_ids` gives them, `groups` `[N]`. Softmax: `truth` `[N]` class names, `said`
  `[N, K]` class names by falling probability `p` `[N, K]`. Sigmoid: `truth` `[N, C]` bool, `p`
  `[N, C]`, `classes` `[C]` the names of the columns. Regression: `truth` `[N]`, `said` `[N]`.
  """

  kind: str
  ids: np.ndarray
  groups: np.ndarray
  truth: np.ndarray
  said: np.ndarray
  p: np.ndarray
  classes: np.ndarray

  def at(self, rows: np.ndarray) -> Answers:
    """The same for some records only."""
    fields = ('ids', 'groups', 'truth', 'said', 'p')
    return dataclasses.replace(self, **{f: getattr(self, f)[rows] for f in fields})

  @property
  def labels(self) -> np.ndarray:
    """`[N]`: names, sets of names or years, which compare across lists of classes."""
    if self.kind != 'sigmoid':
      return self.truth
    return np.array([frozenset(self.classes[row]) for row in self.truth.astype(bool)], object)

  @property
  def right(self) -> np.ndarray:
    """`[N]` bool: the first answer is the label, or the year is within 50; softmax, regression."""
    if self.kind == 'softmax':
      return self.said[:, 0] == self.truth
    return np.abs(self.said - self.truth) <= YEARS


def read_answers(run: Run, task: str, *, split: str = 'test') -> Answers | None:
  """From `predictions_<split>.npz`; None where the run has none, or none that is its own.

  A file whose accuracy is not the one in `results.json` belongs to another evaluation.
  """
  path = run.path / f'predictions_{split}.npz'
  kind, classes = run.labels[task]['kind'], np.array(run.labels[task].get('classes', []), object)
  try:
    with np.load(path, allow_pickle=False) as file:
      stored = {key: file[key] for key in ('ids', 'groups', *_keys(task, kind))}
  except (FileNotFoundError, KeyError, ValueError, zipfile.BadZipFile):
    return None
  ids = np.array(record_ids(stored['ids']), object)
  groups = np.where(stored['groups'] == '', stored['ids'], stored['groups']).astype(object)
  label = stored[f'{task}/label']
  if kind == 'softmax':
    known = label >= 0
    said, p = classes[stored[f'{task}/top']], stored[f'{task}/p']
    answers = Answers(kind, ids, groups, classes[np.maximum(label, 0)], said, p, classes)
  elif kind == 'sigmoid':
    known = label.any(axis=1)
    answers = Answers(kind, ids, groups, label, label, stored[f'{task}/p'], classes)
  else:
    known = ~np.isnan(label)
    value = stored[f'{task}/value']
    answers = Answers(kind, ids, groups, label, value, value, classes)
  answers = answers.at(known)
  scores = run.results[split][task]
  if len(answers.ids) != scores['n'] or not len(answers.ids):
    return None
  if kind == 'softmax' and abs(answers.right.mean() - scores['top1']) > 1e-6:
    return None
  return answers


def record_ids(object_numbers: Sequence[str]) -> list[str]:
  """A name for every record of a split: an object with several pictures has several records."""
  seen: Counter[str] = Counter()
  names = []
  for number in map(str, object_numbers):
    names.append(f'{number}\n{seen[number]}' if seen[number] else number)
    seen[number] += 1
  return names


def _keys(task: str, kind: str) -> list[str]:
  extra = {'softmax': ('top', 'p'), 'sigmoid': ('p',), 'regression': ('value',)}[kind]
  return [f'{task}/{name}' for name in ('label', *extra)]


def common(all_answers: Sequence[Answers]) -> list[Answers]:
  """The same records in the same order: those that every run has with the same label."""
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
  same = np.all([a.labels == aligned[0].labels for a in aligned], axis=0)
  return [a.at(np.flatnonzero(same)) for a in aligned]


def count_groups(answers: Answers) -> int:
  """Number of different groups: objects."""
  return len(np.unique(answers.groups.astype(str)))


def score_of(answers: Answers, metric: str) -> Score:
  """`top1`, `balanced_accuracy`, `map` or `within_50` over the groups of these records."""
  group = np.unique(answers.groups.astype(str), return_inverse=True)[1]
  if metric == 'map':
    return _mean_average_precision(answers, group)
  columns = np.zeros(len(group), int)
  if metric == 'balanced_accuracy':
    columns = np.unique(answers.truth.astype(str), return_inverse=True)[1]
  shape = (group.max() + 1, columns.max() + 1)
  records = sparse.csr_array((np.ones(len(group)), (group, columns)), shape)
  hits = sparse.csr_array((answers.right.astype(float), (group, columns)), shape)

  def score(weights: np.ndarray) -> np.ndarray:
    of_class = weights @ records
    with np.errstate(invalid='ignore', divide='ignore'):
      recall = (weights @ hits) / of_class
    # A draw without a class says nothing about it.
    return np.nansum(recall, axis=1) / (of_class > 0).sum(axis=1)

  return score


def _mean_average_precision(answers: Answers, group: np.ndarray) -> Score:
  """Mean over classes of average precision; equal scores are one threshold."""

  def score(weights: np.ndarray) -> np.ndarray:
    each = weights[:, group]
    total, classes = np.zeros(len(weights)), np.zeros(len(weights))
    for p, positive in zip(answers.p.T, answers.truth.T.astype(bool), strict=True):
      if not positive.any():
        continue
      order = np.argsort(-p, kind='stable')
      threshold = np.r_[np.flatnonzero(np.diff(p[order])), len(p) - 1]
      ordered = each[:, order]
      hits = np.cumsum(ordered * positive[order], axis=1)[:, threshold]
      above = np.cumsum(ordered, axis=1)[:, threshold]
      there = hits[:, -1] > 0
      precision = hits / np.maximum(above, 1)
      recall = hits / np.maximum(hits[:, -1:], 1)
      total += np.where(there, (np.diff(recall, prepend=0.0) * precision).sum(axis=1), 0.0)
      classes += there
    return total / np.where(classes > 0, classes, np.nan)

  return score
