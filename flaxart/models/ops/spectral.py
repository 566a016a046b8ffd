"""Convolutions with long kernels as products of spectra, along one axis of the pictures.

A row of W pixels and a kernel of k taps, padded with zeros to n = W + k // 2 values, are convolved
by multiplying their discrete Fourier transforms: each of the n // 2 + 1 frequencies is one complex
number, three real multiplications (Karatsuba's), so that a pixel costs about 1.5 products of
matrices `[I, O]` instead of k. Taps along the other axis are added up within the products. The
transforms of such short rows are themselves products with small constant matrices; Fourier matrices
are orthogonal, so rounding errors are about those of the definition (tested against `lax.conv`).
Inception-V3's 1x7, 7x1 and 5x5 convolutions gain.

Shapes are `[B, H, W, C]` and kernels `[kh, kw, in, out]`. Stride is 1.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from flaxart.models.ops.kernel_forms import kernel_form

Pads = tuple[tuple[int, int], tuple[int, int]]  # (top, bottom), (left, right)

# Faster up to this share of the definition's multiplications (those of the transforms count twice,
# because their matrices are small) and from this many rows of a product.
SHARE, ROWS = 0.6, 64


def worth_while(
  x_shape: Sequence[int], kernel_shape: Sequence[int], stride: int, pads: Pads
) -> bool:
  """Whether this module can do the convolution, and faster."""
  if stride != 1 or tuple(kernel_shape[:2]) == (1, 1):
    return False
  (kh, kw, inputs, outputs), (batch, height, width, _) = kernel_shape, x_shape
  if kh > kw:  # the transform is along the longer side of the kernel
    kh, kw, height, width, pads = kw, kh, width, height, pads[::-1]
  rows, columns = height + sum(pads[0]) - kh + 1, width + sum(pads[1]) - kw + 1
  points = 3 * (_length(width, kw, pads[1][0], columns) // 2) + 1
  products = points * kh * inputs * outputs
  transforms = points * (width * inputs + columns * outputs)
  definition = columns * kw * kh * inputs * outputs
  return batch * rows >= ROWS and products + 2 * transforms <= SHARE * definition


def convolve(x: jax.Array, kernel: jax.Array, pads: Pads) -> jax.Array:
  """`[B, H, W, I]` with `[kh, kw, I, O]` -> `[B, H', W', O]`; differentiable."""
  kh, kw, inputs, outputs = kernel.shape
  if kh > kw:
    turned = convolve(x.swapaxes(1, 2), kernel.swapaxes(0, 1), pads[::-1])
    return turned.swapaxes(1, 2)
  batch, height, width, _ = x.shape
  rows, columns = height + sum(pads[0]) - kh + 1, width + sum(pads[1]) - kw + 1
  maps = (jnp.asarray(m, x.dtype) for m in transforms(width, kw, pads[1][0], columns))
  of_pixels, of_taps, back = maps
  points = kernel_form(lambda k: _apply(of_taps, k.swapaxes(0, 1)), kernel)  # [P, kh, I, O]
  spectrum = _apply(of_pixels, x.transpose(2, 0, 1, 3))  # [P, B, H, I]
  spectrum = jnp.pad(spectrum, ((0, 0), (0, 0), pads[0], (0, 0)))
  under = [spectrum[:, :, i : i + rows] for i in range(kh)]
  products = lax.dot_general(
    jnp.concatenate(under, -1).reshape(-1, batch * rows, kh * inputs),
    points.reshape(-1, kh * inputs, outputs),
    (((2,), (1,)), ((0,), (0,))),
  )
  y = _apply(back, products.reshape(-1, batch, rows, outputs))  # [W', B, H', O]
  return y.transpose(1, 2, 0, 3)


@functools.cache
def transforms(
  width: int, taps: int, before: int, columns: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Constant matrices for rows of `width` pixels, `taps` of which `before` are left of a pixel, and
  `columns` of output: pixels to points `[P, width]`, taps to points `[P, taps]`, products at points
  to output `[columns, P]`, float64.
  """
  n = _length(width, taps, before, columns)
  pixels, offsets, places = np.arange(width), np.arange(taps) - before, np.arange(columns)
  of_pixels, of_taps, back = [], [], []
  for frequency in range(n // 2 + 1):
    turn = 2 * np.pi * frequency / n
    a, b = np.cos(turn * pixels), -np.sin(turn * pixels)  # a + ib of the pixels
    c, d = np.cos(turn * offsets), np.sin(turn * offsets)  # c + id of the taps, conjugated
    real, imaginary = np.cos(turn * places) / n, -np.sin(turn * places) / n
    if 2 * frequency in (0, n):  # these are real
      of_pixels += [a]
      of_taps += [c]
      back += [real]
    else:  # (a + ib)(c + id) = (p - r) + i(p + q), p = (a + b)c, q = a(d - c), r = b(c + d)
      of_pixels += [a + b, a, b]
      of_taps += [c, d - c, c + d]
      back += [2 * (real + imaginary), 2 * imaginary, -2 * real]
  return np.stack(of_pixels), np.stack(of_taps), np.stack(back, 1)


def _length(width: int, taps: int, before: int, columns: int) -> int:
  """The number of values to transform: wrapped values must not reach the output."""
  return max(width + before, columns + taps - 1 - before)


def _apply(matrix: jax.Array, x: jax.Array) -> jax.Array:
  """Maps the first axis, `[n, ...]` by `[m, n]` -> `[m, ...]`."""
  return (matrix @ x.reshape(x.shape[0], -1)).reshape(-1, *x.shape[1:])
