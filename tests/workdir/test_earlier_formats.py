"""Runs that an earlier flaxart began: their settings are read, they are evaluated and continued.

`golden/begun1` was stopped after step 10 of 12 and holds steps 4 (the best) and 8, in format 1,
under a running average of the weights.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import flaxart
from flaxart import config as settings
from flaxart.config_format import Moved, Removed, up_to_date
from flaxart.evaluate_run import evaluate_again
from flaxart.train import train_and_evaluate
from tfds_rijks.errors import UserError

GOLDEN = Path(__file__).parents[1] / 'golden'


@pytest.fixture
def begun(tmp_path, collection):
  """A run of format 1 in progress, and a function that changes what its config says."""
  run = tmp_path / 'run'
  shutil.copytree(GOLDEN / 'begun1', run)

  def tell(**fields):
    stored = json.loads((run / 'config.json').read_text())
    stored['data']['data_dir'] = str(collection)
    for name, value in fields.items():
      section, _, field = name.rpartition('__')
      (stored[section] if section else stored)[field] = value
    (run / 'config.json').write_text(json.dumps(stored))
    return run

  return tell


def test_fields_move_are_dropped_or_are_missed(monkeypatch):
  monkeypatch.setattr(
    'flaxart.config_format.OLD_FIELDS',
    {
      'a.x': Moved('b.c.y'),
      'a.z': Moved('a.z', without=('gone',)),
      'p': Removed(default=1),
      'q.r': Removed(default=''),
    },
  )
  stored = {'a': {'x': 1, 'z': 'kept'}, 'b': {'w': 2}, 'p': 1, 'q': {'r': ''}}
  assert up_to_date(stored) == ({'a': {'z': 'kept'}, 'b': {'w': 2, 'c': {'y': 1}}}, {})
  stored = {'a': {'z': 'gone'}, 'p': 4, 'q': {'r': 'set', 's': 3}}
  assert up_to_date(stored) == ({'q': {'s': 3}}, {'a.z': 'gone', 'p': 4, 'q.r': 'set'})


@pytest.mark.parametrize('name', ['format1', 'begun1'])
def test_an_earlier_config_has_the_fields_of_today(name):
  config = settings.read(GOLDEN / name / 'config.json')
  assert settings.flat(config).keys() == settings.flat(settings.default_config()).keys()
  assert settings.lost(GOLDEN / name / 'config.json') == {}
  assert config.train.batch_size == 16 and config.model.width == 0.03125


@pytest.mark.parametrize(
  ('fields', 'said'),
  [
    ({'head_devices': 4}, r'config\.head_devices=4'),
    ({'train__on_nonfinite': 'rollback'}, r"config\.train\.on_nonfinite='rollback'"),
  ],
)
def test_a_run_with_a_setting_that_is_gone_is_evaluated_and_not_continued(begun, fields, said):
  run = begun(**fields)
  before = {path: path.read_bytes() for path in run.rglob('*') if path.is_file()}
  config = settings.read(run / 'config.json')
  with pytest.raises(UserError, match=rf'begun with {said}, .* finish this run with flaxart 0\.1'):
    train_and_evaluate(config, run)
  assert {path: path.read_bytes() for path in run.rglob('*') if path.is_file()} == before
  assert flaxart.load(run).about['step'] == 4
  assert evaluate_again(run, split='test', config=config)['artist']['n'] > 0


def test_a_run_with_a_pattern_of_earlier_times_is_loaded_and_not_continued(begun):
  run = begun(trainable='(?!trunk).*', train__unfreeze=r'0:(h)\1')
  assert flaxart.load(run).about['step'] == 4
  with pytest.raises(UserError, match=r'config\.trainable: .*RE2 has no look-ahead'):
    train_and_evaluate(settings.read(run / 'config.json'), run)
