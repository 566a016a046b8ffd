"""Another precision than that of training, from what was kept with the checkpoint."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import scipy.special

import flaxart
from flaxart.evaluation import calibration, val_answers
from flaxart.tasks.regression import Regression
from flaxart.tasks.sigmoid import Sigmoid
from flaxart.tasks.softmax import Softmax
from tfds_rijks.errors import UserError

ARTIST = Softmax('artist', ('Anna', 'Bert', 'Cleo', 'Dora'))
TAGS = Sigmoid('tags', ('oak', 'tin', 'silk'))


def drawn(task, n=400):
  rng = np.random.default_rng(3)
  logits = (3 * rng.normal(size=(n, task.outputs))).astype(np.float32)
  if task is ARTIST:
    p = scipy.special.softmax(logits, axis=1)
    truth = (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).astype(np.int32)
    truth[:30] = -1
  else:
    truth = rng.random(logits.shape) < scipy.special.expit(logits)
    truth[:30] = False
  return logits, truth


@pytest.mark.parametrize('precision', [0.75, 0.8, 0.97])
@pytest.mark.parametrize('task', [ARTIST, TAGS], ids=lambda t: t.kind)
def test_the_threshold_is_what_training_would_have_chosen(task, precision, tmp_path, monkeypatch):
  logits, truth = drawn(task)
  found, labels = {task.name: {'logits': logits}}, {task.name: truth}
  fitted = calibration.fit([task, Regression('year')], found, labels)
  (tmp_path / 'checkpoints/5').mkdir(parents=True)
  answers = val_answers.collect([task, Regression('year')], found, labels, fitted)
  calibration.write(tmp_path, fitted, step=5, beside={val_answers.FILE: answers})
  entry = val_answers.at_precision(tmp_path, fitted, precision, step=5)[task.name]
  with monkeypatch.context() as patch:
    patch.setattr(calibration.find_threshold, '__defaults__', (precision,))
    expected = calibration.fit([task], found, labels)[task.name]
  assert entry['threshold'] == pytest.approx(expected['threshold'], abs=0)
  assert entry['temperature'] == fitted[task.name]['temperature']
  assert entry['val_precision'] == pytest.approx(expected['val_precision'])
  assert entry['val_precision'] >= entry['precision'] == precision
  known = task.is_labelled(truth)
  probabilities = calibration.calibrated(task, logits[known], entry['temperature'])
  passing = task.possible(probabilities, truth[known])[0] >= entry['threshold']
  assert entry['val_names'] == passing.sum() >= 20


def test_a_finished_run_has_them_and_what_lacks_them_is_named(copied):
  step = flaxart.load(copied).about['step']
  fitted = calibration.read(copied, step=step)
  answers = val_answers.read(copied, step=step)
  assert answers.keys() == fitted.keys() == {'artist', 'type'}
  assert len(answers['artist']['p']) == fitted['artist']['n']
  assert 'val_answers' not in json.loads((copied / 'results.json').read_text())
  assert val_answers.at_precision(copied, fitted, 0.3, step=step)['artist']['threshold'] is None
  sealed = copied / 'checkpoints' / str(step) / 'calibration'
  (sealed / val_answers.FILE).write_text('{}')
  with pytest.raises(UserError, match=r'val_answers.json: content changed'):
    val_answers.at_precision(copied, fitted, 0.8, step=step)
  shutil.rmtree(sealed)  # as an earlier flaxart left it
  with pytest.raises(UserError, match=r'--precision: .* by an earlier flaxart'):
    val_answers.at_precision(copied, fitted, 0.8, step=step)
  assert val_answers.at_precision(copied, fitted, 0.9, step=step) == fitted
  with pytest.raises(UserError, match=r'--precision=0.8: .* has no calibration for step 3'):
    val_answers.at_precision(copied, {}, 0.8, step=3)
