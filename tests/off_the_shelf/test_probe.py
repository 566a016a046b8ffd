"""Off the shelf: the trunk runs once, and the heads are those of an ordinary run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from tiny_museum import RECORDS
from trainer import assert_close, stored, untimed_lines

import flaxart
from flaxart.config import default_config
from flaxart.data.source import open_dataset
from flaxart.evaluate_run import evaluate_run
from flaxart.machine.interrupt import StoppedError
from flaxart.off_the_shelf import head_steps, probe
from flaxart.off_the_shelf.passes import Passes
from flaxart.train import train_and_evaluate
from flaxart.workdir import checkpoint
from tfds_rijks.errors import UserError


def everything_on(config):
  """Every part of the ordinary step that applies to heads alone."""
  config.model.dropout, config.optim.weight_decay, config.optim.name = 0.2, 0.1, 'adamw'
  config.loss.label_smoothing, config.optim.clip_norm, config.optim.ema = 0.1, 5.0, 0.9
  config.loss.class_weights, config.loss.logit_adjustment = 'sqrt', 1.0
  config.loss.task_weights, config.train.accumulate = 'learned', 2
  config.optim.schedule, config.optim.plateau_patience = 'plateau', 1


def test_heads_are_those_of_an_ordinary_run(frozen, tmp_path, monkeypatch):
  everything_on(frozen)
  train_and_evaluate(frozen, tmp_path / 'probe')

  monkeypatch.setattr('flaxart.off_the_shelf.probe.applies', lambda config: False)
  train_and_evaluate(frozen, tmp_path / 'plain')
  one, other = stored(tmp_path / 'probe', 24), stored(tmp_path / 'plain', 24)
  for part in ('params', 'batch_stats', 'raw', 'opt_state', 'watch'):
    assert_close(one[part], other[part], rtol=2e-3, atol=2e-4)
  ours, plain = (
    json.loads((tmp_path / run / 'results.json').read_text()) for run in ('probe', 'plain')
  )
  for split in ('val', 'test'):
    assert_close(ours[split], plain[split], rtol=1e-3)


def test_a_second_run_with_other_heads_extracts_nothing(frozen, tmp_path, monkeypatch, extracted):
  frozen.probe.cache_dir = str(tmp_path / 'features')
  train_and_evaluate(frozen, tmp_path / 'first')
  assert extracted.pictures == RECORDS  # train, val and test, each picture once
  frozen.tasks, frozen.optim.learning_rate = 'type', 1e-2

  def fail(*_, **__):
    raise AssertionError('the trunk was run')

  monkeypatch.setattr('flaxart.models.trunk.Trunk.feature_map', fail)
  summary = train_and_evaluate(frozen, tmp_path / 'second')
  assert extracted.pictures == RECORDS
  # The cost of the features is still reported.
  assert summary['train']['features']['pictures'] == RECORDS
  assert summary['train']['features']['seconds'] > 0


def test_the_result_is_a_network_like_any_other(frozen, tmp_path, trunk):
  summary = train_and_evaluate(frozen, tmp_path / 'run')
  for split in ('val', 'test'):
    again = evaluate_run(tmp_path / 'run', split=split)
    assert_close(again, summary[split], rtol=1e-4)
  assert_close(stored(trunk)['params']['trunk'], stored(tmp_path / 'run')['params']['trunk'])
  assert_close(stored(trunk)['batch_stats'], stored(tmp_path / 'run')['batch_stats'])
  net = flaxart.load(tmp_path / 'run')
  split = open_dataset('collection', data_dir=frozen.data.data_dir, tasks=['artist']).split('test')
  answers = net(np.stack([net.square(split.picture(i)) for i in range(len(split))]))
  known = split.labels['artist'] >= 0
  right = answers['artist'].argmax(1)[known] == split.labels['artist'][known]
  assert right.mean() == pytest.approx(summary['test']['artist']['top1'])
  assert summary['train'].keys() >= {
    'steps', 'epochs', 'images_seen', 'seconds', 'images_per_second', 'settings_tried', 'best_step',
  }  # fmt: skip


def test_early_stopping_ends_the_run(frozen, tmp_path):
  frozen.train.epochs, frozen.train.early_stop_patience = 8.0, 2
  frozen.optim.name, frozen.optim.learning_rate = 'sgd', 1e-30
  summary = train_and_evaluate(frozen, tmp_path / 'run')
  assert summary['train']['steps'] == 3 * 8  # one evaluation sets the mark, two do not beat it
  again = train_and_evaluate(frozen, tmp_path / 'run')
  assert again['train']['steps'] == 3 * 8  # a stopped run does not continue


def test_a_nan_loss_stops_the_run(frozen, tmp_path):
  frozen.optim.name, frozen.optim.learning_rate = 'sgd', 1e30
  with pytest.raises(UserError, match=r'step \d+: the loss is (nan|inf)'):
    train_and_evaluate(frozen, tmp_path / 'run')
  frozen.probe.settings = 'sgd:1e30,sgd:1e31'
  with pytest.raises(UserError, match=r'every setting of config.probe.settings dropped out'):
    train_and_evaluate(frozen, tmp_path / 'two')


def test_passes_of_every_length_are_one_program(frozen, tmp_path, monkeypatch):
  programs = set()

  def train(self, *arguments, train=Passes.train, **options):
    result = train(self, *arguments, **options)
    programs.add(self.compiled)
    return result

  monkeypatch.setattr(Passes, 'train', train)
  train_and_evaluate(frozen, tmp_path / 'even')
  frozen.checkpoint.every_steps = 5  # passes end after 5, 8, 10, 15, 16, 20 and 24 steps
  train_and_evaluate(frozen, tmp_path / 'odd')
  assert len(programs) == 2  # one a run
  assert_close(stored(tmp_path / 'odd', 24), stored(tmp_path / 'even', 24), rtol=1e-5)
  even, odd = (untimed_lines(tmp_path / name) for name in ('even', 'odd'))
  assert [x['step'] for x in odd if x['split'] == 'train'] == [5, 8, 10, 15, 16, 20, 24]
  mean = lambda lines, steps: np.average(  # noqa: E731
    [x['loss'] for x in lines if x['split'] == 'train'], weights=steps
  )
  assert mean(odd, [5, 3, 2, 5, 1, 4, 4]) == pytest.approx(mean(even, [8] * 3), rel=1e-5)


def test_a_nan_step_is_skipped_if_the_config_says_so(frozen, tmp_path, monkeypatch):
  frozen.train.on_nonfinite, frozen.checkpoint.every_steps = 'skip', 4
  poisoned = frozen.copy_and_resolve_references()

  def poison(records, *, first, count, order=head_steps.example_order, **options):
    found = order(records, first=first, count=count, **options)
    return np.where(np.arange(first, first + count) == 5 * 16, records, found)  # one of step 6

  def with_poison(split, *, mesh, train_data=head_steps.train_data):
    rows = np.pad(split.decoded, ((0, 1), (0, 0)), constant_values=np.nan)
    labels = {k: np.concatenate([v, v[:1]]) for k, v in split.labels.items()}
    return train_data(SimpleNamespace(columns=labels, decoded=rows), mesh=mesh)

  with monkeypatch.context() as patch:
    patch.setattr(head_steps, 'example_order', poison)
    patch.setattr(head_steps, 'train_data', with_poison)
    summary = train_and_evaluate(poisoned, tmp_path / 'run')
  assert summary['train']['steps'] == 24
  lines = [line for line in untimed_lines(tmp_path / 'run') if line['split'] == 'train']
  assert [line.get('nonfinite', 0) for line in lines] == [0, 1, 0, 0, 0, 0]
  saved = stored(tmp_path / 'run', 24)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(saved['params']))
  # Adam counts the updates, one of which is dropped. The schedule is at the step of the run.
  assert sorted({int(x) for x in saved['opt_state'].values() if x.ndim == 0}) == [23, 24]


def test_a_signal_stops_extraction_and_training_resumably(frozen, tmp_path, monkeypatch, extracted):
  frozen.probe.cache_dir, frozen.eval.batch_size = str(tmp_path / 'features'), 16
  asked = []

  def requested(self, step):
    asked.append(step)
    return len(asked) in (3, 3 + 7 + 1)  # after the third batch of ten, and after the first pass

  monkeypatch.setattr('flaxart.machine.interrupt.Interrupt.requested', requested)
  with pytest.raises(StoppedError, match=r'saved features of 48 of 128 pictures of train; to'):
    train_and_evaluate(frozen, tmp_path / 'run')
  assert extracted.pictures == 64  # the next batch was in progress
  with pytest.raises(StoppedError, match=r'saved step 8 of 24; to continue'):
    train_and_evaluate(frozen, tmp_path / 'run')
  assert extracted.pictures == RECORDS + 16
  assert list(checkpoint.steps_on_disk(tmp_path / 'run')) == [8]
  assert train_and_evaluate(frozen, tmp_path / 'run')['train']['steps'] == 24


def test_a_dry_run_leaves_no_trace(frozen, tmp_path):
  frozen.probe.cache_dir = str(tmp_path / 'features')
  assert train_and_evaluate(frozen, tmp_path / 'run', dry_run=True) is None
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
  ('change', 'expected'),
  [
    ({}, True),
    ({'model.bn': 'frozen'}, True),
    ({'model.bn': 'keras2_frozen'}, False),  # its statistics are those of each batch
    ({'trainable': 'all'}, False),
    ({'trainable': 'heads/.*|trunk/stage4/.*'}, False),
    ({'train.unfreeze': '0:heads/.*'}, False),
    ({'augment.flip': True}, False),
    ({'augment.zoom': 0.1}, False),
    ({'augment.randaugment': 1}, False),
    ({'augment.mixup': 0.2}, False),
    ({'augment.magnitude': 5.0}, False),  # of no operation: wrong, but never silent
    ({'augment.blur': 0.0}, True),  # a field of tomorrow
    ({'augment.blur': 0.5}, False),
  ],
)
def test_when_features_stay_the_same(change, expected, monkeypatch):
  def with_one_more_field():
    config = default_config()
    with config.unlocked():
      config.augment.blur = 0.0
    return config

  monkeypatch.setattr(probe, 'default_config', with_one_more_field)
  config = with_one_more_field()
  config.trainable = 'heads'
  config.update_from_flattened_dict(change)
  assert probe.applies(config) is expected
  config.probe.settings = 'adam:1e-3,adam:1e-4'
  if expected:
    assert probe.applies(config)
  else:
    (field,) = change
    with pytest.raises(UserError, match=f'needs features that never change.*{field}='):
      probe.applies(config)


@pytest.mark.processes
def test_heads_are_the_same_on_four_devices():
  line = [sys.executable, '-m', 'tests.machine.heads_on_devices']
  done = subprocess.run(line, cwd=Path(__file__).parents[2], capture_output=True, text=True)
  assert done.returncode == 0, done.stderr[-2000:]
  assert float(done.stdout) < 1e-5
