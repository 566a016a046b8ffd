"""A network whose trunk passes its input through: heads over features."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from flaxart.models.preprocess import Preprocess
from flaxart.network.classifier import Classifier
from flaxart.network.state import Network, TrainState


class NoTrunk(nnx.Module):
  """Replaces the trunk: its input is the features already."""

  def __call__(self, features: jax.Array, *, train: bool) -> jax.Array:
    """Returns the features, `[B, D]`, unchanged."""
    return features


@dataclasses.dataclass(frozen=True)
class NoPreprocess(Preprocess):
  """The preprocessing of `NoTrunk`: features were preprocessed as pictures."""

  def apply(self, images: jax.Array | np.ndarray, *, dtype: Any = jnp.float32) -> jax.Array:
    """Returns the features, `[B, D]`, unchanged."""
    return jnp.asarray(images)


def over_features(network: Network, state: TrainState) -> tuple[Network, TrainState]:
  """The heads of a network as a separate network, which takes features `[B, D]` for pictures."""

  def heads() -> Classifier:
    model = network.merge(state.trainable, state.frozen, state.batch_stats)
    model.trunk, model.preprocess = NoTrunk(), NoPreprocess(1)
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
