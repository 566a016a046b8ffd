"""Intervals against formulas and against brute force."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, balanced_accuracy_score

from flaxart.report.html.score_tables import _cell, difference_table
from flaxart.report.numbers import statistics as s
from flaxart.report.numbers.answers import Answers, common, score_of
from flaxart.report.numbers.compare import Difference
from flaxart.tasks.regression import Regression
from flaxart.tasks.sigmoid import Sigmoid
from flaxart.tasks.softmax import Softmax

NAMES = tuple(f'class {c}' for c in range(4))


def answers(*, records=60, groups=20, classes=4, seed=0, kind=Softmax, label=None):
  rng = np.random.default_rng(seed)
  ids = np.array([f'r{i}' for i in range(records)], object)
  group = np.array([f'g{i % groups}' for i in range(records)], object)
  p = rng.integers(0, 8, (records, classes)) / 8  # ties
  kept = {'label': rng.random(p.shape) < 0.3, 'p': p}
  if kind is not Sigmoid:
    drawn, said = rng.integers(0, classes, (2, records))
    kept = {'label': drawn, 'top': said[:, None]}
  kept |= {} if label is None else {'label': label}
  return Answers(kind('task', NAMES[:classes]), ids, group, kept)


def test_over_seeds_is_the_t_interval():
  result = s.over_seeds([0.5, None, 0.6, 0.7])
  assert result.n == 3 and result.mean == pytest.approx(0.6) and result.sd == pytest.approx(0.1)
  assert result.high - result.mean == pytest.approx(4.302653 * 0.1 / 3**0.5, rel=1e-6)
  assert s.over_seeds([0.5]) == s.OverSeeds(1, 0.5, None, None, None)
  assert s.over_seeds([None]).mean is None


def test_draws_are_of_groups_with_replacement_and_reproducible():
  weights = np.concatenate(list(s.group_draws(7, draws=120)))
  assert weights.shape == (120, 7) and (weights.sum(axis=1) == 7).all()
  assert weights.var() == pytest.approx(6 / 7, rel=0.15)  # of a multinomial count
  assert (weights == np.concatenate(list(s.group_draws(7, draws=120)))).all()


@pytest.mark.parametrize('metric', ['top1', 'balanced_accuracy', 'map'])
def test_a_score_of_drawn_groups_is_the_score_of_the_repeated_records(metric):
  a = answers(kind=Sigmoid if metric == 'map' else Softmax)
  score = score_of(a, metric)
  names = np.unique(a.groups.astype(str))
  for weights in (np.ones((1, 20)), next(s.group_draws(20, draws=1, seed=3))):
    rows = np.repeat(np.arange(60), weights[0].astype(int)[np.searchsorted(names, a.groups)])
    kept = a.at(rows).kept
    truth = kept['label']
    if metric == 'map':
      known = truth.any(axis=0)
      expected = average_precision_score(truth[:, known], kept['p'][:, known], average='macro')
    elif metric == 'top1':
      expected = (kept['top'][:, 0] == truth).mean()
    else:
      expected = balanced_accuracy_score(truth, kept['top'][:, 0])
    assert score(weights)[0] == pytest.approx(expected, abs=1e-12)


def test_the_bootstrap_knows_the_standard_error_of_a_share():
  a = answers(records=400, groups=400, classes=2)
  low, high = s.bootstrap(score_of(a, 'top1'), 400)
  assert high - low == pytest.approx(2 * 1.96 * 0.5 / 400**0.5, rel=0.1)
  assert s.bootstrap(score_of(a, 'top1'), 1) is None


def test_records_of_one_group_are_not_independent():
  """Ten copies of each record: ten times the records, and the same interval."""
  one = answers(records=40, groups=40)
  ten = one.at(np.repeat(np.arange(40), 10))
  assert s.bootstrap(score_of(ten, 'top1'), 40) == pytest.approx(
    s.bootstrap(score_of(one, 'top1'), 40)
  )


def test_a_difference_is_paired():
  """Two networks that answer alike: their scores vary with the objects, their difference does
  not."""
  a = answers()
  same = s.difference_of(score_of(a, 'top1'), score_of(a, 'top1'))
  assert s.bootstrap(same, 20) == (0.0, 0.0)
  low, high = s.bootstrap(score_of(a, 'top1'), 20)
  assert high - low > 0.1


@pytest.mark.parametrize(
  ('kind', 'label'),
  [(Softmax, None), (Sigmoid, np.eye(60, 4, dtype=bool)), (Regression, np.arange(60.0))],
)
def test_only_records_that_both_have_with_the_same_label_are_common(kind, label):
  a = answers(kind=kind, label=label)
  b = a.at(np.arange(59, 9, -1))
  b.kept['label'][0] = (b.kept['label'][0] + 1) % 4  # record 59
  left, right = common([a, b])
  assert list(left.ids) == list(right.ids) == [f'r{i}' for i in range(10, 59)]
  assert not len(common([a, answers(records=0)])[0].ids)


def test_labels_are_the_same_by_the_names_of_their_classes():
  def renamed(of, label, classes):
    return dataclasses.replace(
      of, task=dataclasses.replace(of.task, classes=classes), kept={**of.kept, 'label': label}
    )

  one = answers()
  order = np.array([1, 0, 2, 3])
  swapped = renamed(one, order[one.kept['label']], tuple(np.array(NAMES)[order]))
  assert len(common([one, swapped])[0].ids) == 60
  label = np.eye(60, 4, dtype=bool)
  label[:, 0] = True
  a = answers(kind=Sigmoid, label=label)
  swapped = renamed(a, label[:, order], tuple(np.array(NAMES)[order]))
  assert len(common([a, swapped])[0].ids) == 60
  other = renamed(a, label, ('class 0', 'b', 'class 2', 'class 3'))
  assert list(common([a, other])[0].ids) == ['r0', *(f'r{i}' for i in range(2, 60))]
  fewer = renamed(a, label[:, :3], NAMES[:3])
  assert list(common([a, fewer])[0].ids) == ['r0', 'r1', 'r2', *(f'r{i}' for i in range(4, 60))]


def test_counts_are_not_percentages():
  assert _cell('unknown_n', s.over_seeds([73.0, 73.0]), {'unknown_n'}) == '73'
  assert _cell('unknown_auroc', s.over_seeds([0.73]), {'unknown_n'}) == '73.0'


@pytest.mark.parametrize(('pairs', 'by_chance'), [(19, 'fewer than one'), (20, 'about 1 ')])
def test_a_note_says_how_many_pairs_look_clear_by_chance(pairs, by_chance):
  experiment = SimpleNamespace(label='a')
  none = s.over_seeds([])
  one = Difference('artist', 'top1', 'mode', experiment, experiment, 0.0, None, 1, 1, none)
  assert f'of {pairs} without any difference, {by_chance}' in difference_table([one] * pairs)


def test_an_interval_of_draws_that_are_all_right_is_wilsons():
  everything = answers(records=95, groups=95)
  everything.kept['top'] = everything.kept['label'][:, None]
  low, high = s.of_proportion(score_of(everything, 'top1'), 95)
  assert (low, high) == pytest.approx(binomtest(95, 95).proportion_ci(method='wilson'))
  assert 0.961 < low < 0.962 and high == 1.0
  for right in (0, 3, 17, 95):
    expected = binomtest(right, 95).proportion_ci(method='wilson')
    assert s.wilson(right / 95, 95) == pytest.approx(expected)
  other = score_of(answers(records=95, groups=95), 'top1')
  assert s.of_proportion(other, 95) == s.bootstrap(other, 95)
