"""The arithmetic of scores on the host: shares, F1, average precision, area under the ROC curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.stats

BINS = 15  # of the expected calibration error, as in Guo et al. 2017


def divide(a: Any, b: Any) -> float | None:
  """`a / b`; None if `b` is 0."""
  return float(a) / float(b) if b else None


def mean(values: Sequence[float]) -> float | None:
  """The mean; None for no values."""
  return float(np.mean(values)) if values else None


def f1(
  right: np.ndarray, records: np.ndarray, predicted: np.ndarray
) -> tuple[float | None, float | None]:
  """Macro F1 (over the classes that occur as label or answer) and micro F1.

  Takes right answers, records and answers of each class, `[C]` each.
  """
  total = records + predicted
  present = total > 0
  macro = float((2 * right[present] / total[present]).mean()) if records.any() else None
  return macro, divide(2 * right.sum(), total.sum()) if records.any() else None


def class_rows(
  classes: Sequence[str], right: np.ndarray, records: np.ndarray, predicted: np.ndarray
) -> list[dict[str, Any]]:
  """`per_class` of `tables.json`: a row per class, None where a score has no denominator."""
  return [
    {
      'class': name,
      'n': int(records[c]),
      'predicted': int(predicted[c]),
      'precision': divide(right[c], predicted[c]),
      'recall': divide(right[c], records[c]),
      'f1': divide(2 * right[c], records[c] + predicted[c]),
    }
    for c, name in enumerate(classes)
  ]


def accuracies(guess: np.ndarray, truth: np.ndarray) -> tuple[float | None, float | None]:
  """Top-1 and balanced accuracy of one guess per record: the scores of a baseline."""
  if not len(truth):
    return None, None
  recall = [(guess[truth == c] == c).mean() for c in np.unique(truth)]
  return float((guess == truth).mean()), float(np.mean(recall))


def mean_class_accuracy(hits: np.ndarray, of_class: np.ndarray) -> list[float] | None:
  """Mean over classes of the share of records whose class is among the first 1 to 5 answers.

  `hits` `[5, C]`, `of_class` `[C]`. Classes without a record in the split are left out (the
  Challenge's own code counts them as 0; its splits have none).
  """
  present = of_class > 0
  if not present.any():
    return None
  return [float(x) for x in (hits[:, present] / of_class[present]).mean(axis=1)]


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


def average_precisions(scores: np.ndarray, truth: np.ndarray) -> tuple[list[float], list[float]]:
  """Average precision of each column with a positive row: exact, and 11-point interpolated.

  `scores` and `truth` `[N, Q]`: N records ranked for each of Q classes, or transposed, the classes
  ranked for each record. Equal scores are one threshold, as in scikit-learn, so the order of the
  file cannot change the result. The interpolated form (precision at recall 0, 0.1 ... 1, each the
  best at that recall or above) is what the Rijksmuseum Challenge reports (`eval_map.m` of
  tmensink/rijkschallenge), over classes as mAP and over records as imAP. Columns without a positive
  are left out; the Challenge counts them as 0, but its class filter leaves no such classes.
  """
  exact: list[float] = []
  interpolated: list[float] = []
  for score, positive in zip(scores.T, truth.T.astype(bool), strict=True):
    if not positive.any():
      continue
    order = np.argsort(-score, kind='stable')
    threshold = np.r_[np.flatnonzero(np.diff(score[order])), len(score) - 1]
    hits = np.cumsum(positive[order])[threshold]
    precision = hits / (threshold + 1)
    recall = hits / hits[-1]
    exact.append(float(np.sum(np.diff(recall, prepend=0.0) * precision)))
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, np.linspace(0, 1, 11) - 1e-12)
    interpolated.append(float(best_from_here[at].mean()))
  return exact, interpolated


def auroc(high: np.ndarray, low: np.ndarray) -> float | None:
  """Chance that one of `high` scores above one of `low`, a tie counting half; None if either is
  empty.

  0.5 is chance. It is the Mann-Whitney statistic over the number of pairs.
  """
  if not len(high) or not len(low):
    return None
  ranks = scipy.stats.rankdata(np.concatenate([high, low]))
  won = ranks[: len(high)].sum() - len(high) * (len(high) + 1) / 2
  return float(won / (len(high) * len(low)))
