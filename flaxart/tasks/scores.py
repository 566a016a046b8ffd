"""Scores, second half: divisions on the host, once all records are counted.

`counts.count` says what is counted, docs/scores.md what each score means. Without any labelled
record every score is None, never a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from flaxart.tasks.arithmetic import average_precisions
from flaxart.tasks.counts import REST, TOP
from flaxart.tasks.task import REGRESSION, SIGMOID, SOFTMAX, Task

YEARS = 50  # "share within 50 years" of the Rijksmuseum Challenge
BINS = 15  # of the expected calibration error, as in Guo et al. 2017


def finish(
  task: Task,
  counts: Mapping[str, Any],
  found: Mapping[str, np.ndarray],
  labels: np.ndarray,
) -> dict[str, Any]:
  """The scores of one task on one split, as fractions (years for `mae` and `rmse`).

  `counts` and `found` as `counts.count` gives them, `found` and `labels` `[N, ...]` in the order
  of the split.
  """
  counts = {name: np.asarray(value, np.int64) for name, value in counts.items()}
  n = int(counts['n'])
  result: dict[str, Any] = {'n': n}
  if task.kind == REGRESSION:
    return result | _regression(task, found['logits'], labels)
  result['classes'] = len(task.classes)
  result['loss'] = _divide(found['loss'].sum(dtype=np.float64), n)
  if task.kind == SIGMOID:
    return result | _sigmoid(counts, found, labels)
  return result | _softmax(task, counts, found, labels)


def values(task: Task, logits: np.ndarray) -> np.ndarray:
  """The answers of a regression head `[N, 1]` in the label's unit, `[N]` float64."""
  return logits[:, 0].astype(np.float64) * task.scale + task.center


def _regression(task: Task, logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
  known = ~np.isnan(labels)
  error = np.abs(values(task, logits) - labels)[known]
  if not known.any():
    return dict.fromkeys(('loss', 'mae', 'rmse', 'within_50'))
  return {
    'loss': float(np.square(error / task.scale).mean()),
    'mae': float(error.mean()),
    'rmse': float(np.sqrt(np.square(error).mean())),
    'within_50': float((error <= YEARS).mean()),
  }


def _softmax(
  task: Task,
  counts: Mapping[str, np.ndarray],
  found: Mapping[str, np.ndarray],
  labels: np.ndarray,
) -> dict[str, Any]:
  n, of_class, hits = int(counts['n']), counts['of_class'], counts['hits']
  mca = mean_class_accuracy(hits, of_class)
  known = labels >= 0
  right = found['top'][known, 0] == labels[known]
  result: dict[str, Any] = {
    'top1': _divide(hits[0].sum(), n),
    'top5': _divide(hits[TOP - 1].sum(), n),
    'balanced_accuracy': mca and mca[0],
    'balanced_top5': mca and mca[TOP - 1],
    'mca': mca,
    'ece': expected_calibration_error(found['p'][known, 0], right),
  }
  result['macro_f1'], result['micro_f1'] = _f1(*_by_class(counts))
  if 'hits_without_rest' in counts:
    named = np.where(np.arange(len(of_class)) == task.classes.index(REST), 0, of_class)
    result['mca_without_rest'] = mean_class_accuracy(counts['hits_without_rest'], named)
  return result


def _sigmoid(
  counts: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray], labels: np.ndarray
) -> dict[str, Any]:
  known = labels.any(axis=1)
  logits, truth = found['logits'][known], labels[known]
  over_classes = average_precisions(logits, truth)
  over_records = average_precisions(logits.T, truth.T)
  result: dict[str, Any] = {
    'map': _mean(over_classes[0]),
    'map_interpolated': _mean(over_classes[1]),
    'image_map': _mean(over_records[0]),
    'image_map_interpolated': _mean(over_records[1]),
  }
  result['f1_macro'], result['f1_micro'] = _f1(*_by_class(counts))
  return result


def mean_class_accuracy(hits: np.ndarray, of_class: np.ndarray) -> list[float] | None:
  """Mean over classes of the share of records whose class is among the first 1 to 5 answers.

  `hits` `[5, C]`, `of_class` `[C]`. Classes without a record in the split are left out (the
  Challenge's own code counts them as 0; its splits have none).
  """
  present = of_class > 0
  if not present.any():
    return None
  return [float(x) for x in (hits[:, present] / of_class[present]).mean(axis=1)]


def accuracies(guess: np.ndarray, truth: np.ndarray) -> tuple[float | None, float | None]:
  """Top-1 and balanced accuracy of one guess a record: what a baseline is compared by."""
  if not len(truth):
    return None, None
  recall = [(guess[truth == c] == c).mean() for c in np.unique(truth)]
  return float((guess == truth).mean()), float(np.mean(recall))


def expected_calibration_error(p: np.ndarray, right: np.ndarray) -> float | None:
  """Mean distance between confidence and accuracy over 15 equal bins of the top probability.

  Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3; a bin includes its upper
  edge. `p`, `right` `[N]`.
  """
  if not len(p):
    return None
  p = p.astype(np.float64)
  at = np.digitize(p, np.linspace(0, 1, BINS + 1)[1:-1], right=True)
  gap = np.bincount(at, right, BINS) - np.bincount(at, p, BINS)  # (accuracy - confidence) * records
  return float(np.abs(gap).sum() / len(p))


def table(task: Task, counts: Mapping[str, Any]) -> dict[str, Any]:
  """`per_class`: a row a class, empty where a score has no denominator; softmax tasks also
  `confusion`: `[true class, answer, records]` wherever there are any.
  """
  counts = {name: np.asarray(value, np.int64) for name, value in counts.items()}
  right, records, predicted = _by_class(counts)
  rows = [
    {
      'class': name,
      'n': int(records[c]),
      'predicted': int(predicted[c]),
      'precision': _divide(right[c], predicted[c]),
      'recall': _divide(right[c], records[c]),
      'f1': _divide(2 * right[c], records[c] + predicted[c]),
    }
    for c, name in enumerate(task.classes)
  ]
  result: dict[str, Any] = {'per_class': rows}
  if task.kind == SOFTMAX:
    pairs = np.argwhere(counts['confusion'])
    result['confusion'] = [[int(a), int(b), int(counts['confusion'][a, b])] for a, b in pairs]
  return result


def _by_class(counts: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Right answers, records and answers of each class, `[C]` each."""
  if 'confusion' in counts:
    confusion = counts['confusion']
    return np.diagonal(confusion), counts['of_class'], confusion.sum(axis=0)
  return counts['true_positive'], counts['so'], counts['said']


def _f1(
  right: np.ndarray, records: np.ndarray, predicted: np.ndarray
) -> tuple[float | None, float | None]:
  """Macro (over the classes that are true or answered somewhere) and micro F1."""
  total = records + predicted
  present = total > 0
  macro = float((2 * right[present] / total[present]).mean()) if records.any() else None
  return macro, _divide(2 * right.sum(), total.sum()) if records.any() else None


def _mean(values: list[float]) -> float | None:
  return float(np.mean(values)) if values else None


def _divide(a: Any, b: Any) -> float | None:
  return float(a) / float(b) if b else None
