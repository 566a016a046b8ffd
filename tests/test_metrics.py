"""Scores against scikit-learn; padding and batch size never change a digit."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from flaxart.metrics import average_precisions, batch_counts, finish
from flaxart.tasks import REGRESSION, SIGMOID, SOFTMAX, Task

CASES = settings(max_examples=100, deadline=None)
counts_jit = jax.jit(batch_counts, static_argnums=0)
NAMES = tuple(f'class {i}' for i in range(7))
SOFT = Task('artist', SOFTMAX, NAMES)
MULTI = Task('type', SIGMOID, NAMES)
YEAR = Task('year', REGRESSION, center=1650.0, scale=80.0)


def in_batches(task, logits, labels, *, size):
  """Counts summed over padded batches, as `evaluate` does."""
  total = None
  for start in range(0, len(logits), size):
    part, truth = logits[start : start + size], labels[start : start + size]
    pad = size - len(part)
    mask = np.arange(size) < len(part)
    part = np.concatenate([part, np.repeat(logits[:1], pad, 0)])
    truth = np.concatenate([truth, np.repeat(labels[:1], pad, 0)])
    counts = jax.tree.map(lambda x: np.asarray(x, np.float64), counts_jit(task, part, truth, mask))
    total = counts if total is None else jax.tree.map(np.add, total, counts)
  return total


def draw(seed):
  rng = np.random.default_rng(seed)
  n = int(rng.integers(1, 40))
  return rng, n, np.round(rng.normal(size=(n, 7)), 1).astype(np.float32)  # rounded: ties happen


@CASES
@given(st.integers(0, 2**32 - 1))
def test_softmax_scores_match_scikit_learn(seed):
  rng, n, logits = draw(seed)
  labels = rng.integers(-1, 7, n).astype(np.int32)
  scores = finish(SOFT, in_batches(SOFT, logits, labels, size=8), floor_class=3)
  known = labels >= 0
  assert scores['n'] == known.sum()
  if not known.any():
    assert scores['top1'] is None and scores['balanced_accuracy'] is None
    return
  truth, guess = labels[known], logits[known].argmax(1)
  assert scores['top1'] == pytest.approx(oracle.accuracy_score(truth, guess), abs=1e-9)
  recalls = oracle.recall_score(
    truth, guess, labels=np.unique(truth), average='macro', zero_division=0
  )
  assert scores['balanced_accuracy'] == pytest.approx(recalls, abs=1e-9)
  order = np.argsort(-logits[known], axis=1, kind='stable')[:, :5]
  assert scores['top5'] == pytest.approx((order == truth[:, None]).any(1).mean(), abs=1e-9)
  assert scores['floor'] == pytest.approx((truth == 3).mean(), abs=1e-9)
  loss = oracle.log_loss(truth, scipy.special.softmax(logits[known], axis=1), labels=range(7))
  assert scores['loss'] == pytest.approx(loss, rel=1e-5)


@CASES
@given(st.integers(0, 2**32 - 1))
def test_sigmoid_scores_match_scikit_learn(seed):
  rng, _, logits = draw(seed)
  labels = rng.random(logits.shape) < 0.3
  known = labels.any(1)
  scores = finish(
    MULTI, in_batches(MULTI, logits, labels, size=8), scores=logits[known], truth=labels[known]
  )
  if not known.any():
    assert scores['map'] is None and scores['f1_micro'] is None
    return
  present = labels[known].any(0)
  expected = oracle.average_precision_score(
    labels[known][:, present], logits[known][:, present], average='macro'
  )
  assert scores['map'] == pytest.approx(expected, abs=1e-9)
  f1 = oracle.f1_score(labels[known], logits[known] > 0, average='micro', zero_division=0)
  assert scores['f1_micro'] == pytest.approx(f1, abs=1e-9)


def test_interpolated_precision_is_the_challenges_eleven_points():
  scores = np.array([[5.0], [4.0], [3.0], [2.0], [1.0]])
  truth = np.array([[1], [0], [1], [0], [0]], bool)
  _, interpolated = average_precisions(scores, truth)
  # Recall 0 .. 0.5 is reached at precision 1, 0.6 .. 1 at 2/3.
  assert interpolated == [pytest.approx((6 * 1 + 5 * 2 / 3) / 11)]


def test_regression_counts_years():
  truth = np.array([1650.0, 1700.0, np.nan, 1500.0], np.float32)
  logits = (np.array([[1650.0], [1649.0], [0.0], [1550.0]], np.float32) - 1650) / 80
  scores = finish(YEAR, in_batches(YEAR, logits, truth, size=3))
  assert scores['n'] == 3
  assert scores['mae'] == pytest.approx((0 + 51 + 50) / 3, abs=1e-3)
  assert scores['rmse'] == pytest.approx(np.sqrt((51**2 + 50**2) / 3), abs=1e-3)
  assert scores['within_50'] == pytest.approx(2 / 3)


@pytest.mark.parametrize('size', [1, 3, 16, 64])
def test_padding_and_batch_size_change_no_digit(size):
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(33, 7)).astype(np.float32)
  labels = rng.integers(-1, 7, 33).astype(np.int32)
  a = in_batches(SOFT, logits, labels, size=33)
  b = in_batches(SOFT, logits, labels, size=size)
  for key in ('n', 'of_class', 'hits', 'hits5'):
    np.testing.assert_array_equal(a[key], b[key])
  assert a['loss'] == pytest.approx(b['loss'], rel=1e-6)


def test_a_network_that_answers_nan_is_never_right():
  logits = np.full((4, 7), np.nan, np.float32)
  scores = finish(SOFT, in_batches(SOFT, logits, np.zeros(4, np.int32), size=4), floor_class=0)
  assert scores['top1'] == 0.0 and scores['top5'] == 0.0
