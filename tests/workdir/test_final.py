"""A finished run keeps its best step, without what only training needs; nothing gets lost."""

from __future__ import annotations

import json
import shutil

import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp
from tiny_museum import tiny_config

import flaxart
from flaxart import verify
from flaxart.evaluate_run import evaluate_again
from flaxart.machine.locks import WorkdirLock
from flaxart.train import train_and_evaluate
from flaxart.workdir import checkpoint
from flaxart.workdir.checkpoint import steps_on_disk
from flaxart.workdir.checkpoint_folder import FINAL, REPLACED, settle
from tfds_rijks.errors import UserError


@pytest.fixture(scope='module')
def both(tmp_path_factory, collection):
  """Two equal runs, of which one keeps everything."""
  folder, found = tmp_path_factory.mktemp('runs'), {}
  patch = pytest.MonkeyPatch()  # the first evaluation is the best one
  patch.setattr('flaxart.training.loop.main_score', lambda scores, tasks: 1 / next(falling))
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
  here, there = (ocp.load((run / 'checkpoints' / str(best)).resolve()) for run in (slim, kept))
  assert sorted(here) == ['batch_stats', 'params', 'step'] and 'opt_state' in there
  for part in here:
    jax.tree.map(np.testing.assert_array_equal, here[part], there[part])
  size = lambda run: sum(f.stat().st_size for f in (run / 'checkpoints').rglob('*'))  # noqa: E731
  assert size(slim) < size(kept) / 3
  assert not list(slim.glob('*.tmp'))


def test_it_evaluates_verifies_and_loads_as_before(both):
  slim, _, summary = both[False]
  assert json.loads(json.dumps(evaluate_again(slim, split='test'))) == json.loads(
    json.dumps(summary['test'])
  )
  assert verify.verify(slim) == {summary['train']['best_step']: []}
  pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
  ours, theirs = (flaxart.load(run)(pictures) for run in (slim, both[True][0]))
  for task in ours:
    np.testing.assert_array_equal(ours[task], theirs[task])


def test_the_same_command_shows_what_it_gave_and_trains_nothing(both, tmp_path, capsys, caplog):
  caplog.set_level('INFO', logger='flaxart')
  slim, config, summary = both[False]
  shutil.copytree(slim, tmp_path / 'run')
  before = {p: p.stat().st_mtime_ns for p in (tmp_path / 'run').rglob('*')}
  assert train_and_evaluate(config, tmp_path / 'run') == json.loads(json.dumps(summary))
  assert {p: p.stat().st_mtime_ns for p in (tmp_path / 'run').rglob('*')} == before
  assert 'is finished' in caplog.text and 'artist' in capsys.readouterr().out


def test_another_run_starts_from_its_trunk(both, tiny, tmp_path):
  tiny.init = str(both[False][0])
  assert train_and_evaluate(tiny, tmp_path / 'run')['train']['steps'] > 0


@pytest.mark.parametrize('moment', ['while it is saved', 'before the swap', 'in the swap', 'after'])
def test_wherever_it_is_cut_off_the_run_ends_as_if_it_had_not_been(both, tmp_path, moment):
  kept, slim, run = both[True][0], both[False][0], tmp_path / 'run'
  shutil.copytree(kept, run, ignore=shutil.ignore_patterns('config.json'))
  shutil.copy(slim / 'config.json', run)
  for step in (run / 'checkpoints').iterdir():  # their copies are of the other config
    if step.is_dir():
      shutil.copy(slim / 'config.json', step)
      (step / 'manifest.json').unlink()
      checkpoint.manifest.seal(step)
  best = str(both[False][2]['train']['best_step'])
  if moment == 'while it is saved':
    (run / FINAL / f'{best}.orbax-checkpoint-tmp').mkdir(parents=True)
  else:
    shutil.copytree(slim / 'checkpoints', run / FINAL)
  if moment in ('in the swap', 'after'):
    (run / 'checkpoints').rename(run / REPLACED)
  if moment == 'after':
    (run / FINAL).rename(run / 'checkpoints')
  settle(run)
  assert not list(run.glob('*.tmp'))
  if moment == 'while it is saved':
    assert steps_on_disk(run) == steps_on_disk(kept)
  summary = train_and_evaluate(both[False][1], run)
  assert summary['test'] == both[False][2]['test']
  assert list(steps_on_disk(run)) == [int(best)] and checkpoint.is_final(run)


def test_a_second_trainer_leaves_alone_what_the_first_is_finishing(both, tmp_path):
  slim, config, _ = both[False]
  shutil.copytree(slim, tmp_path / 'run')
  unfinished = tmp_path / 'run' / FINAL / 'state.orbax-checkpoint-tmp'
  unfinished.mkdir(parents=True)
  with WorkdirLock(tmp_path / 'run'), pytest.raises(UserError, match='is being trained by'):
    train_and_evaluate(config, tmp_path / 'run')
  assert unfinished.exists()
