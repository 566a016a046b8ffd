"""Scores and tables of one label per record, against scikit-learn and the Challenge's rules."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
from batches import CASES, NAMES, SEEDS, C, draw, exactly, in_batches, score
from hypothesis import given
from sklearn import metrics as oracle

from flaxart.tasks.scores import table
from flaxart.tasks.softmax import Softmax

SOFT = Softmax('artist', NAMES)


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
  assert scores['f1_macro'] == exactly(oracle.f1_score(truth, guess, average='macro'))
  assert scores['f1_micro'] == exactly(oracle.f1_score(truth, guess, average='micro'))
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


def test_a_network_that_answers_nan_is_never_right():
  logits, labels = np.full((4, C), np.nan, np.float32), np.zeros(4, np.int32)
  scores = score(SOFT, logits, labels)
  assert scores['top1'] == scores['top5'] == scores['f1_macro'] == 0.0
  assert scores['mca'] == [0.0] * 5
