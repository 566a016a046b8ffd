"""Heads without their trunk: a network over features, and splits of features on the device."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from flaxart.data.source import Split
from flaxart.machine.sharding import DATA, replicated

Data = dict[str, jax.Array]


def train_data(split: Split, features: np.ndarray, *, mesh: Mesh) -> Data:
  """Features `[N, D]` and labels of a split, whole on every device."""
  return jax.device_put({'image': features, **split.labels}, replicated(mesh))


def eval_data(split: Split, features: np.ndarray, *, batch_size: int, mesh: Mesh) -> Data:
  """The batches of `evaluate`, all at once: `[n, b, ...]`, with the same padding and `mask`."""
  batches = -(-len(split) // batch_size)

  def cut(column: np.ndarray) -> np.ndarray:
    missing = batches * batch_size - len(column)
    padded = np.concatenate([column, np.repeat(column[:1], missing, axis=0)])
    return padded.reshape(batches, batch_size, *column.shape[1:])

  mask = np.arange(batches * batch_size).reshape(batches, batch_size) < len(split)
  data = {'image': cut(features), 'mask': mask} | {k: cut(v) for k, v in split.labels.items()}
  return jax.device_put(data, over_steps(mesh))


def over_steps(mesh: Mesh) -> NamedSharding:
  """`[S, B, ...]`: each batch is cut into equal parts, one a device."""
  return NamedSharding(mesh, PartitionSpec(None, DATA))


def end_of_pass(done: int, *, steps: int, periods: Sequence[int]) -> int:
  """The step at which a pass after `done` ends: the next multiple of a period (0: none), or the
  last of all.
  """
  return min(steps, *((done // period + 1) * period for period in periods if period))
