"""A trainer killed at random moments only loses the steps since its last save."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import time

import numpy as np
import pytest
from trainer import ROOT, arrays, command, flat, set_steps, untimed_lines, wait_for

from flaxart.train import train_and_evaluate
from flaxart.workdir import manifest
from flaxart.workdir.checkpoint import Checkpointer, state_tree

pytestmark = pytest.mark.kill


def digests(leaves):
  """`{path: (dtype, SHA-256)}`."""
  digest = lambda leaf: hashlib.sha256(np.asarray(leaf).tobytes()).hexdigest()  # noqa: E731
  return {path: (str(leaf.dtype), digest(leaf)) for path, leaf in leaves.items()}


def steps_of(run):
  return sorted(int(p.name) for p in (run / 'checkpoints').glob('*') if p.name.isdigit())


@pytest.mark.parametrize('kills', [3, pytest.param(100, marks=pytest.mark.slow)])
def test_kill_9_costs_the_steps_since_the_last_save(slim, tmp_path, monkeypatch, kills):
  steps = 20 + 10 * kills  # a kill comes about every eight steps; more only take longer
  set_steps(slim, steps)
  slim.optim.clip_norm = 1.0
  slim.train.eval_every_epochs = slim.train.epochs
  slim.checkpoint.every_steps = 1  # always in the middle of a save, or just before or after one
  states = {}

  def save(self, state, *, score=None, save=Checkpointer.save):
    tree = state_tree(state)
    states[int(state.step)] = digests(flat({**tree['state'], **tree['optimizer']}))
    save(self, state, score=score)

  with monkeypatch.context() as patch:
    patch.setattr(Checkpointer, 'save', save)
    train_and_evaluate(slim, tmp_path / 'straight')

  run, rng, last, unfinished = tmp_path / 'killed', random.Random(kills), 0, 0
  for _ in range(kills):
    trainer = subprocess.Popen(command(slim, run, tmp_path), cwd=ROOT, stderr=subprocess.DEVNULL)
    wait_for(lambda last=last: steps_of(run) and steps_of(run)[-1] > last)
    time.sleep(rng.uniform(0, 0.6))
    assert trainer.poll() is None, 'the run ended before it was killed'
    trainer.kill()
    assert trainer.wait() == -signal.SIGKILL
    unfinished += any(not path.name.isdigit() for path in (run / 'checkpoints').iterdir())
    for step in steps_of(run):
      folder = run / 'checkpoints' / str(step)
      assert digests(arrays(run, step)) == states[step]
      if step != steps_of(run)[-1] or (folder / manifest.FILE).exists():
        assert manifest.problems(folder) == []
    assert steps_of(run)[-1] > last
    last = steps_of(run)[-1]
  assert unfinished or kills < 20  # some kills came in the middle of a save

  train_and_evaluate(slim, run)
  end = steps_of(run)[-1]
  assert end == steps and digests(arrays(run, end)) == states[end]
  lines = [untimed_lines(tmp_path / n) for n in ('straight', 'killed')]
  assert lines[0] == lines[1]
