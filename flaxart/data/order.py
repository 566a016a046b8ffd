"""Which record every training example is: a pure function of (seed, n). No JAX of its own."""

from __future__ import annotations

import functools

import numpy as np


def example_order(
  records: int, *, first: int, count: int, seed: int, shuffle: bool = True
) -> np.ndarray:
  """The record `[count]` int64 of each example of a run from its `first`-th on.

  Every epoch is a permutation of its own, which depends on (seed, epoch) alone: not on the size of
  batches, on workers, processes or restarts.
  """
  if not shuffle:
    return np.arange(first, first + count) % records
  epochs = range(first // records, -(-(first + count) // records))
  order = [_epoch(records, seed, epoch) for epoch in epochs]
  return np.concatenate(order)[first % records :][:count]


# Threads that load neighbouring batches share an epoch, or are at the border of two.
@functools.lru_cache(maxsize=4)
def _epoch(records: int, seed: int, epoch: int) -> np.ndarray:
  return np.random.default_rng((seed, epoch)).permutation(records)
