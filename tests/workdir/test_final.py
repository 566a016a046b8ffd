"""A finished run keeps its best step, without what only training needs; nothing is lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from tiny_museum import tiny_config
from trainer import stored

import flaxart
from flaxart import verify
from flaxart.evaluate_run import evaluate_run
from flaxart.machine.locks import WorkdirLock
from flaxart.train import train_and_evaluate
from flaxart.workdir import checkpoint, checkpoint_folder, manifest
from flaxart.workdir.checkpoint import steps_on_disk
from tfds_rijks.errors import UserError


class KilledError(Exception):
  """`kill -9`."""


@pytest.fixture(scope='module')
def both(tmp_path_factory, collection):
  """Two equal runs, of which one keeps everything."""
  folder, found = tmp_path_factory.mktemp('runs'), {}
  patch = pytest.MonkeyPatch()  # the first evaluation is the best one
  patch.setattr('flaxart.training.validation.main_score', lambda scores, tasks: 1 / next(falling))
  for keep in (True, False):
    config = tiny_config(collection)
    config.train.epochs, config.optim.ema = 2.0, 0.9
    config.checkpoint.keep_optimizer = keep
    falling = iter(range(1, 100))
    found[keep] = folder / str(keep), config, train_and_evaluate(config, folder / str(keep))
  patch.undo()
  return found


def test_the_best_step_is_left_without_optimizer_state(both):
  (kept, _, all_of_it), (slim, _, summary) = both[True], both[False]
  assert summary['test'] == all_of_it['test']
  assert summary['train']['best_step'] < summary['train']['steps']
  best = summary['train']['best_step']
  assert list(steps_on_disk(slim)) == [best] and best in steps_on_disk(kept)
  assert steps_on_disk(slim)[best] == steps_on_disk(kept)[best]
  here, there = stored(slim, best), stored(kept, best)
  assert sorted(here) == ['batch_stats', 'params', 'step']
  assert sorted(there) == ['batch_stats', 'opt_state', 'params', 'raw', 'step', 'watch']
  for part in here:
    jax.tree.map(np.testing.assert_array_equal, here[part], there[part])
  size = lambda run: sum(f.stat().st_size for f in (run / 'checkpoints').rglob('*'))  # noqa: E731
  assert size(slim) < size(kept) / 3
  assert [path.name for path in (slim / 'checkpoints').iterdir()] == [str(best)]


def test_it_evaluates_verifies_and_loads_as_before(both):
  slim, _, summary = both[False]
  assert json.loads(json.dumps(evaluate_run(slim, split='test'))) == json.loads(
    json.dumps(summary['test'])
  )
  assert verify.verify(slim) == {summary['train']['best_step']: []}
  pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
  ours, theirs = (flaxart.load(run)(pictures) for run in (slim, both[True][0]))
  for task in ours:
    np.testing.assert_array_equal(ours[task], theirs[task])


def test_the_same_command_shows_its_results_and_trains_nothing(both, tmp_path, capsys, caplog):
  caplog.set_level('INFO', logger='flaxart')
  slim, config, summary = both[False]
  shutil.copytree(slim, tmp_path / 'run')
  before = {p: p.stat().st_mtime_ns for p in (tmp_path / 'run').rglob('*')}
  assert train_and_evaluate(config, tmp_path / 'run') == json.loads(json.dumps(summary))
  assert {p: p.stat().st_mtime_ns for p in (tmp_path / 'run').rglob('*')} == before
  assert 'is finished' in caplog.text and 'artist' in capsys.readouterr().out


def test_another_run_starts_from_its_trunk(both, slim, tmp_path):
  slim.init = str(both[False][0])
  assert train_and_evaluate(slim, tmp_path / 'run')['train']['steps'] > 0


@pytest.mark.parametrize('operation', range(4))
def test_a_kill_at_any_moment_of_it_leaves_checkpoints_that_verify(
  both, tmp_path, monkeypatch, operation
):
  """It renames and removes the best step's optimizer, then the other step."""
  kept, (slim, config, summary), run = both[True][0], both[False], tmp_path / 'run'
  shutil.copytree(kept, run)
  for path in (run, *(run / 'checkpoints').iterdir()):  # as if this run had had the other config
    shutil.copy(slim / 'config.json', path)
  for step in (run / 'checkpoints').iterdir():
    manifest.seal(step)
  best, operations = summary['train']['best_step'], iter(range(100))

  def rename(self, target, rename=Path.rename):
    if next(operations) == operation:
      raise KilledError
    return rename(self, target)

  def rmtree(folder, rmtree=shutil.rmtree):
    if next(operations) == operation:
      files = sorted(path for path in folder.rglob('*') if path.is_file())
      for path in files[::2]:
        path.unlink()
      raise KilledError
    rmtree(folder)

  with monkeypatch.context() as patch, pytest.raises(KilledError):
    patch.setattr(Path, 'rename', rename)
    patch.setattr('flaxart.workdir.checkpoint_folder.shutil.rmtree', rmtree)
    checkpoint_folder.shrink(run / 'checkpoints', best)
  assert not any(verify.verify(run).values()) and best in verify.verify(run)
  assert flaxart.load(run).about['step'] == best
  trained = []
  assert train_and_evaluate(config, run, on_step=trained.append)['test'] == json.loads(
    json.dumps(summary['test'])
  )
  assert [path.name for path in (run / 'checkpoints').iterdir()] == [str(best)] and not trained
  assert verify.verify(run) == {best: []} and checkpoint.finished_step(run) == best


def test_a_second_trainer_does_not_disturb_the_first_finishing(both, tmp_path):
  slim, config, _ = both[False]
  shutil.copytree(slim, tmp_path / 'run')
  unfinished = tmp_path / 'run' / 'checkpoints' / '16.deleted'
  unfinished.mkdir()
  with WorkdirLock(tmp_path / 'run'), pytest.raises(UserError, match='is being trained by'):
    train_and_evaluate(config, tmp_path / 'run')
  assert unfinished.exists()


def test_a_finished_run_without_results_is_not_trained_further(both, tmp_path):
  slim, config, _ = both[False]
  shutil.copytree(slim, tmp_path / 'run', ignore=shutil.ignore_patterns('results.json'))
  with pytest.raises(UserError, match='has no optimizer, which a finished run deletes; give'):
    train_and_evaluate(config, tmp_path / 'run')
