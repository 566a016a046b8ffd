"""RandAugment inside the jitted step: Cubuk, Zoph, Shlens and Le, NeurIPS workshops 2020.

Each picture gets a few operations drawn at random, all of one magnitude. Thirteen of the paper's
fourteen operations are here; histogram equalisation is not (it does not vectorise). Geometric
operations repeat the border, because white or black corners would mark augmented pictures. Ranges
are those of torchvision's `RandAugment`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

GEOMETRIC = ('rotate', 'shear_x', 'shear_y', 'translate_x', 'translate_y')
TONAL = (
  'identity',
  'autocontrast',
  'solarize',
  'posterize',
  'color',
  'contrast',
  'brightness',
  'sharpness',
)
OPERATIONS = (*TONAL, *GEOMETRIC)


def randaugment(
  images: jax.Array, keys: jax.Array, *, operations: int, magnitude: float
) -> jax.Array:
  """`[B, H, W, 3]` float32 in [0, 255] -> the same shape and range.

  `keys` `[B]` are one key per example; `magnitude` is 0 (nothing changes) to 10.
  """

  def one(i: jax.Array, images: jax.Array) -> jax.Array:
    choice, sign = jax.vmap(lambda key: _draw(jax.random.fold_in(key, 2 + i)))(keys)
    return _apply(images, choice, sign, magnitude / 10)

  # A loop, not repeated code, so that its operands are in memory (see `_apply`).
  return jax.lax.fori_loop(0, operations, one, images)


def _apply(x: jax.Array, choice: jax.Array, sign: jax.Array, strength: float) -> jax.Array:
  # A picture gets one of the two, so the order does not matter. The geometric one comes first: XLA
  # would recompute the tonal one for each value that a bilinear sample gathers.
  return _tonal(_geometric(x, choice, sign, strength), choice, sign, strength)


def _draw(key: jax.Array) -> tuple[jax.Array, jax.Array]:
  one, two = jax.random.split(key)
  choice = jax.random.randint(one, (), 0, len(OPERATIONS))
  return choice, jnp.where(jax.random.bernoulli(two), 1.0, -1.0)


def apply(images: jax.Array, operation: str, *, sign: float, magnitude: float) -> jax.Array:
  """One named operation on all pictures; for tests."""
  count = images.shape[0]
  choice = jnp.full(count, OPERATIONS.index(operation))
  signs = jnp.full(count, sign, jnp.float32)
  return _apply(images, choice, signs, magnitude / 10)


def _tonal(x: jax.Array, choice: jax.Array, sign: jax.Array, strength: float) -> jax.Array:
  """Operations on values; every picture gets the one drawn for it."""
  if not strength:
    return x
  factor = (1 + sign * 0.9 * strength)[:, None, None, None]
  grey = (x @ jnp.array([0.299, 0.587, 0.114]))[..., None]
  low, high = x.min((1, 2), keepdims=True), x.max((1, 2), keepdims=True)
  step = float(2 ** round(4 * strength))  # posterize: 8 bits down to 4
  results = {
    'autocontrast': jnp.where(high > low, (x - low) * 255 / jnp.maximum(high - low, 1), x),
    'solarize': jnp.where(x >= 255 * (1 - strength), 255 - x, x),
    'posterize': jnp.floor(x / step) * step,
    'color': _blend(grey, x, factor),
    'contrast': _blend(grey.mean((1, 2, 3), keepdims=True), x, factor),
    'brightness': x * factor,
    'sharpness': _blend(_smooth(x), x, factor),
  }
  out = x
  for name, value in results.items():
    chosen = (choice == OPERATIONS.index(name))[:, None, None, None]
    out = jnp.where(chosen, jnp.clip(value, 0, 255), out)
  return out


def _blend(other: jax.Array, x: jax.Array, factor: jax.Array) -> jax.Array:
  """Pillow's enhancement: 0 gives `other`, 1 gives `x`, more goes beyond."""
  return other + factor * (x - other)


def _smooth(x: jax.Array) -> jax.Array:
  """Pillow's SMOOTH filter: the centre counts five times, its eight neighbours once."""
  padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode='edge')
  height, width = x.shape[1:3]
  total = 4 * x
  for dy in range(3):
    for dx in range(3):
      total = total + padded[:, dy : dy + height, dx : dx + width]
  return total / 13


def _geometric(x: jax.Array, choice: jax.Array, sign: jax.Array, strength: float) -> jax.Array:
  """Affine maps about the centre, bilinear; pictures with another operation are unchanged, bit for
  bit."""
  if not strength:
    return x

  def amount(name: str, largest: float) -> jax.Array:
    return jnp.where(choice == OPERATIONS.index(name), sign * largest * strength, 0.0)

  angle = amount('rotate', jnp.pi / 6)
  cos, sin = jnp.cos(angle), jnp.sin(angle)
  height, width = x.shape[1:3]
  y, x_ = jnp.mgrid[0:height, 0:width]
  y, x_ = y - (height - 1) / 2, x_ - (width - 1) / 2
  bend = lambda value: value[:, None, None]  # noqa: E731
  source_y = bend(cos) * y + bend(sin + amount('shear_y', 0.3)) * x_
  source_x = bend(cos) * x_ + bend(amount('shear_x', 0.3) - sin) * y
  source_y += bend(amount('translate_y', 0.45 * height)) + (height - 1) / 2
  source_x += bend(amount('translate_x', 0.45 * width)) + (width - 1) / 2
  moved = jax.vmap(_sample)(x, source_y, source_x)
  return jnp.where((choice >= len(TONAL))[:, None, None, None], moved, x)


def _sample(picture: jax.Array, y: jax.Array, x: jax.Array) -> jax.Array:
  """Bilinear values of `[H, W, 3]` at the places `[H, W]`; beyond the border it repeats."""
  height, width = picture.shape[:2]
  y, x = jnp.clip(y, 0, height - 1), jnp.clip(x, 0, width - 1)
  top, left = jnp.floor(y).astype(jnp.int32), jnp.floor(x).astype(jnp.int32)
  bottom, right = jnp.minimum(top + 1, height - 1), jnp.minimum(left + 1, width - 1)
  down, across = (y - top)[..., None], (x - left)[..., None]
  upper = picture[top, left] * (1 - across) + picture[top, right] * across
  lower = picture[bottom, left] * (1 - across) + picture[bottom, right] * across
  return upper * (1 - down) + lower * down
