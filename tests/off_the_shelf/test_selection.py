"""Several settings over one set of features: each as if alone, and the best on val is kept."""

from __future__ import annotations

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from tiny_museum import off_the_shelf_config
from trainer import StopError, assert_close, at_step, stored, untimed_lines

from flaxart.evaluate_run import evaluate_run
from flaxart.off_the_shelf.selection import Selection, check_choice
from flaxart.report.html import run_tables
from flaxart.tasks.softmax import Softmax
from flaxart.train import train_and_evaluate
from flaxart.training.validation import shown
from flaxart.workdir import checkpoint
from tfds_rijks.errors import UserError


@pytest.fixture(scope='module')
def tried(tmp_path_factory, collection, trunk, cache):
  """Four settings over one cache, one of which diverges."""
  config = off_the_shelf_config(collection, trunk, cache)
  config.train.epochs = 4.0
  config.probe.settings = 'sgd:1e30,sgd:1e-4,adam:3e-3,rmsprop:1e-4'
  config.log.profile = '3'
  workdir = tmp_path_factory.mktemp('runs') / 'tried'
  return workdir, config, train_and_evaluate(config, workdir)


def test_each_setting_gives_the_same_as_alone(tried, tmp_path):
  workdir, config, summary = tried
  named = {entry['name']: entry['val'] for entry in summary['train']['settings']}
  assert list(named) == config.probe.settings.split(',')
  assert named['sgd:1e30'] is None and summary['train']['settings_tried'] == 4
  kept = summary['train']['setting']
  for name in {kept, 'sgd:1e-4'}:
    alone = config.copy_and_resolve_references()
    alone.probe.settings = name
    single = train_and_evaluate(alone, tmp_path / name)
    scores = checkpoint.steps_on_disk(tmp_path / name)
    assert np.float32(max(scores.values())) == named[name]
    if name == kept:
      assert summary['test'] == single['test'] and single['train']['steps'] == 32
      one, other = stored(workdir)['params'], stored(tmp_path / name)['params']
      jax.tree.map(np.testing.assert_array_equal, one, other)


def test_the_setting_that_is_best_on_val_is_tested_and_kept(tried):
  workdir, config, summary = tried
  scores = {entry['name']: entry['val'] for entry in summary['train']['settings']}
  kept = summary['train']['setting']
  assert scores[kept] == max(score for score in scores.values() if score is not None)
  best = summary['train']['best_step']
  assert best == checkpoint.best_on_disk(workdir)
  assert (best - 1) // 32 == config.probe.settings.split(',').index(kept)
  lines = [line for line in untimed_lines(workdir) if line['split'] == 'val']
  of_best = next(line for line in lines if line['step'] == best)
  assert of_best['setting'] == kept and of_best['setting_step'] == (best - 1) % 32 + 1
  assert of_best['artist/loss'] == pytest.approx(summary['val']['artist']['loss'], rel=1e-4)
  again = evaluate_run(workdir, split='test')
  # A loss near 0 is a difference of float32 logits, which is not more precise than this.
  assert_close(again, summary['test'], rtol=1e-4, atol=np.finfo(np.float32).eps)


def test_the_cost_of_all_settings_is_counted(tried):
  train = tried[2]['train']
  # One of four drops out before its first evaluation.
  assert train['steps'] == 32 and train['epochs'] == 4 and train['images_seen'] == 3 * 32 * 16


def test_the_pass_with_the_chosen_step_is_traced(tried):
  assert len(list((tried[0] / 'profile').rglob('*.xplane.pb'))) == 1


@pytest.mark.parametrize('step', [32 + 24, 64 + 8])  # of the second setting, of the third
def test_a_run_stopped_in_a_setting_continues_to_the_same_end(tried, tmp_path, step):
  workdir, config, summary = tried
  with pytest.raises(StopError):
    train_and_evaluate(config, tmp_path / 'stopped', on_step=at_step(step))
  again = train_and_evaluate(config, tmp_path / 'stopped')
  assert untimed_lines(tmp_path / 'stopped') == untimed_lines(workdir)
  assert again['test'] == summary['test']
  for key in ('steps', 'images_seen', 'settings', 'setting', 'best_step'):
    assert again['train'][key] == summary['train'][key]
  last = stored(workdir, 4 * 32)
  jax.tree.map(np.testing.assert_array_equal, last, stored(tmp_path / 'stopped', 4 * 32))


def test_a_setting_that_skips_too_many_updates_drops_out(tried, tmp_path, caplog):
  config = tried[1].copy_and_resolve_references()
  config.train.on_nonfinite, config.train.max_skipped = 'skip', 20
  config.probe.settings, config.log.profile = 'sgd:1e30,adam:3e-3', ''
  with pytest.raises(StopError):
    train_and_evaluate(config, tmp_path / 'run', on_step=at_step(16))
  # Eight per pass: the third is too many, counted over both starts.
  summary = train_and_evaluate(config, tmp_path / 'run')
  out = 'sgd:1e30 drops out: step 21: the norm of the update is inf, which is number 21'
  assert caplog.text.count(out) == 1
  lines = [line for line in untimed_lines(tmp_path / 'run') if line['split'] == 'train']
  assert [line['step'] for line in lines] == [8, 16, 40, 48, 56, 64]
  assert [line.get('nonfinite', 0) for line in lines] == [8, 8, 0, 0, 0, 0]
  assert summary['train']['setting'] == 'adam:3e-3'


def test_several_settings_need_labels_to_choose_by(tmp_path):
  task = Softmax('artist', ('a', 'b'))
  val = SimpleNamespace(labels={'artist': np.array([-1, -1])})
  museum = SimpleNamespace(name='museum', splits={})
  settings = SimpleNamespace(trials=('a', 'b'))
  run = SimpleNamespace(workdir=tmp_path, tasks=[task], dataset=museum, settings=settings)
  for splits, found in (({}, 'no val split'), ({'val': val}, 'a val split without labels')):
    museum.splits = splits
    with pytest.raises(UserError, match=found):
      check_choice(run)
  val.labels['artist'][0] = 1
  check_choice(run)


def test_a_loss_is_never_shown_as_a_negative_score():
  tried = Selection(['sgd 0.1', 'sgd 0.01'])
  tried.take(0, 5, -1.259)
  entry = tried.entry(0, by_loss=True)
  assert entry['settings'] == [
    {'name': 'sgd 0.1', 'val_loss': pytest.approx(1.259)},
    {'name': 'sgd 0.01', 'val_loss': None},
  ]
  scores = {'artist': {'top1': 0.884, 'loss': 1.259}}
  task = Softmax('artist', ('a', 'b'))
  for best, line, score in (
    ('loss', 'val loss 1.259', -1.259),
    ('score', 'val top1 88.4 %', 0.884),
    ('last', 'val top1 88.4 %', None),
  ):
    config = ConfigDict({'checkpoint': {'best': best}})
    run = SimpleNamespace(config=config, tasks=[task])
    assert shown(run, scores, score) == line
    stored = entry['settings'][0] if best == 'loss' else {'val': 0.884}
    assert run_tables._val(run, stored) == line.replace('top1 ', '')
  earlier = {'val': -1.259}  # of a version that stored what it compared
  by_loss = SimpleNamespace(config=ConfigDict({'checkpoint': {'best': 'loss'}}))
  assert run_tables._val(by_loss, earlier) == 'val loss 1.259'
