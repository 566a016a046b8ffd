"""The base class of all networks: pictures in, pooled features out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from flaxart.models.card import Card
from flaxart.models.ops.pooling import global_average
from flaxart.models.preprocess import Preprocess
from tfds_rijks.errors import UserError


class Trunk(nnx.Module):
  """A network without its classifier.

  A subclass has a `card`, takes `rngs`, `width`, `shallow` and `variant` (see `create_trunk`), and
  computes its feature maps in `activations`; if its card names sources of weights, it also maps
  their layers to its own.
  """

  card: ClassVar[Card]
  dtype: Any = jnp.float32  # of the computation; parameters and statistics are float32
  variant: str
  features: int  # D, the width of the pooled output

  @property
  def preprocess(self) -> Preprocess:
    """The preprocessing of this variant's originals."""
    return self.card.preprocess[self.variant]

  def activations(self, images: jax.Array, *, train: bool) -> Iterator[tuple[str, jax.Array]]:
    """The named feature maps, `[B, h, w, C]` each, in order.

    In the dtype of `images`.
    """
    raise NotImplementedError

  def layers(self) -> list[str]:
    """Paths of all convolutions, separable ones as one, in the order of Keras's `model.layers`.

    Keras sorts by depth (distance from the output) and, at equal depth, by time of creation. It
    numbers unnamed layers with a global counter that depends on what was built before, so only
    their order identifies them: convolutions, separable ones and BatchNorms, each kind separately.
    """
    raise NotImplementedError

  def torch_layer(self, path: str) -> tuple[str, str]:
    """Names of a convolution and its BatchNorm ('' if none) in torchvision and timm."""
    raise NotImplementedError

  def feature_map(self, images: jax.Array, *, train: bool) -> jax.Array:
    """Preprocessed `[B, H, W, 3]` -> the last feature map, `[B, h, w, D]`."""
    (height, width), least = images.shape[1:3], self.card.min_size
    if min(height, width) < least:
      raise UserError(
        f'{self.card.name}: found pictures of {height}x{width} pixels, expected at least '
        f'{least}x{least}; use a larger image size or another model'
      )
    *_, (_, last) = self.activations(images.astype(self.dtype), train=train)
    return last

  def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
    """Preprocessed `[B, H, W, 3]` -> pooled features `[B, D]`, float32.

    `train=True` lets BatchNorm layers that are not frozen use and move batch statistics.
    """
    return global_average(self.feature_map(images, train=train))
