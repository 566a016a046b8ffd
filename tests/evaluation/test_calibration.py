"""Decide or abstain: temperatures are recovered, thresholds keep their precision."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from flaxart.evaluation import calibration as c
from flaxart.tasks.regression import Regression
from flaxart.tasks.sigmoid import Sigmoid
from flaxart.tasks.softmax import Softmax
from tfds_rijks.errors import UserError

CASES = settings(max_examples=200, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
ARTIST = Softmax('artist', ('Anna', 'Bert', 'Cleo', 'Dora'))
TAGS = Sigmoid('tags', ('oak', 'tin', 'silk'))
YEAR = Regression('year')


def overconfident(task, *, times, n=20000, seed=0):
  """Logits that are `times` too large for the labels drawn from them."""
  rng = np.random.default_rng(seed)
  logits = 2 * rng.normal(size=(n, task.outputs))
  if task is ARTIST:
    p = scipy.special.softmax(logits, axis=1)
    truth = (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).astype(np.int32)
  else:
    truth = rng.random(logits.shape) < scipy.special.expit(logits)
  return (times * logits).astype(np.float32), truth


@pytest.mark.parametrize('task', [ARTIST, TAGS], ids=lambda t: t.kind)
@pytest.mark.parametrize('times', [0.5, 1.0, 3.0])
def test_the_temperature_undoes_overconfidence(task, times):
  logits, truth = overconfident(task, times=times)
  assert c.fit_temperature(task, logits, truth) == pytest.approx(times, rel=0.05)
  true = scipy.special.softmax(logits / times, axis=1)
  true = true if task is ARTIST else scipy.special.expit(logits / times)
  np.testing.assert_allclose(c.calibrated(task, logits, times), true, rtol=1e-4)


def brute_force(p, right):
  """Every probability there is, from the smallest up."""
  for threshold in np.unique(p):
    given = p >= threshold
    if given.sum() >= 20 and right[given].mean() >= 0.9:
      return threshold
  return None


@CASES
@given(SEEDS)
def test_the_threshold_is_the_smallest_that_keeps_the_precision(seed):
  rng = np.random.default_rng(seed)
  p = np.round(rng.random(rng.integers(0, 120)), 2)  # equal ones happen
  right = rng.random(len(p)) < p ** rng.choice([0.2, 1.0, 3.0])
  assert c.find_threshold(p, right) == brute_force(p, right)


def test_a_precision_that_is_never_reached_gives_no_threshold_and_no_decision():
  rng = np.random.default_rng(0)
  logits, truth = rng.normal(size=(200, 4)).astype(np.float32), rng.integers(0, 4, 200)
  entry = c.fit([ARTIST, YEAR], {'artist': {'logits': logits}}, {'artist': truth})
  assert list(entry) == ['artist']
  assert entry['artist']['threshold'] is entry['artist']['val_coverage'] is None
  assert entry['artist']['n'] == 200 and entry['artist']['precision'] == 0.9
  assert c.decide(ARTIST, entry['artist'], np.array([1.0, 0, 0, 0], np.float32)) == []
  # Nineteen right answers are too few to say anything; twenty are enough.
  for n, threshold in ((19, None), (20, 1.0)):
    assert c.find_threshold(np.ones(n), np.ones(n, bool)) == threshold


@pytest.mark.parametrize('task', [ARTIST, TAGS], ids=lambda t: t.kind)
def test_precision_and_coverage_on_val_are_those_of_the_decisions(task):
  logits, truth = overconfident(task, times=2.0, n=400)
  truth[:50] = -1 if task is ARTIST else False
  entry = c.fit([task], {task.name: {'logits': logits}}, {task.name: truth})[task.name]
  known = task.is_labelled(truth)
  assert entry['n'] == known.sum() < 400 and entry['val_precision'] >= 0.9
  link = scipy.special.softmax if task is ARTIST else scipy.special.expit
  plain = link(logits[known], axis=1) if task is ARTIST else link(logits[known])
  given = [c.decide(task, entry, p) for p in plain.astype(np.float32)]
  assert np.mean([len(names) > 0 for names in given]) == pytest.approx(
    entry['val_coverage'], abs=1e-9
  )
  right = [
    (task.classes.index(name) == label if task is ARTIST else label[task.classes.index(name)])
    for names, label in zip(given, truth[known], strict=True)
    for name in names
  ]
  assert np.mean(right) == pytest.approx(entry['val_precision'], abs=1e-9)


def test_a_split_without_a_label_of_the_task_fits_nothing():
  labels = np.full(30, -1)
  entry = c.fit([ARTIST], {'artist': {'logits': np.zeros((30, 4), np.float32)}}, {'artist': labels})
  assert entry['artist'] == {
    'temperature': 1.0, 'precision': 0.9, 'n': 0, 'threshold': None, 'val_coverage': None,
    'val_precision': None,
  }  # fmt: skip


def test_certainty_beyond_float32_is_not_an_error():
  entry = {'temperature': 2.0, 'threshold': 0.8}
  assert c.decide(ARTIST, entry, np.array([1, 0, 0, 0], np.float32)) == ['Anna']
  assert c.decide(TAGS, entry, np.array([1, 0, 0.99], np.float32)) == ['oak', 'silk']
  assert c.decide(YEAR, entry, np.array(1650.0)) == []


def test_a_damaged_file_is_refused_and_a_missing_one_decides_nothing(tmp_path):
  assert c.read(tmp_path, step=1) == {}
  (tmp_path / c.FILE).write_text('{"artist": ')
  with pytest.raises(UserError, match=r'calibration.json: is damaged .*, or remove it to predict'):
    c.read(tmp_path, step=1)


def test_decisions_use_the_sealed_copy(tmp_path, caplog):
  (tmp_path / 'checkpoints/1').mkdir(parents=True)
  for threshold in (0.4, 0.5):  # the second time in place of the first
    c.write(tmp_path, {'artist': {'threshold': threshold}}, step=1)
  here, sealed = tmp_path / c.FILE, tmp_path / 'checkpoints/1/calibration' / c.FILE
  assert c.read(tmp_path, step=1) == {'artist': {'threshold': 0.5}} and not caplog.text
  assert c.read(tmp_path, step=2) == {} and 'fitted on step 1' in caplog.text
  here.write_text('{"artist": {"threshold": 0.1}}')
  with pytest.raises(UserError, match=r'threshold of artist was 0.5 when it was fitted and is 0.1'):
    c.read(tmp_path, step=1)
  here.unlink()
  assert c.read(tmp_path, step=1) == {'artist': {'threshold': 0.5}}
  sealed.write_text('{"artist": {"threshold": 0.1}}')
  with pytest.raises(UserError, match=r'calibration/calibration.json: content changed'):
    c.read(tmp_path, step=1)
  shutil.rmtree(sealed.parent)  # as an earlier flaxart left it
  here.write_text('{"artist": {"threshold": 0.1}}')
  assert c.read(tmp_path, step=1) == {'artist': {'threshold': 0.1}}
  assert 'is not sealed' in caplog.text
