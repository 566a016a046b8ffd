"""Splits of features: in place of the pictures of a dataset, and on the devices."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from flaxart.data.source import Dataset, Split
from flaxart.machine.sharding import DATA, replicated

Data = dict[str, jax.Array]


def with_features(dataset: Dataset, features: Mapping[str, np.ndarray]) -> Dataset:
  """The splits of which there are `features` `[N, D]`, whose records are these."""
  splits = {
    name: dataclasses.replace(dataset.split(name), decoded=rows) for name, rows in features.items()
  }
  return dataclasses.replace(dataset, splits=splits)


def train_data(split: Split, *, mesh: Mesh) -> Data:
  """Features `[N, D]` and labels of a split, whole on every device."""
  return jax.device_put({'image': split.decoded, **split.labels}, replicated(mesh))


def eval_data(split: Split, *, batch_size: int, mesh: Mesh) -> Data:
  """The batches of `evaluate`, all at once: `[n, b, ...]`, with the same padding and `mask`."""
  batches = -(-len(split) // batch_size)

  def cut(column: np.ndarray) -> np.ndarray:
    missing = batches * batch_size - len(column)
    padded = np.concatenate([column, np.repeat(column[:1], missing, axis=0)])
    return padded.reshape(batches, batch_size, *column.shape[1:])

  assert split.decoded is not None
  mask = np.arange(batches * batch_size).reshape(batches, batch_size) < len(split)
  data = {'image': cut(split.decoded), 'mask': mask} | {k: cut(v) for k, v in split.labels.items()}
  return jax.device_put(data, over_steps(mesh))


def over_steps(mesh: Mesh) -> NamedSharding:
  """`[S, B, ...]`: each batch is cut into equal parts, one a device."""
  return NamedSharding(mesh, PartitionSpec(None, DATA))
