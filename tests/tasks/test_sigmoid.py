"""Scores of several labels per record, against scikit-learn and the rules of the Challenge."""

from __future__ import annotations

import numpy as np
from batches import CASES, NAMES, SEEDS, C, draw, exactly, score
from hypothesis import given
from sklearn import metrics as oracle

from flaxart.tasks.sigmoid import Sigmoid

MULTI = Sigmoid('type', NAMES)


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
