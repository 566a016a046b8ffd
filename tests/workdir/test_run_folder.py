"""A workdir is begun once; allowed changes of a continued run are written, others refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from flaxart.config import read
from flaxart.data.source import open_dataset
from flaxart.models.preprocess import Preprocess
from flaxart.network.classifier import TrunkSpec
from flaxart.tasks.kinds import tasks_from_features
from flaxart.train import train_and_evaluate
from flaxart.workdir import run_folder
from tfds_rijks.errors import UserError

SPEC, ABOUT = TrunkSpec('keras', Preprocess(32)), {'source': 'run a, step 8', 'sha256': 'aa'}


@pytest.fixture
def begin(tiny, collection, tmp_path):
  """Begins or continues `tmp_path / 'run'`."""
  dataset = open_dataset('collection', data_dir=collection, tasks=['artist', 'type'])
  tasks = tasks_from_features(dataset.features, {'artist': 1.0, 'type': 1.0})

  def begin(config=tiny, spec=SPEC, about=ABOUT):
    run_folder.check(tmp_path / 'run', config)
    run_folder.begin(tmp_path / 'run', config, tasks, dataset, spec=spec, about=about)
    return tmp_path / 'run'

  return begin


def test_a_trunk_replaced_before_the_first_checkpoint_is_recorded(begin, caplog):
  run = begin()
  begin()
  assert not caplog.text and run_folder.read_trunk_json(run)['about'] == ABOUT
  for spec, about in (
    (TrunkSpec('keras', Preprocess(32, channel_order='bgr')), ABOUT),
    (TrunkSpec('torchvision', Preprocess(32)), ABOUT),
    (SPEC, {'source': 'run a, step 16', 'sha256': 'bb'}),
  ):
    caplog.clear()
    begin(spec=spec, about=about)
    stored = run_folder.read_trunk_json(run)
    assert TrunkSpec.from_json(stored['spec']) == spec and stored['about'] == about
    assert 'has changed since this run was begun' in caplog.text
  caplog.clear()
  moved = {'source': 'run b, step 16', 'sha256': 'bb'}  # the same weights under another name
  begin(about=moved)
  assert not caplog.text and run_folder.read_trunk_json(run)['about'] == moved
  (run / 'trunk.json').write_text('{"spec": ')
  begin()
  assert run_folder.read_trunk_json(run)['about'] == ABOUT


def test_a_run_continues_with_its_latest_settings(begin, tiny):
  tiny.data.data_dir = '/here'
  run = begin(tiny)
  tiny.data.data_dir, tiny.data.workers = '/there', 2
  begin(tiny)
  assert read(run / 'config.json').to_dict() == tiny.to_dict()


@pytest.mark.parametrize('name', ['a[1]', 'a*', 'a?/b', 'a\\b'])
def test_a_folder_that_orbax_takes_for_a_pattern_is_refused(tiny, tmp_path, name):
  with pytest.raises(UserError, match=r'has one of .* in its name, which Orbax'):
    train_and_evaluate(tiny, tmp_path / name)
  assert not list(tmp_path.iterdir())


def test_the_command_to_continue_can_be_pasted():
  run = Path('my runs/a')
  assert run_folder.continue_command(run) == "python -m flaxart.main --workdir='my runs/a'"
  assert run_folder.continue_command(run, remap_classes=True).endswith("/a' --remap_classes")


def test_the_command_is_complete(tiny, tmp_path, caplog):
  train_and_evaluate(tiny, tmp_path / 'run')
  caplog.clear()
  with caplog.at_level('INFO', 'flaxart'):
    train_and_evaluate(tiny, tmp_path / 'run', remap_classes=True)
  assert f'--workdir={tmp_path / "run"} --remap_classes' in caplog.text
