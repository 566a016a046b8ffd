"""Convolution and BatchNorm: the layers that the networks are made of.

Shapes are `[B, H, W, C]`. Parameters and BatchNorm's statistics are float32; a layer computes in
the dtype of its input, and takes sums over pictures and pixels in float32 at least.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from flaxart.models.ops.convolution import Padding, convolve, convolve_depthwise
from flaxart.models.ops.kernel_forms import kernel_form


class BatchNorm(nnx.Module):
  """Normalises each channel; Ioffe and Szegedy, "Batch Normalization", 2015.

  With `train=True` the statistics are those of the batch and move the running ones
  (`new = momentum * old + (1 - momentum) * batch`, biased variance as in Keras); with `train=False`
  they are the running ones. A `frozen` layer always uses its running statistics and never moves
  them: the default for fine-tuning a converted trunk, because statistics of small batches of
  pictures unlike ImageNet undo what the weights were trained for (Keras's transfer-learning guide
  gives the same advice), and the only choice for a layer whose parameters do not learn.

  A frozen layer with `keras2` still uses the statistics of the batch in training, and leaves the
  running ones alone: the meaning of `trainable=False` in Keras 2 before TensorFlow 2.

  `axis_name` is for `shard_map` and averages the statistics over that mesh axis; under `jit` they
  are over the global batch without it.
  """

  def __init__(
    self, features: int, *, epsilon: float, momentum: float = 0.99, use_scale: bool = True
  ):
    self.epsilon = epsilon
    self.momentum = momentum
    self.use_scale = use_scale
    self.frozen = False
    self.keras2 = False
    self.axis_name: str | None = None
    self.scale = nnx.Param(jnp.ones(features)) if use_scale else None
    self.bias = nnx.Param(jnp.zeros(features))
    self.mean = nnx.BatchStat(jnp.zeros(features))
    self.var = nnx.BatchStat(jnp.ones(features))

  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """`[B, H, W, C]` -> the same shape and dtype; arithmetic in float32 at least."""
    mean, var = self.mean[...], self.var[...]
    if self.uses_batch(train=train):
      mean, var = self._batch_statistics(x, mean)
    if train and not self.frozen:
      for running, batch in ((self.mean, mean), (self.var, var)):
        moved = self.momentum * running[...] + (1 - self.momentum) * lax.stop_gradient(batch)
        # `running[...] =` compares shardings, for which JAX traces each value to its origin: that
        # took half of the time of tracing a step of ResNet50.
        running.set_value(moved)
    scale, offset = self.scale_and_offset(mean, var)
    return (x * scale + offset).astype(x.dtype)

  def uses_batch(self, *, train: bool) -> bool:
    """Whether the statistics are those of the batch, not the running ones."""
    return train and (self.keras2 or not self.frozen)

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


@dataclasses.dataclass(frozen=True)
class Window:
  """The window of a convolution: its size, and the stride between outputs.

  `size` is one side, or height and width.
  """

  size: int | tuple[int, int]
  stride: int = 1
  padding: Padding = 'SAME'

  @property
  def sides(self) -> tuple[int, int]:
    """Height and width."""
    return (self.size, self.size) if isinstance(self.size, int) else self.size


class Conv(nnx.Module):
  """Convolution, then its bias and its BatchNorm if it has them.

  The norm belongs to the convolution that it follows, which lets it be folded into the kernel: see
  `flaxart.models.fold`.
  """

  def __init__(
    self,
    inputs: int,
    outputs: int,
    window: Window,
    *,
    rngs: nnx.Rngs,
    use_bias: bool = False,
    norm: BatchNorm | None = None,
  ):
    self.window = window
    init = jax.nn.initializers.he_uniform()
    self.kernel = nnx.Param(init(rngs.params(), (*window.sides, inputs, outputs), jnp.float32))
    # `data`: folding adds a bias to layers without one.
    self.bias = nnx.data(nnx.Param(jnp.zeros(outputs)) if use_bias else None)
    self.norm = norm

  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """`[B, H, W, inputs]` -> `[B, H', W', outputs]`."""
    kernel = self.kernel[...].astype(x.dtype)
    x = convolve(x, kernel, stride=self.window.stride, padding=self.window.padding)
    return self.finish(x, train=train)

  def finish(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Applies what follows the convolution itself: bias and norm."""
    if self.bias is not None:
      bias = self.bias[...]
      if self.norm is not None and self.norm.uses_batch(train=train):
        bias = lax.stop_gradient(bias)  # whose mean the norm takes off again: its gradient is zero
      x = add_bias(x, bias)
    return x if self.norm is None else self.norm(x, train=train)


@jax.custom_vjp
def add_bias(x: jax.Array, bias: jax.Array) -> jax.Array:
  """`[B, H, W, C]` plus `[C]`, in the dtype of `x`.

  Derived by JAX, the bias's gradient would be a sum over a whole feature map in that dtype: in
  bfloat16 it stands still where its terms are a 256th of it.
  """
  return x + bias.astype(x.dtype)


def _add_bias_forward(x: jax.Array, bias: jax.Array) -> tuple[jax.Array, None]:
  return add_bias(x, bias), None


def _add_bias_backward(_: None, dy: jax.Array) -> tuple[jax.Array, jax.Array]:
  wide = jnp.promote_types(dy.dtype, jnp.float32)
  return dy, jnp.sum(dy.astype(wide), axis=tuple(range(dy.ndim - 1)))


add_bias.defvjp(_add_bias_forward, _add_bias_backward)


def pointwise(convs: Sequence[Conv], x: jax.Array) -> list[jax.Array]:
  """1x1 convolutions of the same `[B, H, W, inputs]`, unfinished, as one: a wide product is faster
  than narrow ones.
  """
  kernels = [conv.kernel[...].astype(x.dtype) for conv in convs]
  y = convolve(x, kernel_form(_joined, kernels))
  return list(lax.split(y, [kernel.shape[-1] for kernel in kernels], axis=-1))


def _joined(kernels: Sequence[jax.Array]) -> jax.Array:
  return jnp.concatenate(kernels, axis=-1)


class Depthwise(nnx.Module):
  """One kernel per channel, stride 1, no bias (a `Conv` always follows)."""

  def __init__(self, features: int, window: int, *, rngs: nnx.Rngs):
    init = jax.nn.initializers.he_uniform()
    self.kernel = nnx.Param(init(rngs.params(), (window, window, 1, features), jnp.float32))

  def __call__(self, x: jax.Array) -> jax.Array:
    """`[B, H, W, C]` -> the same shape."""
    return convolve_depthwise(x, self.kernel[...].astype(x.dtype))


class SeparableConv(nnx.Module):
  """A depthwise convolution, then a 1x1 with BatchNorm; nothing between them."""

  def __init__(self, depthwise: Depthwise, pointwise: Conv):
    self.depthwise = depthwise
    self.pointwise = pointwise

  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """`[B, H, W, inputs]` -> `[B, H, W, outputs]`."""
    return self.pointwise(self.depthwise(x), train=train)


def batch_norms(module: nnx.Module) -> Iterator[tuple[tuple[Any, ...], BatchNorm]]:
  """Every BatchNorm of a network, with its path."""
  for path, node in nnx.iter_graph(module):
    if isinstance(node, BatchNorm):
      yield path, node


def scaled(channels: int, width: float) -> int:
  """A channel count under the width multiplier, at least 1."""
  return max(1, math.floor(channels * width + 0.5))
