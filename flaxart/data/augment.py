"""Augmentation inside the jitted step: uint8 in and out, keyed by the example, not the device."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict


def augment(images: jax.Array, draws: jax.Array, config: ConfigDict, *, seed: int) -> jax.Array:
  """`[B, H, W, 3]` uint8 -> the same shape, flipped and zoomed as `config.augment` says.

  `draws` `[B]` numbers the examples of the run: the same example gets the same random choices for
  any number of devices, processes or restarts.
  """
  if not (config.augment.flip or config.augment.zoom):
    return images
  keys = example_keys(draws, seed=seed)
  flip = config.augment.flip & jax.vmap(jax.random.bernoulli)(keys)
  if not config.augment.zoom:
    return jnp.where(flip[:, None, None, None], images[:, :, ::-1], images)
  # A crop of side s at (y, x), flipped or not, is one linear map: two small matrix products.
  share, y, x = jnp.moveaxis(
    jax.vmap(lambda key: jax.random.uniform(key, (3,)))(
      jax.vmap(jax.random.fold_in, (0, None))(keys, 1)
    ),
    1,
    0,
  )
  share = 1 - config.augment.zoom * share
  rows = resampling(images.shape[1], share, (1 - share) * y, jnp.zeros_like(flip))
  columns = resampling(images.shape[2], share, (1 - share) * x, flip)
  zoomed = jnp.einsum('bij,bjwc->biwc', rows, images.astype(jnp.float32))
  zoomed = jnp.einsum('bkw,biwc->bikc', columns, zoomed)
  return jnp.clip(jnp.round(zoomed), 0, 255).astype(jnp.uint8)


def example_keys(draws: jax.Array, *, seed: int) -> jax.Array:
  """One random key an example, a pure function of (seed, draw)."""
  return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), draws)


def resampling(size: int, share: jax.Array, offset: jax.Array, flip: jax.Array) -> jax.Array:
  """`[B, size, size]` bilinear weights that take the part [offset, offset + share] of an axis to
  `size` pixels, reversed where `flip`; a row sums to one.
  """
  target = jnp.arange(size)
  target = jnp.where(flip[:, None], size - 1 - target, target)
  at = (target + 0.5) * share[:, None] + offset[:, None] * size - 0.5
  at = jnp.clip(at, 0, size - 1)
  return jnp.maximum(0, 1 - jnp.abs(at[:, :, None] - jnp.arange(size)))
