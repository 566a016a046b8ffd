"""Scores that need the order of all records: average precision, area under the ROC curve."""

from __future__ import annotations

import numpy as np
import scipy.stats


def average_precisions(scores: np.ndarray, truth: np.ndarray) -> tuple[list[float], list[float]]:
  """Average precision of each column with a positive row: exact, and 11-point interpolated.

  `scores` and `truth` `[N, Q]`: N records ranked for each of Q classes, or transposed, the classes
  ranked for each record. Equal scores are one threshold, as in scikit-learn, so the order of the
  file cannot change the result. The interpolated form (precision at recall 0, 0.1 ... 1, each the
  best at that recall or above) is what the Rijksmuseum Challenge reports (`eval_map.m` of
  tmensink/rijkschallenge), over classes as mAP and over records as imAP. Columns without a positive
  are left out; the Challenge counts them as 0, but its class filter leaves none over classes.
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

  0.5 is a coin. It is the Mann-Whitney statistic over the number of pairs.
  """
  if not len(high) or not len(low):
    return None
  ranks = scipy.stats.rankdata(np.concatenate([high, low]))
  won = ranks[: len(high)].sum() - len(high) * (len(high) + 1) / 2
  return float(won / (len(high) * len(low)))
