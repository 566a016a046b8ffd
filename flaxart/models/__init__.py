"""The networks: each is one file with a card of facts, and one line in `NETWORKS`."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from flax import nnx

from flaxart.models.card import Card
from flaxart.models.inception import InceptionV3
from flaxart.models.resnet import ResNet50
from flaxart.models.trunk import Trunk
from flaxart.models.vgg import VGG19
from flaxart.models.xception import Xception
from tfds_rijks.errors import UserError
from tfds_rijks.words import did_you_mean, nearest

NETWORKS: tuple[type[Trunk], ...] = (VGG19, InceptionV3, Xception, ResNet50)


def cards() -> dict[str, Card]:
  """`{name: card}` of all networks, in the order of tables and figures."""
  return {network.card.name: network.card for network in NETWORKS}


def card_of(name: str, *, field: str = 'config.model.name') -> Card:
  """The card of a network; raises `UserError` that names `field` if there is none."""
  if name not in cards():
    hint = did_you_mean(nearest(name, cards()))
    raise UserError(f'{field}: found {name!r}, {hint}expected one of {", ".join(cards())}')
  return cards()[name]


def create_trunk(
  name: str,
  *,
  rngs: nnx.Rngs,
  dtype: Any = jnp.float32,
  width: float = 1.0,
  shallow: bool = False,
  variant: str | None = None,
) -> Trunk:
  """A network without its classifier, with He-uniform kernels.

  `trunk(images, train=...)` maps preprocessed `[B, H, W, 3]` to pooled `[B, D]` float32.
  `trunk.features` is D, `trunk.preprocess` the preprocessing of its originals, and `trunk.card`
  other facts.

  Args:
    name: one of `cards()`.
    rngs: uses the stream `params`.
    dtype: of the computation; parameters and statistics are float32.
    width: multiplies every channel count; 1 is the published network.
    shallow: one block per stage, for tests and trials.
    variant: one of `card.variants` (see the network's docstring); None = the first.

  Raises:
    UserError: if the network or variant does not exist.
  """
  variants = card_of(name).variants
  variant = variants[0] if variant is None else variant
  if variant not in variants:
    raise UserError(f'variant: found {variant!r}, {name} has {", ".join(variants)}')
  model: Any = next(network for network in NETWORKS if network.card.name == name)
  trunk: Trunk = model(rngs=rngs, width=width, shallow=shallow, variant=variant)
  trunk.dtype = dtype
  return trunk
