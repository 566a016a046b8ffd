"""3x3 convolutions at stride 1 with 16 multiplications instead of 36.

Winograd's F(2x2, 3x3), as in Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks",
2016. The input is cut into tiles of 4x4 pixels, two apart. Small linear maps take tile and kernel
(mostly additions) to 16 points each, where a convolution is one product per point; 16 points give
2x2 pixels of output. The kernel's gradient is the transposed algorithm on the same tiles, the
input's gradient the same algorithm with the rotated kernel, whose points are those of the kernel in
another order. Products are of matrices of tiles times channels, which makes it worthwhile on a CPU;
rounding errors are about those of the definition (tested against `lax.conv`).

Shapes are `[B, H, W, C]` and kernels `[3, 3, in, out]`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from flaxart.models.ops.kernel_forms import kernel_form

Pads = tuple[tuple[int, int], tuple[int, int]]  # (top, bottom), (left, right)

# The narrowest product and the fewest tiles for which it is faster than one convolution.
CHANNELS, TILES = 32, 32
# Points are four times the activations. With at least this many values and at most this many
# channels, writing the points costs more than it saves, except for the kernel's gradient.
LARGE, NARROW = 2**22, 96
# Such a batch is processed in parts of about this many values: fewer points in memory, and those of
# a part are still in the CPU cache when they are multiplied.
PART = 2**20
_TURNED = (3, 1, 2, 0)  # where each point of the kernel rotated by 180 degrees is


def fits(x_shape: Sequence[int], kernel_shape: Sequence[int], stride: int, pads: Pads) -> bool:
  """Whether this module can do the convolution, and its kernel gradient faster."""
  if tuple(kernel_shape[:2]) != (3, 3) or stride != 1 or min(kernel_shape[2:]) < CHANNELS:
    return False
  height, width = (n + sum(p) - 2 for n, p in zip(x_shape[1:3], pads, strict=True))
  return x_shape[0] * -(-height // 2) * -(-width // 2) >= TILES


def worth_while(
  x_shape: Sequence[int], kernel_shape: Sequence[int], stride: int, pads: Pads
) -> bool:
  """Whether it is also faster forward and for the input gradient."""
  wide = math.prod(x_shape) > LARGE and min(kernel_shape[2:]) < NARROW
  return fits(x_shape, kernel_shape, stride, pads) and not wide


def convolve(x: jax.Array, kernel: jax.Array, pads: Pads) -> jax.Array:
  """`[B, H, W, I]` with `[3, 3, I, O]` -> `[B, H + top + bottom - 2, W + left + right - 2, O]`."""
  return _multiply(x, kernel_form(_kernel_points, kernel), pads)


def input_gradient(kernel: jax.Array, dy: jax.Array, pads: Pads) -> jax.Array:
  """The gradient of the input, from that of the output."""
  points = _kernel_points(kernel)
  turned = [points[4 * i + j].T for i in _TURNED for j in _TURNED]
  (top, bottom), (left, right) = pads
  return _multiply(dy, turned, ((2 - top, 2 - bottom), (2 - left, 2 - right)))


def kernel_gradient(x: jax.Array, dy: jax.Array, pads: Pads) -> jax.Array:
  """`[B, H, W, I]` and the output's gradient `[B, H', W', O]` -> `[3, 3, I, O]`."""
  parts = _parts(x, dy.shape[3])
  wide = jnp.promote_types(x.dtype, jnp.float32)  # of the sums, even those of bfloat16

  def add(sums: list[jax.Array], i: jax.Array | int) -> tuple[list[jax.Array], None]:
    tiles, points = _tile_points(_part(x, i, parts), pads), _output_points(_part(dy, i, parts))
    return [
      total
      + jnp.matmul(
        tile.reshape(-1, x.shape[3]).T,
        point.reshape(-1, dy.shape[3]),
        preferred_element_type=wide,
      )
      for total, tile, point in zip(sums, tiles, points, strict=True)
    ], None

  nothing = [jnp.zeros((x.shape[3], dy.shape[3]), wide)] * 16
  products, _ = add(nothing, 0) if parts == 1 else lax.scan(add, nothing, jnp.arange(parts))
  rows = [_to_three(*(products[4 * i + j] for i in range(4))) for j in range(4)]
  kernel = jnp.stack([jnp.stack(_to_three(*(rows[j][i] for j in range(4)))) for i in range(3)])
  return kernel.astype(x.dtype)


def _parts(x: jax.Array, outputs: int) -> int:
  """The number of equal parts in which a batch is processed."""
  values = math.prod(x.shape[:3]) * max(x.shape[3], outputs)
  if values <= LARGE:
    return 1
  most = min(x.shape[0], -(-values // PART))
  return next(n for n in range(most, x.shape[0] + 1) if x.shape[0] % n == 0)


def _part(x: jax.Array, i: jax.Array | int, parts: int) -> jax.Array:
  """Picture i of every `parts` consecutive ones, so that each device has its share of a part."""
  if parts == 1:
    return x
  return lax.dynamic_index_in_dim(x.reshape(-1, parts, *x.shape[1:]), i, axis=1, keepdims=False)


def _multiply(x: jax.Array, points: Sequence[jax.Array], pads: Pads) -> jax.Array:
  """Tiles of `x` times 16 matrices `[I, O]`, assembled to the output's pixels."""
  parts = _parts(x, points[0].shape[1])
  if parts == 1:
    return _multiply_part(x, points, pads)
  y = lax.map(lambda i: _multiply_part(_part(x, i, parts), points, pads), jnp.arange(parts))
  return y.swapaxes(0, 1).reshape(x.shape[0], *y.shape[2:])


def _multiply_part(x: jax.Array, points: Sequence[jax.Array], pads: Pads) -> jax.Array:
  batch, channels = x.shape[0], points[0].shape[1]
  height, width = (n + sum(p) - 2 for n, p in zip(x.shape[1:3], pads, strict=True))
  rows, columns = -(-height // 2), -(-width // 2)
  products = [
    tile.reshape(-1, x.shape[3]) @ point
    for tile, point in zip(_tile_points(x, pads), points, strict=True)
  ]
  halves = [_to_two(*(products[4 * i + j] for i in range(4))) for j in range(4)]
  pixels = [_to_two(*(halves[j][i] for j in range(4))) for i in range(2)]
  y = jnp.stack([jnp.stack(row, 1) for row in pixels], 1)
  y = y.reshape(batch, rows, columns, 2, 2, channels).transpose(0, 1, 3, 2, 4, 5)
  return y.reshape(batch, 2 * rows, 2 * columns, channels)[:, :height, :width]


# --- the linear maps, along one axis each --------------------------------------------------------


def _tile_points(x: jax.Array, pads: Pads) -> list[jax.Array]:
  """The 16 points of each tile, `[B, tile rows, tile columns, C]` each."""
  # An odd output gets one extra row or column, which is cut off later.
  whole = [
    (before, after + (n + before + after) % 2)
    for n, (before, after) in zip(x.shape[1:3], pads, strict=True)
  ]
  x = jnp.pad(x, ((0, 0), *whole, (0, 0)))
  return [point for row in _tiles(x, axis=1) for point in _tiles(row, axis=2)]


def _tiles(x: jax.Array, *, axis: int) -> tuple[jax.Array, ...]:
  """Pixels a, b, c, d of tiles two apart -> a - c, b + c, c - b, b - d."""
  count = x.shape[axis] // 2 - 1
  a, b, c, d = (lax.slice_in_dim(x, first, first + 2 * count - 1, 2, axis) for first in range(4))
  return a - c, b + c, c - b, b - d


def _output_points(dy: jax.Array) -> list[jax.Array]:
  """The 16 points of each 2x2 pixels of the output's gradient: `_to_two`, transposed."""
  dy = jnp.pad(dy, ((0, 0), (0, dy.shape[1] % 2), (0, dy.shape[2] % 2), (0, 0)))

  def spread(dy: jax.Array, axis: int) -> tuple[jax.Array, ...]:
    even, odd = (lax.slice_in_dim(dy, first, None, 2, axis) for first in range(2))
    return even, even + odd, even - odd, -odd

  return [point for row in spread(dy, 1) for point in spread(row, 2)]


def _kernel_points(kernel: jax.Array) -> list[jax.Array]:
  """The kernel's 16 points, `[I, O]` each."""

  def to_four(a: jax.Array, b: jax.Array, c: jax.Array) -> tuple[jax.Array, ...]:
    around, middle = 0.5 * (a + c), 0.5 * b
    return a, around + middle, around - middle, c

  return [point for row in to_four(*kernel) for point in to_four(*row)]


def _to_two(a: jax.Array, b: jax.Array, c: jax.Array, d: jax.Array) -> tuple[jax.Array, ...]:
  """Products at four points -> two pixels."""
  return a + b + c, b - c - d


def _to_three(a: jax.Array, b: jax.Array, c: jax.Array, d: jax.Array) -> tuple[jax.Array, ...]:
  """Products at four points -> three taps: `to_four`, transposed."""
  half = 0.5 * (b + c)
  return a + half, 0.5 * (b - c), half + d
