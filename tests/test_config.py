"""Settings: shipped files, checks, and what may differ when a run is continued."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from flaxart import config as c
from flaxart.config_checks import out_of_reach, validate
from tfds_rijks.errors import UserError

CONFIGS = sorted((Path(__file__).parents[1] / 'configs').glob('*.py'))


def shipped(path):
  spec = importlib.util.spec_from_file_location(path.stem, path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_every_shipped_config_is_valid_and_says_how_to_run_it(path):
  module = shipped(path)
  validate(module.get_config())
  assert f'--config=configs/{path.name}' in module.__doc__
  for mode in getattr(module, 'MODES', ()):
    validate(module.get_config(f'mode={mode}'))
  if hasattr(module, 'MODES'):
    with pytest.raises(UserError, match=r"found 'mode=best' behind the file, expected mode=M"):
      module.get_config('mode=best')


def test_a_stored_config_is_read_back_equal(tmp_path):
  config = c.default_config()
  config.optim.learning_rate = 0.25
  (tmp_path / 'config.json').write_text(c.to_json(config))
  assert c.differences(c.read(tmp_path / 'config.json'), config) == {}


def test_differences_are_named_and_where_the_data_lies_is_none():
  old, new = c.default_config(), c.default_config()
  new.optim.learning_rate, new.data.data_dir, new.data.workers = 0.5, '/elsewhere', 3
  assert c.differences(old, new) == {'optim.learning_rate': (1e-3, 0.5)}


def test_the_marks_of_settings():
  assert all(not isinstance(value, c._Marked) for value in c.flat(c.default_config()).values())
  assert {'data.cache_dir', 'data.data_dir', 'data.manual_dir', 'probe.cache_dir'} == c.FOLDERS
  free = 'checkpoint.asynchronous data.cache data.workers log.every_steps log.profile parallelism'
  assert {*c.FOLDERS, *free.split()} == c.MAY_CHANGE
  aside = 'checkpoint.every_steps checkpoint.keep_optimizer data.synthetic_objects eval.baselines'
  aside += ' eval.batch_size eval.test log.tensorboard seed tasks train.accumulate'
  assert {*c.MAY_CHANGE, *aside.split()} == c.NO_PART
  assert {f for f in c.flat(c.default_config()) if f.startswith(('optim.', 'augment.'))} < c.OF_MODE
  assert {'trainable', 'init', 'model.bn', 'train.epochs', 'probe.settings'} < c.OF_MODE
  assert not c.NO_PART & (c.OF_MODE | c.OF_NETWORK | c.OF_TASKS)


@pytest.mark.parametrize(
  ('setting', 'value', 'counts'),
  [
    ('model.dropout', 0.0, []),
    ('model.dropout', 0.1, ['parallelism']),
    ('augment.mixup', 0.2, ['parallelism']),
    ('model.bn_sync', False, ['parallelism']),
    ('train.on_nonfinite', 'skip', []),
  ],
)
def test_what_changes_the_arithmetic_of_some_runs_may_change_in_others(setting, value, counts):
  old = c.default_config()
  old.update_from_flattened_dict({setting: value})
  new = old.copy_and_resolve_references()
  new.parallelism, new.log.every_steps = 'shard_map', 7
  assert list(c.differences(old, new)) == counts


@pytest.mark.parametrize(
  ('field', 'value', 'line'),
  [
    ('model.name', 'resnet51', "config.model.name: found 'resnet51', expected one of vgg19"),
    ('parallelism', 'pmap', "config.parallelism: found 'pmap', expected one of jit, shard_map"),
    ('data.fit', 'stretch', "config.data.fit: found 'stretch'"),
    ('data.resize', 'opencv', "config.data.resize: found 'opencv', expected one of pillow, simd"),
    (
      'train.on_nonfinite',
      'rollback',
      "config.train.on_nonfinite: found 'rollback', expected one of abort, skip",
    ),
    ('optim.name', 'lion', "config.optim.name: found 'lion'"),
    ('optim.schedule', 'step', "config.optim.schedule: found 'step'"),
    ('model.bn', 'on', "config.model.bn: found 'on'"),
    ('model.dtype', 'float16', "config.model.dtype: found 'float16'"),
    ('checkpoint.best', 'top1', "config.checkpoint.best: found 'top1'"),
    ('train.epochs', 0.0, 'config.train.epochs: found 0.0, expected a number above 0'),
    ('train.batch_size', -1, 'config.train.batch_size: found -1'),
    ('optim.learning_rate', float('nan'), 'config.optim.learning_rate: found nan'),
    (
      'optim.learning_rate',
      float('inf'),
      'config.optim.learning_rate: found inf, expected a finite',
    ),
    ('train.eval_every_epochs', float('inf'), 'config.train.eval_every_epochs: found inf'),
    ('model.dropout', 1.0, 'config.model.dropout: found 1.0, expected a number below 1'),
    ('augment.zoom', -0.1, 'config.augment.zoom: found -0.1, expected a number of at least 0'),
    ('data.workers', -2, 'config.data.workers: found -2'),
    ('optim.ema', 1.0, 'config.optim.ema: found 1.0, expected a number below 1'),
    ('loss.label_smoothing', -0.1, 'config.loss.label_smoothing: found -0.1'),
    ('augment.magnitude', 11.0, 'config.augment.magnitude: found 11.0, expected 0 to 10'),
    (
      'train.accumulate',
      5,
      'config.train.accumulate: 32 pictures cannot be cut into 5 equal parts',
    ),
    ('data.pixels', 'minus_one', "config.data.pixels: found 'minus_one', expected one of network"),
    ('init', '', 'config.init is empty'),
    ('seed', 2**63, 'config.seed: found 9223372036854775808, expected a number below'),
  ],
)
def test_a_wrong_value_is_one_line_that_names_the_field(field, value, line):
  config = c.default_config()
  with config.unlocked():
    config.update_from_flattened_dict({field: value})
  with pytest.raises(UserError) as error:
    validate(config)
  assert str(error.value).startswith(line) and '\n' not in str(error.value)


@pytest.mark.parametrize(
  ('field', 'value', 'line'),
  [
    (
      'train.unfreeze',
      '0:heads/.*;2:.*',
      r"unfreeze: '\.\*' learns from epoch 2 on, and the run",
    ),
    ('train.unfreeze', '0:heads/.*;1.5:.*', None),
    ('optim.warmup_epochs', 2.0, r'warmup_epochs: the learning rate rises for 2 epochs, and the'),
    ('optim.warmup_epochs', 1.5, None),
    (
      'log.profile',
      '21:22',
      r'log.profile: step 21 is to be traced, .* after 20 steps',
    ),
    ('log.profile', '20', None),
  ],
)
def test_what_a_run_never_comes_to_is_said(field, value, line):
  config = c.default_config()
  config.update_from_flattened_dict({field: value})
  found = out_of_reach(config, validate(config), steps=20, steps_per_epoch=10.0)
  assert len(found) == (line is not None)
  assert not line or re.search(line, found[0])


@pytest.mark.parametrize(
  'content', [b'', b'{"seed": ', b'[1]', b'{"seed": "many"}', b'{"optim": 3}', b'{"a": "\xff"}']
)
def test_a_damaged_config_is_refused(tmp_path, content):
  (tmp_path / 'config.json').write_bytes(content)
  with pytest.raises(UserError, match='is not the settings of a run'):
    c.read(tmp_path / 'config.json')


def test_a_config_that_is_not_there_is_no_run(tmp_path):
  with pytest.raises(UserError, match='not found; expected the folder of a run'):
    c.read(tmp_path / 'nothing' / 'config.json')
