"""A kind of task unknown to flaxart, from training to report: one class, one line.

Grades are ordered classes. A head has an output for each step between two of them, the probability
of being above it; an answer counts if it is at most one grade off.
"""

from __future__ import annotations

import csv
import json
from types import SimpleNamespace
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
from tiny_museum import tiny_config

from flaxart.data.source import open_dataset
from flaxart.evaluate_run import evaluate_run
from flaxart.evaluation import calibration
from flaxart.evaluation.results import table
from flaxart.prediction.run import predict
from flaxart.report.__main__ import report
from flaxart.tasks import kinds
from flaxart.tasks.arithmetic import divide
from flaxart.tasks.task import PLAIN, Task, class_names
from flaxart.train import train_and_evaluate
from flaxart.workdir import checkpoint
from flaxart.workdir.class_names import by_class_name
from flaxart.workdir.run_folder import read_run


class Grade(Task):
  kind, main, main_words, in_units = 'grade', 'exact', 'share of exact grades', ('mean_error',)
  stored, scores_need_logits = ('label', 'said', 'p'), False
  further: ClassVar = {'within_one': 'Grades that are at most one off'}

  @classmethod
  def of_feature(cls, name, feature, weight):
    return cls(name, class_names(name, feature), weight) if hasattr(feature, 'names') else None

  @property
  def outputs(self):
    return len(self.classes) - 1

  def losses(self, logits, labels, terms=PLAIN):
    above = labels[:, None] > jnp.arange(self.outputs)
    return optax.sigmoid_binary_cross_entropy(logits, above).sum(axis=1)

  def count_shapes(self):
    return {'off': (len(self.classes),)}

  def count(self, counts, logits, labels, known):
    p = self.answer(logits)
    said = p.argmax(axis=1).astype(jnp.int32)
    off = jnp.abs(said - jnp.maximum(labels, 0))
    found = {'said': said, 'p': p.max(axis=1)}
    return {'off': counts['off'].at[off].add(known.astype(jnp.int32))}, found

  def scores(self, counts, found, labels):
    n, off = counts['n'], counts['off']
    error = divide((off * np.arange(len(off))).sum(), n)
    return {
      'exact': divide(off[0], n),
      'within_one': divide(off[:2].sum(), n),
      'mean_error': error,
    }

  def tables(self, counts):
    return {'off': counts['off'].tolist()}

  def beside(self, scores):
    return {'largest class': scores['floor'], 'one off': scores['within_one']}

  def guess_scores(self, guess, truth):
    return {'exact': divide((guess == truth).sum(), len(truth))}

  def sureness(self, found):
    return found['p']

  def probabilities(self, logits):
    above = np.minimum.accumulate(scipy.special.expit(logits), axis=1)
    return -np.diff(above, axis=1, prepend=1.0, append=0.0)

  def logits_of(self, p):
    return scipy.special.logit(1 - p.cumsum(axis=1)[:, :-1])

  def mean_loss(self, logits, truth):
    above = truth[:, None] > np.arange(self.outputs)
    return float(np.logaddexp(0, np.where(above, -logits, logits)).sum(axis=1).mean())

  def answer(self, logits):
    above = jax.lax.cummin(jax.nn.sigmoid(logits), axis=1)
    one, none = jnp.ones_like(above[:, :1]), jnp.zeros_like(above[:, :1])
    return -jnp.diff(jnp.concatenate([one, above, none], axis=1), axis=1)

  def predictions(self, found):
    return {'said': found['said'], 'p': found['p']}

  def right(self, kept):
    return kept['said'] == kept['label']

  def redrawn(self, metric, kept, group):
    if metric == 'exact':
      return super().redrawn(metric, kept, group)
    near = np.abs(kept['said'] - kept['label']) <= 1
    return lambda weights: (weights[:, group] * near).sum(axis=1) / weights[:, group].sum(axis=1)

  def sample(self, kept, row):
    return self.classes[kept['label'][row]], self.classes[kept['said'][row]], kept['p'][row]

  def floors(self, metric, scores):
    return {'largest class': scores['floor'] if metric == 'exact' else None}


@pytest.fixture(scope='module')
def runs(collection, tmp_path_factory):
  """A network that learned grades and a year; heads alone on its trunk; both in one report."""
  folder = tmp_path_factory.mktemp('grades')
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(kinds, 'KINDS', (Grade, *kinds.KINDS))
    config = tiny_config(collection, 'toy')
    config.tasks, config.train.epochs, config.eval.baselines = 'artist,type,year', 2.0, True
    config.loss.class_weights = 'artist=sqrt'
    network = train_and_evaluate(config, folder / 'runs' / 'network')
    config.init, config.trainable = str(folder / 'runs' / 'network'), 'heads'
    heads = train_and_evaluate(config, folder / 'runs' / 'heads')
    report(str(folder / 'runs' / '*'), folder / 'report', samples=1)
    yield SimpleNamespace(
      network=network, heads=heads, folder=folder, workdir=folder / 'runs' / 'network'
    )


def test_it_is_trained_and_evaluated_like_any_other(runs, collection, capsys, monkeypatch):
  monkeypatch.setenv('COLUMNS', '200')
  tasks = {task.name: task for task in read_run(runs.workdir)[1]}
  assert [type(task).__name__ for task in tasks.values()] == ['Grade', 'Grade', 'Regression']
  assert json.loads((runs.workdir / 'labels.json').read_text())['type']['kind'] == 'grade'
  labels = open_dataset('collection', data_dir=collection, tasks=['artist']).split('train').labels
  largest = np.bincount(labels['artist'][labels['artist'] >= 0]).argmax()
  for summary, workdir in ((runs.network, 'network'), (runs.heads, 'heads')):
    for split in ('val', 'test'):
      with np.load(runs.folder / 'runs' / workdir / f'predictions_{split}.npz') as file:
        label, said = file['artist/label'], file['artist/said']
      own, known = summary[split]['artist'], label >= 0
      off = np.abs(said - label)[known]
      assert own['n'] == known.sum() and own['classes'] == 3 and own['loss'] > 0
      assert (own['exact'], own['within_one']) == ((off == 0).mean(), (off <= 1).mean())
      assert own['mean_error'] == pytest.approx(off.mean()) and own['exact'] > own['floor']
      assert own['floor'] == (label[known] == largest).mean()
      assert 0 <= own['pixels16_exact'] <= 1 and 0 <= own['label_only_exact'] <= 1
      assert {'decided_coverage', 'unknown_auroc'} <= own.keys() and 'top1' not in own
  assert runs.network['calibration']['artist']['temperature'] > 0
  tables = json.loads((runs.workdir / 'tables.json').read_text())['test']
  assert sum(tables['artist']['off']) == runs.network['test']['artist']['n']
  assert evaluate_run(runs.workdir, split='test') == runs.network['test']
  head, _, artist = capsys.readouterr().out.splitlines()[1:4]
  assert head.endswith('one off') and 'exact, mean_error' in artist
  assert table(runs.network, list(tasks.values())).splitlines()[3] == artist


def test_its_classes_are_matched_by_name(runs, collection):
  dataset = open_dataset('collection', data_dir=collection, tasks=['artist'])
  moved = by_class_name(dataset, [Grade('artist', ('Cleo', 'Bert'))])
  was, now = (d.split('test').labels['artist'] for d in (dataset, moved))
  np.testing.assert_array_equal(now, np.array([-1, 1, 0, -1])[was])


def test_it_names_pictures_and_decides(runs, collection):
  entry = runs.network['calibration']['artist'] | {'temperature': 1.0, 'threshold': 0.6}
  step = checkpoint.best_on_disk(runs.workdir)
  calibration.write(runs.workdir, {'artist': entry}, step=step)
  rows = predict(runs.workdir, collection.parent / 'source', runs.folder / 'out.csv')
  rows = [row for row in rows if row['status'] == 'ok']
  assert {row['artist_1'] for row in rows} <= {'Anna', 'Bert', 'Cleo'} and len(rows) == 160
  for row in rows:
    assert row['artist_1_p'] >= row['artist_2_p'] and row['type_1'] and row['type_1_p'] is None
    assert row['artist_decision'] == (row['artist_1'] if row['artist_1_p'] >= 0.6 else '')
  assert any(row['artist_decision'] for row in rows)


def test_it_is_in_the_report(runs):
  folder = runs.folder / 'report'
  rows = list(csv.DictReader((folder / 'tables.csv').read_text('utf-8-sig').splitlines()))
  mine = {(row['metric'], row['largest_class'] != ''): row for row in rows if row['task'] == 'type'}
  assert set(mine) == {('exact', True), ('within_one', False)}
  for (metric, _), row in mine.items():
    summary = runs.heads if 'off the shelf' in row['experiment'] else runs.network
    assert float(row['mean']) == summary['test']['type'][metric]
    assert float(row['objects_low']) <= float(row['mean']) <= float(row['objects_high'])
  page = (folder / 'report.html').read_text()
  assert 'Scores on the test split: share of exact grades or share within 50 years' in page
  assert 'Grades that are at most one off' in page and 'does not exist for a grade task' in page
  assert 'Sample pictures of artist, chosen at random' in page and (folder / 'figure1.png').exists()
