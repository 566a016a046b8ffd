"""How a convolution is computed on each target; decided only here.

Shapes are `[B, H, W, C]` and kernels `[kh, kw, in, out]`. XLA's CPU backend is slow at the
gradients of convolutions, most of all at strided input gradients and 1x1 kernels. There, 1x1
convolutions, all kernel gradients and strided input gradients are matrix products, other input
gradients are plain forward convolutions, and depthwise convolutions are shifted multiply-adds;
their gradients are written by hand. 3x3 kernels of stride 1 go through
`flaxart.models.ops.winograd`, long ones through `flaxart.models.ops.spectral`. Every other target
gets `lax.conv_general_dilated`. (Hand-written gradients have no forward mode: `jax.jvp` needs
`use_target('tpu')`.)
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from flaxart.machine.target import target
from flaxart.models.ops import kernel_forms, spectral, winograd

Pads = winograd.Pads
Padding = str | int | Pads  # 'SAME', 'VALID', the same number on all sides, or each side

TINY = 4  # pixels, of the shorter side of a feature map
FLAT = 4  # input channels up to which a row of pixels is one row of values
WIDE = 192  # input channels from which a product over patches is faster than XLA at a stride
# In a kernel gradient all taps go into one product if there are few input channels, because narrow
# products are slow, or if the taps together are small (values). Otherwise each tap has its own
# product, which is as fast and holds one tap at a time instead of kh * kw.
FEW_CHANNELS, SMALL = 64, 2**22

_DIMENSIONS = ('NHWC', 'HWIO', 'NHWC')


def explicit_pads(
  padding: Padding, size: Sequence[int], window: Sequence[int], stride: int
) -> Pads:
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
      (total // 2, total - total // 2)
      for total in (
        max((-(-n // stride) - 1) * stride + k - n, 0) for n, k in zip(size, window, strict=True)
      )
    )
  if isinstance(padding, str):
    raise ValueError(f'padding: found {padding!r}, expected SAME, VALID, a number or four numbers')
  return padding


def convolve(
  x: jax.Array, kernel: jax.Array, *, stride: int = 1, padding: Padding = 'SAME'
) -> jax.Array:
  """`[B, H, W, I]` with `[kh, kw, I, O]` -> `[B, H', W', O]`; differentiable."""
  pads = explicit_pads(padding, x.shape[1:3], kernel.shape[:2], stride)
  if target() == 'cpu':
    # Without gradients, forms made beforehand need not pass through `_matmul_conv`.
    return (_forward if kernel_forms.in_inference() else _matmul_conv)(x, kernel, stride, pads)
  return _native(x, kernel, stride, pads)


def convolve_depthwise(x: jax.Array, kernel: jax.Array, *, padding: Padding = 'SAME') -> jax.Array:
  """Each channel by itself: `[B, H, W, C]` with `[kh, kw, 1, C]` -> `[B, H', W', C]`."""
  pads = explicit_pads(padding, x.shape[1:3], kernel.shape[:2], 1)
  if target() == 'cpu':
    return _shifted_depthwise(x, kernel, pads)
  return lax.conv_general_dilated(
    x, kernel, (1, 1), pads, dimension_numbers=_DIMENSIONS, feature_group_count=x.shape[-1]
  )


# --- convolution with matrix products ------------------------------------------------------------


def _native(x: jax.Array, kernel: jax.Array, stride: int, pads: Pads) -> jax.Array:
  return lax.conv_general_dilated(x, kernel, (stride, stride), pads, dimension_numbers=_DIMENSIONS)


def taps(
  x: jax.Array, window: Sequence[int], stride: int, pads: Pads, *, fill: float = 0
) -> Iterator[jax.Array]:
  """The pixels under each of the `kh * kw` window positions, `[B, H', W', C]` each."""
  x = jnp.pad(x, ((0, 0), *pads, (0, 0)), constant_values=fill)
  height, width = ((n - k) // stride + 1 for n, k in zip(x.shape[1:3], window, strict=True))
  for i, j in itertools.product(*map(range, window)):
    yield x[
      :, i : i + (height - 1) * stride + 1 : stride, j : j + (width - 1) * stride + 1 : stride
    ]


def _product(x: jax.Array, matrix: jax.Array) -> jax.Array:
  """`[B, H, W, I]` times `[I, O]`; flat, because XLA transposes whole operands of 4-D products."""
  return (x.reshape(-1, x.shape[-1]) @ matrix).reshape(*x.shape[:-1], matrix.shape[-1])


def _direct(x: jax.Array, kernel: jax.Array, stride: int, pads: Pads) -> jax.Array:
  """XLA's own convolution, or one product over patches.

  XLA's is as fast and takes less memory, but an input smaller than the window (the last stage at 64
  px and below) sends it into plain loops, 50 times slower than the product; up to `TINY` pixels the
  product is at least as fast, and with a stride, where patches are few, from `WIDE` channels on.
  """
  kh, kw, inputs, outputs = kernel.shape
  if inputs <= FLAT:  # three channels at a time are too few for the CPU's vectors
    x = jnp.pad(x, ((0, 0), *pads, (0, 0))).reshape(x.shape[0], x.shape[1] + sum(pads[0]), -1, 1)
    return lax.conv_general_dilated(
      x,
      kernel.reshape(kh, kw * inputs, 1, outputs),
      (stride, stride * inputs),
      'VALID',
      dimension_numbers=_DIMENSIONS,
    )
  if min(x.shape[1:3]) > TINY and not (stride > 1 and inputs >= WIDE):
    return _native(x, kernel, stride, pads)
  patches = jnp.concatenate(list(taps(x, (kh, kw), stride, pads)), axis=-1)
  return _product(patches, kernel.reshape(-1, outputs))


def _forward(x: jax.Array, kernel: jax.Array, stride: int, pads: Pads) -> jax.Array:
  shape = (x.shape, kernel.shape, stride, pads)
  if winograd.worth_while(*shape):
    return winograd.convolve(x, kernel, pads)
  if spectral.worth_while(*shape):
    return spectral.convolve(x, kernel, pads)
  if kernel.shape[:2] != (1, 1):
    return _direct(x, kernel, stride, pads)
  (tap,) = taps(x, (1, 1), stride, pads)
  return _product(tap, kernel[0, 0])


def _input_gradient(
  size: Sequence[int], kernel: jax.Array, dy: jax.Array, stride: int, pads: Pads
) -> jax.Array:
  """The gradient of the input of height and width `size`."""
  (top, bottom), (left, right) = pads
  (kh, kw, inputs, _), (height, width) = kernel.shape, size
  if stride == 1 and (kh, kw) != (1, 1):  # dy convolved with the rotated kernel
    edges = ((kh - 1 - top, kh - 1 - bottom), (kw - 1 - left, kw - 1 - right))
    return _direct(dy, kernel[::-1, ::-1].swapaxes(2, 3), 1, edges)
  # Each tap's part, from one product, is added where it came from. With a stride that takes little
  # memory, and no zeros between pixels are multiplied.
  back = _product(dy, kernel.reshape(-1, kernel.shape[3]).T)
  rows, columns = ((n - 1) * stride + 1 for n in dy.shape[1:3])
  zero, dx = jnp.zeros((), dy.dtype), []
  for tap, (i, j) in enumerate(np.ndindex(kh, kw)):
    above, before = i - top, j - left
    spread = (
      (0, 0, 0),
      (above, height - above - rows, stride - 1),
      (before, width - before - columns, stride - 1),
      (0, 0, 0),
    )
    dx.append(lax.pad(back[..., tap * inputs : (tap + 1) * inputs], zero, spread))
  return functools.reduce(jnp.add, dx)


def _kernel_gradient(
  x: jax.Array, shape: Sequence[int], dy: jax.Array, stride: int, pads: Pads
) -> jax.Array:
  """The pixels under each tap, transposed, times dy; gathered again here rather than kept."""
  flat = dy.reshape(-1, dy.shape[-1])
  product = lambda tap: tap.reshape(-1, tap.shape[-1]).T @ flat  # noqa: E731
  at_once = shape[2] < FEW_CHANNELS or math.prod(shape[:3]) * flat.shape[0] <= SMALL
  if at_once or tuple(shape[:2]) == (1, 1):
    return product(jnp.concatenate(list(taps(x, shape[:2], stride, pads)), -1)).reshape(shape)
  x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
  height, width = ((m - 1) * stride + 1 for m in dy.shape[1:3])

  def of_tap(corner: jax.Array) -> jax.Array:
    start = (0, corner[0], corner[1], 0)
    under = lax.dynamic_slice(x, start, (x.shape[0], height, width, x.shape[3]))
    return product(under[:, ::stride, ::stride])

  # A loop, because unrolled, XLA gathers all taps before the first product: twice the memory.
  return lax.map(of_tap, jnp.array(list(np.ndindex(*shape[:2])))).reshape(shape)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _matmul_conv(x: jax.Array, kernel: jax.Array, stride: int, pads: Pads) -> jax.Array:
  return _forward(x, kernel, stride, pads)


def _matmul_conv_forward(x: jax.Array, kernel: jax.Array, stride: int, pads: Pads) -> Any:
  return _forward(x, kernel, stride, pads), (x, kernel)


def _matmul_conv_backward(stride: int, pads: Pads, saved: Any, dy: jax.Array) -> Any:
  x, kernel = saved
  shape = (x.shape, kernel.shape, stride, pads)
  if not winograd.fits(*shape) and spectral.worth_while(*shape):
    # Only the pixels' spectra are computed again, rather than kept.
    return jax.vjp(functools.partial(spectral.convolve, pads=pads), x, kernel)[1](dy)
  # Under jit an unused input gradient (the first layer's) is not computed.
  dx = (
    winograd.input_gradient(kernel, dy, pads)
    if winograd.worth_while(*shape)
    else _input_gradient(x.shape[1:3], kernel, dy, stride, pads)
  )
  dk = (
    winograd.kernel_gradient(x, dy, pads)
    if winograd.fits(*shape)
    else _kernel_gradient(x, kernel.shape, dy, stride, pads)
  )
  return dx, dk


_matmul_conv.defvjp(_matmul_conv_forward, _matmul_conv_backward)


# --- depthwise convolution as shifted multiply-adds ----------------------------------------------


def _weighted_taps(x: jax.Array, kernel: jax.Array, pads: Pads) -> jax.Array:
  shifted = taps(x, kernel.shape[:2], 1, pads)
  weights = kernel.reshape(-1, kernel.shape[-1])
  return functools.reduce(jnp.add, (tap * w for tap, w in zip(shifted, weights, strict=True)))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _shifted_depthwise(x: jax.Array, kernel: jax.Array, pads: Pads) -> jax.Array:
  return _weighted_taps(x, kernel, pads)


def _shifted_depthwise_forward(x: jax.Array, kernel: jax.Array, pads: Pads) -> Any:
  return _weighted_taps(x, kernel, pads), (x, kernel)


def _shifted_depthwise_backward(pads: Pads, saved: Any, dy: jax.Array) -> Any:
  x, kernel = saved
  window = kernel.shape[:2]
  sides = tuple(
    (k - 1 - before, k - 1 - after) for k, (before, after) in zip(window, pads, strict=True)
  )
  return (
    _weighted_taps(dy, kernel[::-1, ::-1], sides),  # type: ignore[arg-type]
    _depthwise_kernel_gradient(x, window, dy, pads).reshape(kernel.shape),
  )


def _depthwise_kernel_gradient(
  x: jax.Array, window: Sequence[int], dy: jax.Array, pads: Pads
) -> jax.Array:
  """The sum over pictures and pixels of each tap times dy, `[kh * kw, C]`.

  Picture by picture, adding products as they are made: XLA's sums over everything at once need each
  tap times dy in memory first, nine times the activations. In float32 at least: a sum of bfloat16
  loses more the larger the batch is.
  """
  wide = jnp.promote_types(dy.dtype, jnp.float32)

  def add(sums: tuple[jax.Array, ...], picture: tuple[jax.Array, jax.Array]) -> Any:
    one, d_one = (a[None].astype(wide) for a in picture)
    return tuple(
      total + (tap * d_one)[0] for total, tap in zip(sums, taps(one, window, 1, pads), strict=True)
    ), None

  nothing = jnp.zeros(dy.shape[1:], wide)
  sums, _ = lax.scan(add, (nothing,) * (window[0] * window[1]), (x, dy))
  return jnp.stack([jnp.sum(one, axis=(0, 1)) for one in sums]).astype(dy.dtype)


_shifted_depthwise.defvjp(_shifted_depthwise_forward, _shifted_depthwise_backward)
