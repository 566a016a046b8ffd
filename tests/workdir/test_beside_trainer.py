"""Readers beside a trainer: files that appear and disappear meanwhile are not damage."""

from __future__ import annotations

import dataclasses
import multiprocessing
import random
import shutil
import threading
from pathlib import Path

import jax.numpy as jnp
import pytest

import flaxart
from flaxart.machine import locks
from flaxart.machine.sharding import create_mesh
from flaxart.verify import verify
from flaxart.workdir import beside_trainer, checkpoint, manifest, run_folder
from flaxart.workdir.restore import restore_network
from tfds_rijks.errors import UserError

GOLDEN = Path(__file__).parents[1] / 'golden' / 'format2'
SAVES, LOOKS = 20, 3  # at least


@pytest.fixture
def run(tmp_path):
  return shutil.copytree(GOLDEN, tmp_path / 'run')


def train(run, stop, saved):
  """Saves until `stop` is set and counts in `saved`; the process of a trainer."""
  config, tasks = run_folder.read_run(run)
  step = checkpoint.best_on_disk(run)
  _, state = restore_network(run, step, config, tasks, mesh=create_mesh())
  rng = random.Random(0)
  with locks.WorkdirLock(run), checkpoint.Checkpointer(run, asynchronous=False) as saver:
    while not stop.is_set():
      step += 1
      saver.save(dataclasses.replace(state, step=jnp.int32(step)), score=rng.random())
      saved.value += 1


def test_a_trainer_that_saves_all_the_time_raises_no_alarm(run):
  new = multiprocessing.get_context('spawn')  # Orbax fails if a process saves and reads at once
  stop, saved = new.Event(), new.Value('i', 0)
  trainer = new.Process(target=train, args=(run, stop, saved))
  trainer.start()
  looked, loaded = 0, set()
  try:
    while saved.value < SAVES or looked < LOOKS or len(loaded) < 2:
      assert trainer.is_alive()
      assert not any(verify(run).values())
      loaded.add(flaxart.load_trunk(run).about['source'])
      looked += 1
  finally:
    stop.set()
    trainer.join()
  assert trainer.exitcode == 0


def test_readers_wait_for_a_save_while_its_trainer_is_active(run, monkeypatch):
  (step,) = checkpoint.steps_on_disk(run)
  sealed = run / 'checkpoints' / str(step) / manifest.FILE
  sealed.rename(run / 'elsewhere')
  monkeypatch.setattr(beside_trainer, 'WAITS', (0.01,))
  at_work = pytest.raises(UserError, match=r'a trainer, process \d+ on .*, is active on this run')
  with locks.WorkdirLock(run), at_work:
    flaxart.load_trunk(run)
  with pytest.raises(UserError, match='interrupted before it was complete'):
    flaxart.load_trunk(run)
  monkeypatch.setattr(beside_trainer, 'WAITS', (0.01, 2.0))
  threading.Timer(1.0, lambda: (run / 'elsewhere').rename(sealed)).start()
  with locks.WorkdirLock(run):
    flaxart.load_trunk(run)
