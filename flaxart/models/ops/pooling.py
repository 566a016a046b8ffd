"""Pooling layers, `[B, H, W, C]`.

XLA's CPU backend finds the place of each maximum with loops over integers that fill four times the
input's memory; on GPUs it writes each value in float32 with an integer beside it, and scatters
gradients. There, a maximum is taken over shifted pictures, and a byte for each output remembers
which of them had it. A TPU has instructions for it and gets `lax.reduce_window`.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from flaxart.machine.target import target
from flaxart.models.ops.convolution import (
  Padding,
  Pads,
  convolve_depthwise,
  explicit_pads,
  taps,
)


def max_pool(x: jax.Array, window: int, *, stride: int, padding: Padding = 'VALID') -> jax.Array:
  """Largest value of each window; padding never wins.

  Of equal values the first gets the gradient.
  """
  pads = explicit_pads(padding, x.shape[1:3], (window, window), stride)
  if target() != 'tpu':
    return _shifted_max(x, window, stride, pads, x.shape[1:3])
  # NumPy constants: reduce_window only has a gradient if it can see that they are neutral.
  return lax.reduce_window(
    x,
    np.array(-np.inf, x.dtype),
    lax.max,
    (1, window, window, 1),
    (1, stride, stride, 1),
    ((0, 0), *pads, (0, 0)),
  )


def average_pool(x: jax.Array, window: int, *, count_padding: bool) -> jax.Array:
  """Mean of each window, stride 1, same size; borders divide by the pixels inside the picture.

  With `count_padding` (PyTorch's default) they divide by the whole window, padding included.
  """
  pads = explicit_pads('SAME', x.shape[1:3], (window, window), 1)

  def add(a: jax.Array) -> jax.Array:
    if target() == 'cpu':  # as a convolution with ones, which XLA does not multiply by
      return convolve_depthwise(a, jnp.ones((window, window, 1, a.shape[3]), a.dtype), padding=pads)
    return lax.reduce_window(
      a,
      np.zeros((), a.dtype),
      lax.add,
      (1, window, window, 1),
      (1, 1, 1, 1),
      ((0, 0), *pads, (0, 0)),
    )

  count = float(window * window) if count_padding else add(jnp.ones((1, *x.shape[1:3], 1)))
  return (add(x.astype(jnp.promote_types(x.dtype, jnp.float32))) / count).astype(x.dtype)


def global_average(x: jax.Array) -> jax.Array:
  """`[B, H, W, C]` -> `[B, C]`, summed and returned in float32 at least."""
  return jnp.mean(x.astype(jnp.promote_types(x.dtype, jnp.float32)), axis=(1, 2))


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3, 4))
def _shifted_max(
  x: jax.Array, window: int, stride: int, pads: Pads, size: tuple[int, int]
) -> jax.Array:
  return functools.reduce(jnp.maximum, taps(x, (window, window), stride, pads, fill=-np.inf))


def _shifted_max_forward(
  x: jax.Array, window: int, stride: int, pads: Pads, size: tuple[int, int]
) -> Any:
  shifted = list(taps(x, (window, window), stride, pads, fill=-np.inf))
  largest = functools.reduce(jnp.maximum, shifted)
  winner = jnp.zeros(largest.shape, jnp.uint8)
  for index, tap in reversed(list(enumerate(shifted))):
    winner = jnp.where(tap == largest, jnp.uint8(index), winner)
  return largest, winner


def _shifted_max_backward(
  window: int, stride: int, pads: Pads, size: tuple[int, int], winner: jax.Array, dy: jax.Array
) -> tuple[jax.Array]:
  # Pixel `row * stride + i` is tap i of the window at `row`, i + stride of the one before, ...
  rows, columns = (-(-(n + sum(p)) // stride) for n, p in zip(size, pads, strict=True))
  before = (window - 1) // stride
  around = ((0, 0), (before, rows - dy.shape[1]), (before, columns - dy.shape[2]), (0, 0))
  winner = jnp.pad(winner, around, constant_values=window * window)
  dy = jnp.pad(dy, around)
  offsets = []
  for i, j in np.ndindex(stride, stride):
    total = jnp.zeros((dy.shape[0], rows, columns, dy.shape[3]), dy.dtype)
    for u, v in itertools.product(range(i, window, stride), range(j, window, stride)):
      row, column = before - u // stride, before - v // stride
      at = np.s_[:, row : row + rows, column : column + columns]
      total += jnp.where(winner[at] == u * window + v, dy[at], 0)
    offsets.append(total)
  # Offset by offset, `[s, s, B, R, S, C]`, to the pixels of the padded input, and those inside it.
  x = jnp.stack(offsets).reshape(stride, stride, *offsets[0].shape).transpose(2, 3, 0, 4, 1, 5)
  x = x.reshape(dy.shape[0], rows * stride, columns * stride, dy.shape[3])
  (top, _), (left, _) = pads
  return (x[:, top : top + size[0], left : left + size[1]],)


_shifted_max.defvjp(_shifted_max_forward, _shifted_max_backward)
