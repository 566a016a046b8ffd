"""Scores over draws of groups with replacement, for the report's bootstrap."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse

# Weights `[draws, groups]` (how often each group was drawn) -> score of each draw, `[draws]`; NaN
# where the score does not exist.
Redrawn = Callable[[np.ndarray], np.ndarray]


def redrawn_mean(values: np.ndarray, classes: np.ndarray, group: np.ndarray) -> Redrawn:
  """Mean over classes of the mean of `values` `[N]` over the records of a class.

  `classes` and `group` `[N]` are whole numbers from 0; one class gives the mean over records.
  """
  shape = (group.max() + 1, classes.max() + 1)
  records = sparse.csr_array((np.ones(len(group)), (group, classes)), shape)
  hits = sparse.csr_array((values.astype(float), (group, classes)), shape)

  def score(weights: np.ndarray) -> np.ndarray:
    of_class = weights @ records
    with np.errstate(invalid='ignore', divide='ignore'):
      recall = (weights @ hits) / of_class
    # A draw without a class does not count for it.
    return np.nansum(recall, axis=1) / (of_class > 0).sum(axis=1)

  return score


def redrawn_average_precision(p: np.ndarray, truth: np.ndarray, group: np.ndarray) -> Redrawn:
  """Mean average precision over classes; `p` and `truth` `[N, C]`, equal scores one threshold."""

  def score(weights: np.ndarray) -> np.ndarray:
    each = weights[:, group]
    total, classes = np.zeros(len(weights)), np.zeros(len(weights))
    for column, positive in zip(p.T, truth.T.astype(bool), strict=True):
      if not positive.any():
        continue
      order = np.argsort(-column, kind='stable')
      threshold = np.r_[np.flatnonzero(np.diff(column[order])), len(column) - 1]
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
