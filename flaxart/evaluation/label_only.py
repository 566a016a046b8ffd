"""Label-only baseline: a label predicted from the record's other true labels, without its picture.
Where author and subject nearly determine each other, a network that is taught both can look good by
inferring one from the other, so a multi-task score only counts against this one.

The rule: if at least 3 training records share exactly this record's other labels, answer the most
frequent class among them; else naive Bayes over the other labels with additive smoothing; without
any, the most frequent class. All label features of the dataset count, even those that the run does
not learn. A missing label is a value like any other (that a maker is unknown says something),
several labels are a set, and a number is one of ten ranges with equally many training records.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse

from flaxart.data.source import Dataset
from flaxart.tasks.task import Task

ALIKE = 3  # training records with the same other labels that suffice
SMOOTHING = 0.1  # added to each count of naive Bayes: chosen on the val split of open clip art
RANGES = 10  # of a number
CHUNK = 512  # records per step of naive Bayes
BOUNDS = ('year_begin', 'year_end')  # `year` is their middle: one fact, not three


@dataclasses.dataclass(frozen=True)
class Facts:
  """Another label over a split: record `rows[i]` has `values[i]`, a number below `size`."""

  rows: np.ndarray
  values: np.ndarray
  size: int

  def matrix(self, records: int) -> Any:
    """`[records, size]` sparse, 1 where a record has a value."""
    ones = np.ones(len(self.rows), np.float32)
    return scipy.sparse.csr_array((ones, (self.rows, self.values)), (records, self.size))


def label_only(
  dataset: Dataset, name: str, tasks: Sequence[Task]
) -> dict[str, dict[str, float | None]]:
  """`{task: {'label_only_top1', 'label_only_balanced_accuracy'}}` of a split, for tasks with one
  class.

  None for a task of a dataset without other labels, and for a split without labels.
  """
  known, asked = columns(dataset, 'train'), columns(dataset, name)
  result = {}
  for task in tasks:
    if not task.one_class:
      continue
    labels, truth = known[task.name], asked[task.name]
    others = [key for key in known if key != task.name]
    wants = task.is_labelled(truth) & bool(others) & task.is_labelled(labels).any()
    guess = truth[wants]
    if wants.any():
      guess = answer(labels, {k: known[k] for k in others}, {k: asked[k][wants] for k in others})
    scores = task.guess_scores(guess, truth[wants])
    result[task.name] = {f'label_only_{name}': value for name, value in scores.items()}
  return result


def columns(dataset: Dataset, name: str) -> dict[str, Any]:
  """All labels of a split, tasks of the run or not; of the three years only `year`."""
  labels = {**dataset.split(name).labels, **dataset.contexts[name].others}
  drop = BOUNDS if 'year' in labels else ()
  return {key: labels[key] for key in sorted(labels) if key not in drop}


def answer(labels: np.ndarray, known: Mapping[str, Any], asked: Mapping[str, Any]) -> np.ndarray:
  """A class for each record of `asked`, learned from `labels` `[N]` (-1: missing) and `known`.

  `known` and `asked` hold the other labels by feature: `[N]` int (-1: missing), `[N, C]` multi-hot
  (dense or sparse) or `[N]` float (NaN: missing).
  """
  has = labels >= 0
  labels = labels[has]
  pairs = [facts(known[key][has], asked[key]) for key in known]
  asked_records = next(iter(asked.values())).shape[0]
  prior = np.bincount(labels)
  alike: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
  for key, label in zip(combinations([a for a, _ in pairs], len(labels)), labels, strict=True):
    alike[key][int(label)] += 1
  guess = np.full(asked_records, -1)
  for i, key in enumerate(combinations([b for _, b in pairs], asked_records)):
    if key in alike and alike[key].total() >= ALIKE:
      # Of equally frequent classes, the one more frequent in all of training, then the lower
      # number.
      guess[i] = max(alike[key], key=lambda c: (alike[key][c], prior[c], -c))
  open_ones = np.flatnonzero(guess < 0)
  if len(open_ones):
    guess[open_ones] = naive_bayes(labels, pairs, open_ones, asked_records)
  return guess


def facts(known: Any, asked: Any) -> tuple[Facts, Facts]:
  """Another label of both sides, numbered alike; the last number is "missing"."""
  if known.ndim == 2:
    return _set(known), _set(asked)
  if np.issubdtype(known.dtype, np.floating):
    missing = RANGES
    there = known[~np.isnan(known)]
    edges = np.quantile(there, np.linspace(0, 1, RANGES + 1)[1:-1]) if len(there) else np.zeros(0)
    known, asked = (
      np.where(np.isnan(x), missing, np.searchsorted(edges, x, 'right')) for x in (known, asked)
    )
  else:
    missing = int(max(known.max(initial=-1), asked.max(initial=-1))) + 1
    known, asked = (np.where(x < 0, missing, x) for x in (known, asked))
  rows = np.arange(len(known)), np.arange(len(asked))
  return Facts(rows[0], known, missing + 1), Facts(rows[1], asked, missing + 1)


def _set(labels: Any) -> Facts:
  rows, values = labels.nonzero()
  none = np.setdiff1d(np.arange(labels.shape[0]), rows)
  missing = labels.shape[1]
  return Facts(
    np.concatenate([rows, none]),
    np.concatenate([values, np.full(len(none), missing)]),
    missing + 1,
  )


def combinations(of_features: Sequence[Facts], records: int) -> list[tuple[int, ...]]:
  """All other labels of each record as one key."""
  keys: list[list[int]] = [[] for _ in range(records)]
  start = 0
  for one in of_features:
    order = np.lexsort((one.values, one.rows))
    for row, value in zip(one.rows[order].tolist(), one.values[order].tolist(), strict=True):
      keys[row].append(start + value)
    start += one.size
  return [tuple(key) for key in keys]


def naive_bayes(
  labels: np.ndarray,
  pairs: Sequence[tuple[Facts, Facts]],
  wanted: np.ndarray,
  asked_records: int,
) -> np.ndarray:
  """The most probable class of each record in `wanted`, if the other labels were independent."""
  counts = np.bincount(labels).astype(np.float32)
  classes = scipy.sparse.csr_array(
    (np.ones(len(labels), np.float32), (labels, np.arange(len(labels)))),
    (len(counts), len(labels)),
  )
  with np.errstate(divide='ignore'):
    prior = np.log(counts / counts.sum())  # a class absent from training is never answered
  known, asked = [], []
  for a, b in pairs:
    together = (classes @ a.matrix(len(labels))).toarray()  # [C, values]
    total = together.sum(axis=1, keepdims=True)
    known.append(np.log((together + SMOOTHING) / (total + SMOOTHING * a.size)))
    asked.append(b.matrix(asked_records)[wanted])
  parts = []
  for start in range(0, len(wanted), CHUNK):
    score = prior[None, :]
    for log_p, matrix in zip(known, asked, strict=True):
      score = score + matrix[start : start + CHUNK] @ log_p.T
    parts.append(score.argmax(axis=1))
  return np.concatenate(parts)
