"""Augmentation inside the jitted step, keyed by example, not by device."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from flaxart.data.randaugment import randaugment


def augment(images: jax.Array, draws: jax.Array, config: ConfigDict, *, seed: int) -> jax.Array:
  """`[B, H, W, 3]` uint8 -> the same shape, changed as `config.augment` says.

  `draws` `[B]` numbers the examples of the run: the same example gets the same random choices for
  any number of devices, processes or restarts.
  """
  flips, zoom, operations = config.augment.flip, config.augment.zoom, config.augment.randaugment
  if not (flips or zoom or operations):
    return images
  keys = example_keys(draws, seed=seed)
  flip = flips & jax.vmap(jax.random.bernoulli)(keys)
  if not (zoom or operations):
    return jnp.where(flip[:, None, None, None], images[:, :, ::-1], images)
  x = images.astype(jnp.float32)
  if zoom:
    x = zoomed(x, keys, flip, zoom=zoom)
  elif flips:
    x = jnp.where(flip[:, None, None, None], x[:, :, ::-1], x)
  if operations:
    x = randaugment(x, keys, operations=operations, magnitude=config.augment.magnitude)
  return jnp.clip(jnp.round(x), 0, 255).astype(jnp.uint8)


def zoomed(images: jax.Array, keys: jax.Array, flip: jax.Array, *, zoom: float) -> jax.Array:
  """A random crop of at least `1 - zoom` of each side, resized back, mirrored where `flip`.

  A crop of side s at (y, x), flipped or not, is one linear map: two small matrix products.
  """
  draw = lambda key: jax.random.uniform(jax.random.fold_in(key, 1), (3,))  # noqa: E731
  share, y, x = jnp.moveaxis(jax.vmap(draw)(keys), 1, 0)
  share = 1 - zoom * share
  rows = resampling(images.shape[1], share, (1 - share) * y, jnp.zeros_like(flip))
  columns = resampling(images.shape[2], share, (1 - share) * x, flip)
  return jnp.einsum('bkw,biwc->bikc', columns, jnp.einsum('bij,bjwc->biwc', rows, images))


def mixup(
  images: jax.Array,
  labels: Mapping[str, jax.Array],
  draws: jax.Array,
  *,
  alpha: float,
  seed: int,
) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
  """Each picture mixed with the one before it in the batch: Zhang et al., "mixup", 2018.

  Returns float32 pictures, the share `[B]` of the picture itself (at least one half, drawn from
  Beta(alpha, alpha) for each example), and the partners' labels. A batch is already in random
  order, so the neighbour is as good as a drawn partner.
  """
  keys = jax.vmap(jax.random.fold_in, (0, None))(example_keys(draws, seed=seed), 1000)
  share = jax.vmap(lambda key: jax.random.beta(key, alpha, alpha))(keys)
  share = jnp.maximum(share, 1 - share)
  mine = share[:, None, None, None]
  x = images.astype(jnp.float32)
  partner = {name: jnp.roll(value, 1, axis=0) for name, value in labels.items()}
  return mine * x + (1 - mine) * jnp.roll(x, 1, axis=0), share, partner


def example_keys(draws: jax.Array, *, seed: int) -> jax.Array:
  """One random key per example, a pure function of (seed, draw)."""
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
