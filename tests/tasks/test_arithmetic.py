"""The arithmetic of scores by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from batches import CASES, SEEDS, exactly
from hypothesis import given
from sklearn import metrics as oracle

from flaxart.tasks.arithmetic import auroc, average_precisions, expected_calibration_error


def test_interpolated_precision_by_hand():
  scores = np.array([[5.0], [4.0], [3.0], [2.0], [1.0]])
  truth = np.array([[1], [0], [1], [0], [0]], bool)
  _, interpolated = average_precisions(scores, truth)
  # Recall 0 .. 0.5 is reached at precision 1, 0.6 .. 1 at 2/3.
  assert interpolated == [pytest.approx((6 * 1 + 5 * 2 / 3) / 11)]


@CASES
@given(SEEDS)
def test_calibration_error_is_the_gap_in_fifteen_bins(seed):
  rng = np.random.default_rng(seed)
  p = np.concatenate([rng.random(rng.integers(1, 200)), [0.0, 0.2, 1.0]])
  right = rng.random(len(p)) < p
  expected = 0.0
  for m in range(1, 16):  # Guo et al. 2017: bin m is ((m - 1) / 15, m / 15]
    in_bin = (p > (m - 1) / 15) & (p <= m / 15) | (p == 0) & (m == 1)
    if in_bin.any():
      expected += in_bin.sum() / len(p) * abs(right[in_bin].mean() - p[in_bin].mean())
  assert expected_calibration_error(p, right) == exactly(expected)


@CASES
@given(SEEDS)
def test_auroc_matches_scikit_learn(seed):
  rng = np.random.default_rng(seed)
  high, low = (np.round(rng.random(rng.integers(1, 30)), 1) for _ in range(2))
  truth = np.r_[np.ones(len(high)), np.zeros(len(low))]
  assert auroc(high, low) == exactly(oracle.roc_auc_score(truth, np.r_[high, low]))
  assert auroc(high, low[:0]) is None
