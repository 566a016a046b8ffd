"""Settings: shipped files, checks, and changes when a run is continued."""

from __future__ import annotations

import importlib.util
import math
import re
from pathlib import Path

import pytest

from flaxart import config as c
from flaxart.config_checks import RULES, out_of_reach, validate
from flaxart.models import cards
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
    with pytest.raises(UserError, match=r"found 'mode=best' after the file, expected mode=M"):
      module.get_config('mode=best')


def test_a_stored_config_is_read_back_equal(tmp_path):
  config = c.default_config()
  config.optim.learning_rate = 0.25
  (tmp_path / 'config.json').write_text(c.to_json(config))
  assert c.differences(c.read(tmp_path / 'config.json'), config) == {}


def test_differences_are_named_except_the_place_of_the_data():
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
def test_settings_that_change_the_arithmetic_of_some_runs_may_change_in_others(
  setting, value, counts
):
  old = c.default_config()
  old.update_from_flattened_dict({setting: value})
  new = old.copy_and_resolve_references()
  new.parallelism, new.log.every_steps = 'shard_map', 7
  assert list(c.differences(old, new)) == counts


CHOICES = {
  'parallelism': 'jit, shard_map',
  'model.name': ', '.join(cards()),
  'model.bn': 'auto, batch, frozen, keras2_frozen',
  'model.dtype': 'auto, float32, bfloat16',
  'data.fit': 'squash, crop, pad',
  'data.resize': 'pillow, simd',
  'data.pixels': 'network, zero_one',
  'data.cache': 'none, host, device, auto',
  'train.on_nonfinite': 'abort, skip',
  'optim.name': 'sgd, adam, adamw, rmsprop',
  'optim.schedule': 'constant, cosine, plateau',
  'checkpoint.best': 'score, loss, last',
}
RANGES = {  # messages: the values next to the range, and the fields
  'above 0': (
    [0, -1],
    'model.width train.epochs train.batch_size train.eval_every_epochs '
    'train.accumulate loss.class_weight_cap optim.learning_rate optim.plateau_patience '
    'eval.batch_size log.every_steps',
  ),
  'of at least 0': (
    [-1],
    'data.image_size data.workers data.synthetic_objects augment.randaugment augment.mixup '
    'train.max_skipped train.early_stop_patience loss.logit_adjustment optim.weight_decay '
    'optim.warmup_epochs optim.clip_norm checkpoint.every_steps',
  ),
  'of at least 0 and below 1': (
    [-0.001, 1],
    'model.bn_momentum model.dropout augment.zoom loss.label_smoothing optim.momentum '
    'optim.plateau_factor optim.ema',
  ),
  'from 0 to 10': ([-0.001, 10.001], 'augment.magnitude'),
  'of at least 0 and below 2**63 - 1': ([-1, 2**63 - 1], 'seed'),
}
DEFAULTS = c.flat(c.default_config())
WRONG = {'init': ([''], 'scratch, imagenet, a weights file or the workdir of a run')}
WRONG |= {field: (['', 'other'], f'one of {choices}') for field, choices in CHOICES.items()}
for said, (values, fields) in RANGES.items():
  for field in fields.split():
    more = [math.nan, math.inf] if isinstance(DEFAULTS[field], float) else []
    WRONG[field] = (values + more, f'a finite number {said}')
# Without a rule: booleans, paths, names, and settings with a syntax (test_settings.py).
FREE = {'tasks', 'trainable', 'loss.task_weights', 'loss.class_weights', 'train.unfreeze'}
FREE |= {'optim.multipliers', 'probe.settings', 'log.profile', 'data.dataset', *c.FOLDERS}


def test_every_setting_has_a_rule_and_each_rule_a_wrong_value():
  booleans = {field for field, value in DEFAULTS.items() if isinstance(value, bool)}
  assert set(RULES) == set(WRONG) == set(DEFAULTS) - booleans - FREE


def refused(fields):
  config = c.default_config()
  config.update_from_flattened_dict(fields)
  with pytest.raises(UserError) as error:
    validate(config)
  assert '\n' not in str(error.value)
  return str(error.value)


@pytest.mark.parametrize('field', WRONG)
def test_a_wrong_value_is_one_line_that_names_the_field(field):
  values, expected = WRONG[field]
  for value in values:
    found = repr(type(DEFAULTS[field])(value))
    assert refused({field: value}) == f'config.{field}: found {found}, expected {expected}'


@pytest.mark.parametrize(
  ('fields', 'line'),
  [
    (
      {'train.accumulate': 5},
      'config.train.accumulate: found 5, expected a divisor of config.train.batch_size=32',
    ),
    (
      {'data.workers': 2, 'data.cache': 'host'},
      'config.data.workers: found 2, expected 0 with config.data.cache=host, which leaves nothing',
    ),
    ({'trainable': '(?!a)'}, "config.trainable: found '(?!a)' (RE2 has no look-ahead)"),
  ],
)
def test_settings_that_do_not_go_together_are_refused(fields, line):
  assert refused(fields).startswith(line)


def test_the_ends_of_each_range_are_allowed():
  config = c.default_config()
  ends = {'augment.magnitude': 10.0, 'augment.zoom': 0.0, 'seed': 2**63 - 2, 'data.workers': 0}
  config.update_from_flattened_dict(ends | {'model.dropout': 0.999, 'train.epochs': 1e-6})
  validate(config)


@pytest.mark.parametrize(
  ('field', 'value', 'line'),
  [
    ('train.unfreeze', '0:heads/.*;2:.*', r"unfreeze: '\.\*' learns from epoch 2 on, but the run"),
    ('train.unfreeze', '0:heads/.*;1.5:.*', None),
    ('optim.warmup_epochs', 2.0, r'warmup_epochs: the learning rate rises for 2 epochs, but the'),
    ('optim.warmup_epochs', 1.5, None),
    ('log.profile', '21:22', r'log.profile: step 21 is to be traced, but .* after 20 steps'),
    ('log.profile', '20', None),
  ],
)
def test_settings_that_a_run_never_reaches_are_logged(field, value, line):
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
  with pytest.raises(UserError, match='does not hold the settings of a run'):
    c.read(tmp_path / 'config.json')


def test_a_missing_config_is_not_a_run(tmp_path):
  with pytest.raises(UserError, match=r'not found; expected .* to be the folder of a run'):
    c.read(tmp_path / 'nothing' / 'config.json')
