"""The measurement before a run does the same as the run."""

from __future__ import annotations

import jax

from flaxart.data import loader
from flaxart.machine.sharding import CompiledStep
from flaxart.train import train_and_evaluate


def test_the_timed_steps_are_fed_like_those_of_the_run(tiny, tmp_path, monkeypatch):
  tiny.data.workers, tiny.data.shuffle = 1, False
  asked, taken = [], []

  def prefetched(batches, workers, batch, prefetched=loader._prefetched):
    asked.append((workers, batch))
    return prefetched(batches, workers, batch)

  def step(self, state, batch, step=CompiledStep.__call__):
    taken.append(batch['record'].tolist())
    return step(self, state, batch)

  monkeypatch.setattr(loader, '_prefetched', prefetched)
  monkeypatch.setattr(CompiledStep, '__call__', step)
  # As if another process had the other half of each batch.
  monkeypatch.setattr(jax, 'process_index', lambda: 1)
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  train_and_evaluate(tiny, tmp_path / 'run', dry_run=True)
  assert asked == [(1, 8)]
  assert taken == [list(range(16 * i + 1, 16 * (i + 1), 2)) for i in range(4)]
