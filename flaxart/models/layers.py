"""Convolution, BatchNorm and pooling: the layers that the four networks are made of.

Shapes are `[B, H, W, C]` and kernels `[kh, kw, in, out]`. How a convolution is computed depends on
the backend and is decided here and nowhere else. XLA's CPU backend computes the gradient of a
convolution several times slower than a matrix product of the same size, so there convolutions are
matrix products over patches, with gradients written by hand; every other backend gets
`lax.conv_general_dilated`.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

Pads = tuple[tuple[int, int], tuple[int, int]]  # (top, bottom), (left, right)
Padding = str | int | Pads  # 'SAME', 'VALID', the same number on all sides, or each side

_DIMENSIONS = ('NHWC', 'HWIO', 'NHWC')
_lowering: contextvars.ContextVar[str | None] = contextvars.ContextVar('lowering', default=None)


@contextlib.contextmanager
def use_lowering(name: str) -> Iterator[None]:
  """Computes convolutions as `'matmul'` or `'native'` inside, whatever the backend.

  It is read while a function is traced: what `jax.jit` has compiled before keeps its form.
  """
  if name not in ('matmul', 'native'):
    raise ValueError(f'lowering: found {name!r}, expected matmul or native')
  token = _lowering.set(name)
  try:
    yield
  finally:
    _lowering.reset(token)


def lowering() -> str:
  """How convolutions are computed here: `'matmul'` on CPU, else `'native'`."""
  return _lowering.get() or ('matmul' if jax.default_backend() == 'cpu' else 'native')


def explicit_pads(padding: Padding, size: Sequence[int], window: Sequence[int],
                  stride: int) -> Pads:
  """Padding of each side for an input of `size`.

  `'SAME'` is TensorFlow's rule: the output has `ceil(size / stride)` positions and, where the
  number of padded rows is odd, the extra one is at the bottom and right. At stride 2 it therefore
  depends on the input size, and differs from PyTorch's fixed symmetric padding.
  """
  if isinstance(padding, int):
    return (padding, padding), (padding, padding)
  if padding == 'VALID':
    return (0, 0), (0, 0)
  if padding == 'SAME':
    return tuple(  # type: ignore[return-value]
      (total // 2, total - total // 2) for total in (
        max((-(-n // stride) - 1) * stride + k - n, 0) for n, k in zip(size, window, strict=True)))
  if isinstance(padding, str):
    raise ValueError(f'padding: found {padding!r}, expected SAME, VALID, a number or four numbers')
  return padding


def convolve(x: jax.Array, kernel: jax.Array, *, stride: int = 1,
             padding: Padding = 'SAME') -> jax.Array:
  """`[B, H, W, I]` with `[kh, kw, I, O]` -> `[B, H', W', O]`; differentiable."""
  pads = explicit_pads(padding, x.shape[1:3], kernel.shape[:2], stride)
  if lowering() == 'matmul':
    return _matmul_conv(x, kernel, stride, pads)
  return lax.conv_general_dilated(x, kernel, (stride, stride), pads, dimension_numbers=_DIMENSIONS)


def convolve_depthwise(x: jax.Array, kernel: jax.Array, *, padding: Padding = 'SAME') -> jax.Array:
  """Each channel by itself: `[B, H, W, C]` with `[kh, kw, 1, C]` -> `[B, H', W', C]`."""
  pads = explicit_pads(padding, x.shape[1:3], kernel.shape[:2], 1)
  if lowering() == 'matmul':
    return _shifted_depthwise(x, kernel, pads)
  return lax.conv_general_dilated(x, kernel, (1, 1), pads, dimension_numbers=_DIMENSIONS,
                                  feature_group_count=x.shape[-1])


# --- convolution as one matrix product -----------------------------------------------------------

def _pad(x: jax.Array, pads: Pads, *, dilation: int = 1) -> jax.Array:
  """Zeros around and, with `dilation` above 1, between the pixels; negative pads crop."""
  zero = jnp.zeros((), x.dtype)
  (top, bottom), (left, right) = pads
  return lax.pad(x, zero, ((0, 0, 0), (top, bottom, dilation - 1), (left, right, dilation - 1),
                           (0, 0, 0)))


def _taps(x: jax.Array, window: Sequence[int], stride: int) -> list[jax.Array]:
  """The pixels that each of the `kh * kw` window positions meets, `[B, H', W', C]` each."""
  kh, kw = window
  height, width = ((n - k) // stride + 1 for n, k in zip(x.shape[1:3], window, strict=True))
  span = lambda first, count: slice(first, first + (count - 1) * stride + 1, stride)  # noqa: E731
  return [x[:, span(i, height), span(j, width)] for i in range(kh) for j in range(kw)]


def _patches(x: jax.Array, window: Sequence[int], stride: int, pads: Pads) -> jax.Array:
  """`[B, H', W', kh * kw * C]`, ordered like the kernel's first three axes."""
  taps = _taps(_pad(x, pads), window, stride)
  return taps[0] if len(taps) == 1 else jnp.concatenate(taps, axis=-1)


def _product(x: jax.Array, kernel: jax.Array, stride: int, pads: Pads) -> jax.Array:
  patches = _patches(x, kernel.shape[:2], stride, pads)
  return lax.dot_general(patches, kernel.reshape(-1, kernel.shape[-1]), (((3,), (0,)), ((), ())))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _matmul_conv(x: jax.Array, kernel: jax.Array, stride: int, pads: Pads) -> jax.Array:
  return _product(x, kernel, stride, pads)


def _matmul_conv_forward(x: jax.Array, kernel: jax.Array, stride: int, pads: Pads) -> Any:
  return _product(x, kernel, stride, pads), (x, kernel)


def _matmul_conv_backward(stride: int, pads: Pads, saved: Any, dy: jax.Array) -> Any:
  x, kernel = saved
  kh, kw = kernel.shape[:2]
  # Patches are built again rather than kept: they are kh * kw times the activations.
  patches = _patches(x, (kh, kw), stride, pads)
  positions = ((0, 1, 2), (0, 1, 2))
  d_kernel = lax.dot_general(patches, dy, (positions, ((), ()))).reshape(kernel.shape)
  # The input gradient is a convolution of dy, spread out by the stride, with the turned kernel.
  turned = kernel[::-1, ::-1].swapaxes(2, 3)
  sides = []
  for n, m, k, (before, _) in zip(x.shape[1:3], dy.shape[1:3], (kh, kw), pads, strict=True):
    spread = (m - 1) * stride + 1
    sides.append((k - 1 - before, n + before - spread))
  spread_dy = _pad(dy, tuple(sides), dilation=stride)  # type: ignore[arg-type]
  return _product(spread_dy, turned, 1, ((0, 0), (0, 0))), d_kernel


_matmul_conv.defvjp(_matmul_conv_forward, _matmul_conv_backward)


# --- depthwise convolution as shifted multiply-adds ----------------------------------------------

def _weighted_taps(x: jax.Array, kernel: jax.Array, pads: Pads) -> jax.Array:
  taps = _taps(_pad(x, pads), kernel.shape[:2], 1)
  weights = kernel.reshape(len(taps), -1)
  return functools.reduce(jnp.add, (tap * w for tap, w in zip(taps, weights, strict=True)))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _shifted_depthwise(x: jax.Array, kernel: jax.Array, pads: Pads) -> jax.Array:
  return _weighted_taps(x, kernel, pads)


def _shifted_depthwise_forward(x: jax.Array, kernel: jax.Array, pads: Pads) -> Any:
  return _weighted_taps(x, kernel, pads), (x, kernel)


def _shifted_depthwise_backward(pads: Pads, saved: Any, dy: jax.Array) -> Any:
  x, kernel = saved
  kh, kw = kernel.shape[:2]
  taps = _taps(_pad(x, pads), (kh, kw), 1)
  d_kernel = jnp.stack([jnp.sum(tap * dy, axis=(0, 1, 2)) for tap in taps]).reshape(kernel.shape)
  sides = tuple((k - 1 - before, k - 1 - after)
                for k, (before, after) in zip((kh, kw), pads, strict=True))
  return _weighted_taps(dy, kernel[::-1, ::-1], sides), d_kernel  # type: ignore[arg-type]


_shifted_depthwise.defvjp(_shifted_depthwise_forward, _shifted_depthwise_backward)


# --- pooling -------------------------------------------------------------------------------------

def max_pool(x: jax.Array, window: int, *, stride: int, padding: Padding = 'VALID') -> jax.Array:
  """Largest value of each window; padding never wins."""
  pads = explicit_pads(padding, x.shape[1:3], (window, window), stride)
  # NumPy constants: reduce_window has a gradient only where it can see that they are neutral.
  return lax.reduce_window(x, np.array(-np.inf, x.dtype), lax.max, (1, window, window, 1),
                           (1, stride, stride, 1), ((0, 0), *pads, (0, 0)))


def average_pool(x: jax.Array, window: int, *, count_padding: bool) -> jax.Array:
  """Mean of each window, stride 1, same size; borders divide by the pixels inside the picture.

  With `count_padding` (PyTorch's default) they divide by the whole window, padding included.
  """
  pads = explicit_pads('SAME', x.shape[1:3], (window, window), 1)
  add = lambda a: lax.reduce_window(a, np.zeros((), a.dtype), lax.add,  # noqa: E731
                                    (1, window, window, 1), (1, 1, 1, 1), ((0, 0), *pads, (0, 0)))
  count = float(window * window) if count_padding else add(jnp.ones((1, *x.shape[1:3], 1)))
  return (add(x.astype(jnp.promote_types(x.dtype, jnp.float32))) / count).astype(x.dtype)


def global_average(x: jax.Array) -> jax.Array:
  """`[B, H, W, C]` -> `[B, C]`, summed and returned in float32 at least."""
  return jnp.mean(x.astype(jnp.promote_types(x.dtype, jnp.float32)), axis=(1, 2))


# --- modules -------------------------------------------------------------------------------------

class BatchNorm(nnx.Module):
  """Normalises each channel; Ioffe and Szegedy, "Batch Normalization", 2015.

  With `train=True` the statistics are those of the batch and move the running ones
  (`new = momentum * old + (1 - momentum) * batch`, biased variance as in Keras); with `train=False`
  they are the running ones. A `frozen` layer always uses its running statistics and never moves
  them: the default for fine-tuning a converted trunk, because statistics of small batches of
  pictures unlike ImageNet undo what the weights were trained for (Keras's transfer-learning guide
  gives the same advice), and the only choice for a layer whose parameters do not learn.

  `axis_name` is for `shard_map` and averages the statistics over that mesh axis; under `jit` they
  are over the global batch without it.
  """

  def __init__(self, features: int, *, epsilon: float, momentum: float, use_scale: bool = True):
    self.epsilon = epsilon
    self.momentum = momentum
    self.use_scale = use_scale
    self.frozen = False
    self.axis_name: str | None = None
    self.scale = nnx.Param(jnp.ones(features)) if use_scale else None
    self.bias = nnx.Param(jnp.zeros(features))
    self.mean = nnx.BatchStat(jnp.zeros(features))
    self.var = nnx.BatchStat(jnp.ones(features))

  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """`[B, H, W, C]` -> the same shape and dtype; arithmetic in float32 at least."""
    mean, var = self.mean[...], self.var[...]
    if train and not self.frozen:
      mean, var = self._batch_statistics(x, mean)
      old = self.momentum
      self.mean[...] = old * self.mean[...] + (1 - old) * lax.stop_gradient(mean)
      self.var[...] = old * self.var[...] + (1 - old) * lax.stop_gradient(var)
    scale, offset = self.scale_and_offset(mean, var)
    return (x * scale + offset).astype(x.dtype)

  def scale_and_offset(self, mean: jax.Array, var: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The layer as `x * scale + offset`, each `[C]`: one multiply-add for each activation."""
    scale = lax.rsqrt(var + self.epsilon)
    if self.scale is not None:
      scale = scale * self.scale[...]
    return scale, self.bias[...] - mean * scale

  def _batch_statistics(self, x: jax.Array, pivot: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and biased variance over all but the last axis, `[C]` each.

    One pass over the activations instead of two. Plain `E[x^2] - E[x]^2` loses all digits where
    the mean is large against the deviation; sums of differences from the running mean, which
    training keeps near the batch mean, do not.
    """
    centred = x.astype(jnp.promote_types(x.dtype, jnp.float32)) - pivot
    first = jnp.mean(centred, axis=(0, 1, 2))
    second = jnp.mean(centred * centred, axis=(0, 1, 2))
    if self.axis_name is not None:
      first, second = lax.pmean((first, second), self.axis_name)
    return pivot + first, jnp.maximum(second - first * first, 0)


class Conv(nnx.Module):
  """Convolution, then its bias and its BatchNorm where it has them.

  The norm belongs to the convolution that it follows (in all four networks each does), which lets
  it be folded into the kernel: see `flaxart.models.fold`.
  """

  def __init__(self, inputs: int, outputs: int, window: int | tuple[int, int], *, rngs: nnx.Rngs,
               stride: int = 1, padding: Padding = 'SAME', use_bias: bool = False,
               norm: BatchNorm | None = None, dtype: Any = jnp.float32):
    window = (window, window) if isinstance(window, int) else window
    self.stride = stride
    self.padding = padding
    self.dtype = dtype
    init = jax.nn.initializers.he_uniform()
    self.kernel = nnx.Param(init(rngs.params(), (*window, inputs, outputs), jnp.float32))
    self.bias = nnx.Param(jnp.zeros(outputs)) if use_bias else None
    self.norm = norm

  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """`[B, H, W, inputs]` -> `[B, H', W', outputs]` in `dtype`."""
    x = convolve(x.astype(self.dtype), self.kernel[...].astype(self.dtype), stride=self.stride,
                 padding=self.padding)
    if self.bias is not None:
      x = x + self.bias[...].astype(x.dtype)
    return x if self.norm is None else self.norm(x, train=train)


class Depthwise(nnx.Module):
  """One kernel per channel, stride 1, no bias (a `Conv` always follows)."""

  def __init__(self, features: int, window: int, *, rngs: nnx.Rngs, dtype: Any = jnp.float32):
    self.dtype = dtype
    init = jax.nn.initializers.he_uniform()
    self.kernel = nnx.Param(init(rngs.params(), (window, window, 1, features), jnp.float32))

  def __call__(self, x: jax.Array) -> jax.Array:
    """`[B, H, W, C]` -> the same shape, in `dtype`."""
    return convolve_depthwise(x.astype(self.dtype), self.kernel[...].astype(self.dtype))


def batch_norms(module: nnx.Module) -> Iterator[tuple[tuple[Any, ...], BatchNorm]]:
  """Every BatchNorm of a network with its path."""
  for path, node in nnx.iter_graph(module):
    if isinstance(node, BatchNorm):
      yield path, node


def scaled(channels: int, width: float) -> int:
  """A channel count under the width multiplier, at least 1."""
  return max(1, math.floor(channels * width + 0.5))
