"""Splits with features instead of pictures, and their batches on the devices."""

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
  """The splits in `features` `[N, D]`, which become the records."""
  splits = {
    name: dataclasses.replace(dataset.split(name), decoded=rows) for name, rows in features.items()
  }
  return dataclasses.replace(dataset, splits=splits)


def train_data(split: Split, *, mesh: Mesh) -> Data:
  """Features `[N, D]` and labels with their weights of a split, whole on every device."""
  return jax.device_put({'image': split.decoded, **split.columns}, replicated(mesh))


def over_steps(mesh: Mesh) -> NamedSharding:
  """`[S, B, ...]`: each batch is split into equal parts, one per device."""
  return NamedSharding(mesh, PartitionSpec(None, DATA))
