"""The label-only baseline: predictions without the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.naive_bayes import CategoricalNB

from flaxart.data.source import Context, Dataset, Split, open_dataset
from flaxart.evaluation import label_only as lo
from flaxart.tasks.regression import Regression
from flaxart.tasks.softmax import Softmax

ARTIST = Softmax('artist', ('Anna', 'Bert', 'Cleo'))


def dataset(train, test, **others):
  """Splits of labels only; `others` are (train, test) of features that are not tasks."""
  splits, contexts = {}, {}
  for i, (name, labels) in enumerate((('train', train), ('test', test))):
    length = len(next(iter(labels.values())))
    ids = [str(n) for n in range(length)]
    splits[name] = Split(name, None, ids, ids, {k: np.array(v) for k, v in labels.items()})
    contexts[name] = Context({key: pair[i] for key, pair in others.items()})
  return Dataset('drawn', '1.0.0', Path(), {}, splits, contexts)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_naive_bayes_is_scikit_learns(seed):
  rng = np.random.default_rng(seed)
  n, values = int(rng.integers(5, 60)), rng.integers(2, 6, 2)
  labels = np.unique(rng.integers(0, 4, n), return_inverse=True)[1]
  known = np.stack([rng.integers(0, v, n) for v in values], axis=1)
  asked = np.stack([rng.integers(0, v, 30) for v in values], axis=1)
  oracle = CategoricalNB(alpha=lo.SMOOTHING, min_categories=values + 1).fit(known, labels)
  rows, there = np.arange(n), np.arange(30)
  pairs = [
    (lo.Facts(rows, known[:, i], v + 1), lo.Facts(there, asked[:, i], v + 1))
    for i, v in enumerate(values)
  ]
  guess = lo.naive_bayes(labels, pairs, there, 30)
  scores = oracle.predict_joint_log_proba(asked)
  # Equal to the best score, not to the best class: two classes may tie but for rounding.
  np.testing.assert_allclose(scores[there, guess], scores.max(axis=1), atol=1e-4)


def test_the_same_other_labels_answer_before_naive_bayes_does():
  # Exclusive or: each other label alone is useless, both together decide.
  a, b = np.tile([0, 0, 1, 1], 5), np.tile([0, 1, 0, 1], 5)
  train = {'artist': (a ^ b), 'x': a, 'y': b}
  scores = lo.label_only(dataset(train, train), 'test', [ARTIST])
  assert scores['artist'] == {'label_only_top1': 1.0, 'label_only_balanced_accuracy': 1.0}


@pytest.mark.parametrize(('alike', 'expected'), [(2, 0), (3, 1)])
def test_two_equal_records_are_not_enough(alike, expected):
  # Each label alone points to class 0; together they were only seen with class 1.
  artist = np.array([0] * 40 + [1] * alike)
  x = np.array([5] * 20 + [1] * 20 + [5] * alike)
  y = np.array([1] * 20 + [5] * 20 + [5] * alike)
  asked = {'x': np.array([5]), 'y': np.array([5])}
  assert lo.answer(artist, {'x': x, 'y': y}, asked).tolist() == [expected]


def test_missing_labels_sets_and_numbers_are_evidence():
  artist = np.repeat([0, 1, 2], 10)
  sets = np.zeros((30, 4), bool)
  sets[:10, :2], sets[10:20, 1:3] = True, True  # the last ten have none
  for kind in (sets, scipy.sparse.csr_array(sets)):
    guess = lo.answer(artist, {'tags': kind}, {'tags': kind[[0, 15, 25]]})
    assert guess.tolist() == [0, 1, 2]
  years = np.where(artist == 2, np.nan, 1600 + 50 * artist + np.arange(30) % 10).astype(np.float32)
  guess = lo.answer(artist, {'year': years}, {'year': np.array([1600, 1655, np.nan], np.float32)})
  assert guess.tolist() == [0, 1, 2]
  missing = np.where(artist == 1, -1, artist)
  assert lo.answer(artist, {'x': missing}, {'x': np.array([-1, 0])}).tolist() == [1, 0]


def test_labels_other_than_tasks_count_and_the_three_years_are_one():
  train, test = {'artist': [0] * 5 + [1] * 5}, {'artist': [0, 1, -1]}
  x = np.array([0] * 5 + [1] * 5), np.array([0, 1, 1])
  one = lo.label_only(dataset(train, test, x=x), 'test', [ARTIST, Regression('year')])
  assert one == {'artist': {'label_only_top1': 1.0, 'label_only_balanced_accuracy': 1.0}}
  years = tuple(np.zeros(n, np.float32) for n in (10, 3))
  known = lo.columns(dataset(train, test, year=years, year_begin=years, year_end=years), 'train')
  assert list(known) == ['artist', 'year']


@pytest.mark.parametrize(
  ('train', 'test', 'others'),
  [
    ({'artist': [0, 1]}, {'artist': [0]}, {}),
    ({'artist': [0, 1], 'x': [0, 1]}, {'artist': [-1], 'x': [0]}, {}),
    ({'artist': [-1, -1], 'x': [0, 1]}, {'artist': [0], 'x': [0]}, {}),
  ],
  ids=['no other label', 'no label in the split', 'no label in training'],
)
def test_unanswerable_tasks_are_none(train, test, others):
  scores = lo.label_only(dataset(train, test, **others), 'test', [ARTIST])
  assert scores == {'artist': {'label_only_top1': None, 'label_only_balanced_accuracy': None}}


def test_a_single_task_run_reads_the_other_labels_too(collection):
  one = open_dataset('collection', data_dir=collection, tasks=['artist'])
  assert list(one.split('train').labels) == ['artist']  # nothing more goes to the network
  assert set(one.contexts['train'].others) == {'type', 'year'}
  several = open_dataset('collection', data_dir=collection, tasks=['artist', 'type', 'year'])
  assert several.contexts['train'].others == {}
  # The year is in another century for each artist: the labels alone give most artists away.
  scores = lo.label_only(one, 'test', [ARTIST])
  assert scores == lo.label_only(several, 'test', [ARTIST])
  assert scores['artist']['label_only_top1'] > 0.9
