"""A trunk with named heads: uint8 pictures in, logits per task out."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from ml_collections import ConfigDict

from flaxart.machine.target import target
from flaxart.models import create_trunk
from flaxart.models.preprocess import Preprocess
from flaxart.settings import Settings
from flaxart.tasks.task import Task
from tfds_rijks.errors import UserError


@dataclasses.dataclass(frozen=True)
class TrunkSpec:
  """What a trunk's weights decide: its variant and preprocessing (None: the network's own)."""

  variant: str = 'keras'
  preprocess: Preprocess | None = None

  def to_json(self) -> dict[str, Any]:
    """The form stored in a workdir."""
    preprocess = self.preprocess and json.loads(self.preprocess.to_json())
    return {'variant': self.variant, 'preprocess': preprocess}

  @classmethod
  def from_json(cls, entry: dict[str, Any]) -> TrunkSpec:
    """The inverse of `to_json`."""
    stored = entry['preprocess']
    return cls(entry['variant'], stored and Preprocess.from_json(json.dumps(stored)))


@dataclasses.dataclass(frozen=True)
class TrunkArrays:
  """The arrays of an existing trunk: nested dictionaries with the names below `trunk`."""

  params: dict[str, Any]
  batch_stats: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class InitialTrunk:
  """A trunk to start from: `spec` and `about` (source, SHA-256) always, arrays unless scratch."""

  spec: TrunkSpec = TrunkSpec()
  about: dict[str, Any] = dataclasses.field(
    default_factory=lambda: {'source': 'scratch', 'sha256': None}
  )
  arrays: TrunkArrays | None = None


class Classifier(nnx.Module):
  """Pooled trunk features, dropout, one linear layer per task (the paper's head, without a hidden
  layer)."""

  def __init__(
    self,
    trunk: Any,
    tasks: Sequence[Task],
    *,
    preprocess: Preprocess,
    dropout: float,
    rngs: nnx.Rngs,
    learned_weights: bool = False,
  ):
    self.trunk = trunk
    self.preprocess = preprocess
    self.dropout = dropout
    self.heads: Any = nnx.Dict()
    for task in tasks:
      self.heads[task.name] = nnx.Linear(
        trunk.features, task.outputs, rngs=rngs, kernel_init=nnx.initializers.glorot_uniform()
      )
    if learned_weights:  # one log variance per task: see `losses.total_loss`
      self.log_variances: Any = nnx.Dict({t.name: nnx.Param(jnp.zeros(())) for t in tasks})

  @classmethod
  def create(
    cls,
    config: ConfigDict,
    settings: Settings,
    tasks: Sequence[Task],
    spec: TrunkSpec,
    *,
    rngs: nnx.Rngs,
  ) -> Classifier:
    """The network that `config.model` and `spec` describe, with random weights."""
    trunk: Any = create_trunk(
      config.model.name,
      rngs=rngs,
      dtype=compute_dtype(config),
      width=config.model.width,
      shallow=config.model.shallow,
      variant=spec.variant,
    )
    return cls(
      trunk,
      tasks,
      preprocess=spec.preprocess or trunk.preprocess,
      dropout=config.model.dropout,
      rngs=rngs,
      learned_weights=settings.learned_weights,
    )

  def features(self, images: jax.Array, *, train: bool = False) -> jax.Array:
    """`[B, H, W, 3]` uint8 -> `[B, D]` float32, pooled."""
    return self.trunk(self.preprocess.apply(images), train=train)

  def __call__(
    self, images: jax.Array, *, train: bool = False, dropout_key: jax.Array | None = None
  ) -> dict[str, jax.Array]:
    """`[B, H, W, 3]` uint8 -> `{task: [B, outputs] float32 logits}`."""
    features = self.features(images, train=train)
    if train and self.dropout and dropout_key is not None:
      keep = jax.random.bernoulli(dropout_key, 1 - self.dropout, features.shape)
      features = jnp.where(keep, features / (1 - self.dropout), 0)
    return self.logits(features)

  def logits(self, features: jax.Array) -> dict[str, jax.Array]:
    """`[B, D]` float32 -> `{task: [B, outputs] float32}`: the heads alone."""
    return {name: head(features) for name, head in self.heads.items()}


def compute_dtype(config: ConfigDict) -> jnp.dtype:
  """`config.model.dtype` with `auto` resolved for the machine."""
  if config.model.dtype == 'auto':
    return jnp.float32 if target() == 'cpu' else jnp.bfloat16
  dtypes = {'float32': jnp.float32, 'bfloat16': jnp.bfloat16}
  if config.model.dtype not in dtypes:
    raise UserError(
      f'config.model.dtype: found {config.model.dtype!r}, expected auto or one of '
      f'{", ".join(dtypes)}'
    )
  return dtypes[config.model.dtype]
