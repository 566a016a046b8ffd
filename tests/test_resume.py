"""A run stopped and continued, with other workers and another way of saving, is the same run."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from trainer import StopError, at_step, on_each_batch, set_steps, stored, untimed_lines

import flaxart
from flaxart.train import train_and_evaluate


@pytest.fixture
def drawn(monkeypatch):
  """The record numbers of every batch that a step is given."""
  ids = []

  def keep(batch):
    ids.append(batch['record'].tolist())
    return batch

  on_each_batch(monkeypatch, keep)
  return ids


@pytest.mark.parametrize(
  ('mode', 'workers'), [('heads', (0, 0)), ('fine-tuned', (1, 2)), ('scratch', (0, 0))]
)
def test_twenty_steps_equal_ten_and_ten_by_other_workers(
  tiny, tuned, tmp_path, monkeypatch, drawn, mode, workers
):
  tiny = tiny if mode == 'scratch' else tuned
  tiny.trainable = 'heads' if mode == 'heads' else 'all'
  tiny.augment.flip = True  # or heads would be trained on stored features
  tiny.augment.zoom, tiny.model.dropout = 0.2, 0.2
  set_steps(tiny, 20)  # of 8 an epoch
  tiny.checkpoint.every_steps = 5
  if any(workers):
    tiny.train.eval_every_epochs = tiny.train.epochs  # each evaluation has workers of its own
  train_and_evaluate(tiny, tmp_path / 'straight')
  straight = list(drawn)
  assert len({tuple(batch) for batch in straight}) == 20

  drawn.clear()
  tiny.data.workers, tiny.checkpoint.asynchronous = workers[0], False
  with pytest.raises(StopError):
    train_and_evaluate(tiny, tmp_path / 'moved', on_step=at_step(13))
  first = list(drawn)
  drawn.clear()
  tiny.data.workers, tiny.checkpoint.asynchronous = workers[1], True
  monkeypatch.delattr('flaxart.training.network_trainer.measured')  # it continues unmeasured
  train_and_evaluate(tiny, tmp_path / 'moved')
  assert len(first) == 13 and first[:10] + drawn == straight and len(drawn) == 10

  both = [stored(tmp_path / name, 20) for name in ('straight', 'moved')]
  assert both[0].keys() >= {'params', 'opt_state', 'watch', 'step'}
  jax.tree.map(np.testing.assert_array_equal, *both)
  lines = [untimed_lines(tmp_path / n) for n in ('straight', 'moved')]
  assert lines[0] == lines[1]


def test_a_save_that_is_not_asynchronous_is_on_disk_when_it_returns(tiny, tmp_path, monkeypatch):
  seen = []

  def save(self, state, *, score=None, save=flaxart.workdir.checkpoint.Checkpointer.save):
    save(self, state, score=score)
    seen.append((self.latest_step(), (self._folder / str(int(state.step)) / 'manifest.json')))
    assert seen[-1][0] == int(state.step) and seen[-1][1].exists()

  monkeypatch.setattr('flaxart.workdir.checkpoint.Checkpointer.save', save)
  tiny.checkpoint.asynchronous, tiny.checkpoint.every_steps = False, 3
  train_and_evaluate(tiny, tmp_path / 'run')
  assert len(seen) == 3
