"""Heads without their trunk: a network over features, and splits of features on the device."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from flaxart.data.source import Split
from flaxart.machine.sharding import DATA, MODEL, replicated
from flaxart.models.preprocess import Preprocess
from flaxart.network.classifier import Classifier
from flaxart.network.state import Network, TrainState

Data = dict[str, jax.Array]


class Given(nnx.Module):
  """Stands where the trunk was: its input is the features."""

  def __call__(self, features: jax.Array, *, train: bool) -> jax.Array:
    """`[B, D]` as it is."""
    return features


@dataclasses.dataclass(frozen=True)
class AsGiven(Preprocess):
  """Stands before `Given`: features were preprocessed as pictures."""

  def apply(self, images: jax.Array, *, dtype: Any = jnp.float32) -> jax.Array:
    """`[B, D]` as it is."""
    return images


def over_features(network: Network, state: TrainState) -> tuple[Network, TrainState]:
  """The heads of a network as a network of their own; it takes features `[B, D]` for pictures."""

  def heads() -> Classifier:
    model = network.merge(state.trainable, state.frozen, state.batch_stats)
    model.trunk, model.preprocess = Given(), AsGiven(1)
    return model

  parts: tuple[Any, ...] = nnx.split(nnx.eval_shape(heads), nnx.Param, nnx.Nothing(), nnx.BatchStat)
  graphdef, heads_of, nothing, stats = parts
  wanted = {path for path, _ in nnx.to_flat_state(heads_of)}

  def part(*trees: nnx.State) -> nnx.State:
    leaves = [item for tree in trees for item in nnx.to_flat_state(tree)]
    return nnx.from_flat_state([(path, leaf) for path, leaf in leaves if path in wanted])

  # A run that is only evaluated has all its parameters in `frozen`.
  own = dataclasses.replace(
    state, trainable=part(state.trainable, state.frozen), frozen=nothing, batch_stats=stats
  )
  if state.average is not None:
    own = dataclasses.replace(own, average=(part(state.average[0]), stats))
  return dataclasses.replace(network, graphdef=graphdef, phases=(graphdef,)), own


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
  return NamedSharding(mesh, PartitionSpec(None, (DATA, MODEL)))


def end_of_pass(done: int, *, steps: int, periods: Sequence[int]) -> int:
  """The step at which a pass after `done` ends: the next multiple of a period (0: none), or the
  last of all.
  """
  return min(steps, *((done // period + 1) * period for period in periods if period))
