"""The record of every training example: a pure function of (seed, n). Does not import JAX."""

from __future__ import annotations

import functools

import numpy as np


def example_order(
  records: int, *, first: int, count: int, seed: int, shuffle: bool = True
) -> np.ndarray:
  """The record `[count]` int64 of each example of a run from its `first`-th on.

  Every epoch is a permutation that depends on (seed, epoch) alone, not on batch size, workers,
  processes or restarts.
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
