"""Regression scores against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from batches import CASES, SEEDS, draw, exactly, score
from hypothesis import given
from sklearn import metrics as oracle

from flaxart.tasks.regression import Regression

YEAR = Regression('year', center=1650.0, scale=80.0)


@CASES
@given(SEEDS)
def test_regression_scores_match_scikit_learn(seed):
  rng, n, logits = draw(seed)
  labels = np.round(1650 + rng.normal(size=n) * 80).astype(np.float32)
  labels[rng.random(n) < 0.2] = np.nan
  scores = score(YEAR, logits[:, :1], labels)
  known = ~np.isnan(labels)
  assert scores['n'] == known.sum()
  if not known.any():
    assert scores['mae'] is scores['rmse'] is scores['within_50'] is scores['loss'] is None
    return
  truth, value = labels[known], logits[known, 0].astype(float) * 80 + 1650
  assert scores['mae'] == pytest.approx(oracle.mean_absolute_error(truth, value), abs=1e-9)
  assert scores['rmse'] == pytest.approx(oracle.root_mean_squared_error(truth, value), abs=1e-9)
  assert scores['within_50'] == exactly((abs(truth - value) <= 50).mean())


def test_fifty_years_are_within_fifty():
  logits = (np.array([[1650.0], [1649.0], [0.0], [1550.0]], np.float32) - 1650) / 80
  truth = np.array([1650.0, 1700.0, np.nan, 1500.0], np.float32)  # 0, 51, none, 50
  assert score(YEAR, logits, truth)['within_50'] == pytest.approx(2 / 3)
