"""Scores against scikit-learn and the Challenge's rules; padding and batches change no digit."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from flaxart.evaluation.records import Rows
from flaxart.tasks.arithmetic import auroc, average_precisions
from flaxart.tasks.counts import count, zero_counts
from flaxart.tasks.scores import expected_calibration_error, finish, table
from flaxart.tasks.task import REGRESSION, SIGMOID, SOFTMAX, Task

CASES = settings(max_examples=200, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
C = 7
NAMES = (*(f'class {i}' for i in range(C - 1)), 'rest')
SOFT = Task('artist', SOFTMAX, NAMES)
MULTI = Task('type', SIGMOID, NAMES)
YEAR = Task('year', REGRESSION, center=1650.0, scale=80.0)
count_jit = jax.jit(count, static_argnums=0)


def in_batches(task, logits, labels, *, size, processes=1):
  """Counts and records over padded batches, whose rows lie in the order of the processes."""
  counts, rows = zero_counts(task), Rows(len(logits))
  for start in range(0, len(logits), size):
    n = np.arange(start, start + size).reshape(-1, processes).T.ravel()
    record, mask = np.where(n < len(logits), n, 0), n < len(logits)
    counts, found = count_jit(task, counts, logits[record], labels[record], mask)
    rows.add(jax.device_get(found), record, mask)
  return jax.device_get(counts), rows.found


def score(task, logits, labels, *, size=8):
  return finish(task, *in_batches(task, logits, labels, size=size), labels)


def draw(seed, *, decimals=1):
  rng = np.random.default_rng(seed)
  n = int(rng.integers(1, 40))
  logits = np.round(rng.normal(size=(n, C)) * 2, decimals)  # one decimal: ties happen
  return rng, n, logits.astype(np.float32)


def exactly(value):
  return pytest.approx(value, abs=1e-9)


@CASES
@given(SEEDS)
def test_softmax_scores_match_scikit_learn(seed):
  rng, n, logits = draw(seed)
  labels = rng.integers(-1, C, n).astype(np.int32)
  scores = score(SOFT, logits, labels)
  known = labels >= 0
  assert scores['n'] == known.sum()
  if not known.any():
    assert {v for k, v in scores.items() if k not in ('n', 'classes')} == {None}
    return
  truth, p = labels[known], scipy.special.softmax(logits[known], axis=1)
  order = np.argsort(-logits[known], axis=1, kind='stable')
  guess, present = order[:, 0], np.unique(truth)
  assert scores['top1'] == exactly(oracle.accuracy_score(truth, guess))
  assert scores['top5'] == exactly((order[:, :5] == truth[:, None]).any(1).mean())
  recalls = oracle.recall_score(truth, guess, labels=present, average='macro', zero_division=0)
  assert scores['balanced_accuracy'] == scores['mca'][0] == exactly(recalls)
  assert scores['balanced_top5'] == scores['mca'][4]
  assert scores['macro_f1'] == exactly(oracle.f1_score(truth, guess, average='macro'))
  assert scores['micro_f1'] == exactly(oracle.f1_score(truth, guess, average='micro'))
  assert scores['loss'] == pytest.approx(oracle.log_loss(truth, p, labels=range(C)), rel=1e-5)


def matlab_mca(G, P, k=5):
  """`eval_mca.m` of tmensink/rijkschallenge, line by line; classes from 0."""
  classes = P.shape[1]
  N = np.array([np.sum(c == G) for c in range(classes)], float)
  N[N == 0] = 1
  N = 1 / N
  inx = np.argsort(-P, axis=1, kind='stable')
  hit = np.cumsum(inx[:, :k] == G[:, None], axis=1)
  M = hit * N[G][:, None]
  return M.sum(axis=0) / classes


@CASES
@given(SEEDS)
def test_mean_class_accuracy_is_the_challenges_with_and_without_rest(seed):
  rng, n, logits = draw(seed)
  labels = np.concatenate([np.arange(C), rng.integers(0, C, n)]).astype(np.int32)  # none is empty
  logits = np.concatenate([np.round(rng.normal(size=(C, C)), 1), logits]).astype(np.float32)
  scores = score(SOFT, logits, labels)
  np.testing.assert_allclose(scores['mca'], matlab_mca(labels, logits), atol=1e-9)
  named = labels < C - 1  # `rijks_eval.m`: records and columns of the classes that have a name
  expected = matlab_mca(labels[named], logits[named][:, : C - 1])
  np.testing.assert_allclose(scores['mca_without_rest'], expected, atol=1e-9)


@CASES
@given(SEEDS)
def test_sigmoid_scores_match_scikit_learn(seed):
  rng, _, logits = draw(seed)
  labels = rng.random(logits.shape) < 0.3
  scores = score(MULTI, logits, labels)
  known = labels.any(1)
  if not known.any():
    assert {v for k, v in scores.items() if k not in ('n', 'classes')} == {None}
    return
  truth, given = labels[known], logits[known]
  present = truth.any(0)
  by_class = oracle.average_precision_score(truth[:, present], given[:, present], average='macro')
  assert scores['map'] == exactly(by_class)
  by_record = oracle.average_precision_score(truth, given, average='samples')
  assert scores['image_map'] == exactly(by_record)
  said = given > 0
  micro = oracle.f1_score(truth, said, average='micro', zero_division=0)
  assert scores['f1_micro'] == exactly(micro)
  some = np.flatnonzero(truth.any(0) | said.any(0))
  macro = oracle.f1_score(truth, said, labels=some, average='macro', zero_division=0)
  assert scores['f1_macro'] == exactly(macro)


def matlab_map(GT, Pred):
  """`eval_map.m` of tmensink/rijkschallenge, line by line: interpolated and plain mAP."""
  NrN, NrQ = Pred.shape
  T = np.arange(11) / 10
  iAP, nAP = np.zeros((11, NrQ)), np.zeros(NrQ)
  for q in range(NrQ):
    sinx = np.argsort(-Pred[:, q], kind='stable')
    gt = GT[sinx, q] == 1
    tpossum = np.cumsum(gt)
    rec = tpossum / tpossum[-1]
    prec = tpossum / np.arange(1, NrN + 1)
    for ti in range(11):
      p = prec[rec >= T[ti]]
      iAP[ti, q] = p.max() if len(p) else 0
    nAP[q] = prec[gt].mean()
  return iAP.mean(axis=0).mean(), nAP.mean()


@CASES
@given(SEEDS)
def test_interpolated_precision_is_the_challenges_over_classes_and_over_images(seed):
  rng, n, logits = draw(seed, decimals=6)  # its code breaks ties by the order of the file
  logits += np.arange(logits.size).reshape(logits.shape) * 1e-4
  labels = rng.random((n, C)) < 0.3
  labels[np.arange(n), rng.integers(0, C, n)] = True  # no record and no class without a positive,
  labels[rng.integers(0, n, C), np.arange(C)] = True  # as in the Challenge
  scores = score(MULTI, logits, labels)
  interpolated, plain = matlab_map(labels, logits)
  assert scores['map_interpolated'] == exactly(interpolated) and scores['map'] == exactly(plain)
  interpolated, plain = matlab_map(labels.T, logits.T)
  assert scores['image_map_interpolated'] == exactly(interpolated)
  assert scores['image_map'] == exactly(plain)


def test_interpolated_precision_by_hand():
  scores = np.array([[5.0], [4.0], [3.0], [2.0], [1.0]])
  truth = np.array([[1], [0], [1], [0], [0]], bool)
  _, interpolated = average_precisions(scores, truth)
  # Recall 0 .. 0.5 is reached at precision 1, 0.6 .. 1 at 2/3.
  assert interpolated == [pytest.approx((6 * 1 + 5 * 2 / 3) / 11)]


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


@CASES
@given(SEEDS)
def test_tables_match_scikit_learn(seed):
  rng, n, logits = draw(seed)
  labels = rng.integers(0, C, n).astype(np.int32)
  made = table(SOFT, in_batches(SOFT, logits, labels, size=8)[0])
  guess = logits.argmax(1)
  confusion = np.zeros((C, C), int)
  for true, answer, records in made['confusion']:
    assert records > 0
    confusion[true, answer] = records
  np.testing.assert_array_equal(confusion, oracle.confusion_matrix(labels, guess, labels=range(C)))
  expected = oracle.precision_recall_fscore_support(
    labels, guess, labels=range(C), zero_division=np.nan
  )
  for c, row in enumerate(made['per_class']):
    assert row['class'] == NAMES[c] and row['predicted'] == (guess == c).sum()
    for name, column in zip(('precision', 'recall', 'f1', 'n'), expected, strict=True):
      if np.isnan(column[c]):
        assert row[name] is None
      else:
        assert row[name] == exactly(column[c])


@pytest.mark.parametrize(('size', 'processes'), [(1, 1), (3, 1), (16, 4), (64, 2)])
@pytest.mark.parametrize('task', [SOFT, MULTI, YEAR], ids=lambda t: t.kind)
def test_padding_batch_size_and_processes_change_no_digit(task, size, processes):
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(33, task.outputs)).astype(np.float32)
  labels = {
    SOFTMAX: rng.integers(-1, C, 33).astype(np.int32),
    SIGMOID: rng.random((33, C)) < 0.2,
    REGRESSION: np.where(rng.random(33) < 0.2, np.nan, 1650 + 80 * rng.normal(size=33)),
  }[task.kind]
  labels = labels.astype(np.float32) if task.kind == REGRESSION else labels
  whole = in_batches(task, logits, labels, size=33)
  cut = in_batches(task, logits, labels, size=size, processes=processes)
  jax.tree.map(np.testing.assert_array_equal, whole, cut)
  assert finish(task, *whole, labels) == finish(task, *cut, labels)


def test_a_network_that_answers_nan_is_never_right():
  logits, labels = np.full((4, C), np.nan, np.float32), np.zeros(4, np.int32)
  scores = score(SOFT, logits, labels)
  assert scores['top1'] == scores['top5'] == scores['macro_f1'] == 0.0
  assert scores['mca'] == [0.0] * 5
