"""What all networks have in common: pictures in, pooled features out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from flaxart.models.ops.pooling import global_average
from flaxart.models.preprocess import Preprocess
from tfds_rijks.errors import UserError


class Trunk(nnx.Module):
  """A network without its classifier; a subclass says what it computes in `activations`."""

  name: ClassVar[str]
  variants: ClassVar[tuple[str, ...]]  # whose details it can follow
  min_size: ClassVar[int]  # smallest height and width that its originals take, pixels
  dtype: Any = jnp.float32  # of the computation; parameters and statistics are float32
  variant: str
  features: int  # D, the width of the pooled output
  preprocess: Preprocess  # what the originals of this variant put before it

  def activations(self, images: jax.Array, *, train: bool) -> Iterator[tuple[str, jax.Array]]:
    """The named feature maps on the way, `[B, h, w, C]` each, the last one last.

    In the dtype of `images`.
    """
    raise NotImplementedError

  def feature_map(self, images: jax.Array, *, train: bool) -> jax.Array:
    """Preprocessed `[B, H, W, 3]` -> the last feature map, `[B, h, w, D]`."""
    height, width = images.shape[1:3]
    if min(height, width) < self.min_size:
      raise UserError(
        f'{self.name}: found pictures of {height}x{width} pixels, expected at least '
        f'{self.min_size}x{self.min_size}; use a larger image size or another model'
      )
    *_, (_, last) = self.activations(images.astype(self.dtype), train=train)
    return last

  def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
    """Preprocessed `[B, H, W, 3]` -> pooled features `[B, D]`, float32.

    `train=True` lets BatchNorm layers that are not frozen use and move batch statistics.
    """
    return global_average(self.feature_map(images, train=train))
