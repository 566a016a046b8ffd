"""Xception: Chollet, "Deep Learning with Depthwise Separable Convolutions", 2016, figure 5."""

from __future__ import annotations

from collections.abc import Iterator

import jax
from flax import nnx

from flaxart.models import preprocess
from flaxart.models.layers import BatchNorm, Conv, Depthwise, Window, scaled
from flaxart.models.ops.pooling import max_pool
from flaxart.models.trunk import Trunk

ENTRY = {'block2': 128, 'block3': 256, 'block4': 728}  # output channels, stride 2 each
HALVING = Window(1, stride=2)
MIDDLE = ('block5', 'block6', 'block7', 'block8', 'block9', 'block10', 'block11', 'block12')


class Xception(Trunk):
  """36 convolutions, most of them depthwise separable; 2048 features, total stride 32.

  Two variants compute different things with the same parameter names:
  * `keras` (`keras/src/applications/xception.py`): max-pools are padded as SAME pads, BatchNorm's
    epsilon is 1e-3;
  * `timm` (`timm/models/xception.py`, `legacy_xception`): max-pools are padded by 1 on all sides,
    which shifts their windows by one pixel on maps of even size; epsilon is 1e-5.
  """

  name = 'xception'
  variants = ('keras', 'timm')
  min_size = 71

  def __init__(
    self,
    *,
    rngs: nnx.Rngs,
    width: float = 1.0,
    shallow: bool = False,
    variant: str = 'keras',
  ):
    self.variant = variant
    self.preprocess = (
      preprocess.plus_minus_one()
      if variant == 'keras'
      else preprocess.plus_minus_one(interpolation='bicubic', fit='crop', resize=333)
    )
    epsilon = 1e-3 if variant == 'keras' else 1e-5
    pool_padding = 'SAME' if variant == 'keras' else 1

    def conv(inputs: int, outputs: int, window: Window) -> Conv:
      return Conv(inputs, outputs, window, rngs=rngs, norm=BatchNorm(outputs, epsilon=epsilon))

    def separable(inputs: int, outputs: int) -> SeparableConv:
      return SeparableConv(Depthwise(inputs, 3, rngs=rngs), conv(inputs, outputs, Window(1)))

    channels = scaled(64, width)
    self.block1 = Pair(
      conv(3, scaled(32, width), Window(3, stride=2, padding='VALID')),
      conv(scaled(32, width), channels, Window(3, padding='VALID')),
    )
    for name, outputs in ENTRY.items():
      outputs = scaled(outputs, width)
      convs = [separable(channels, outputs), separable(outputs, outputs)]
      shortcut = conv(channels, outputs, HALVING)
      setattr(self, name, Residual(convs, shortcut, pool_padding, relu_first=name != 'block2'))
      channels = outputs
    self.middle = MIDDLE[:1] if shallow else MIDDLE
    for name in self.middle:
      setattr(self, name, Residual([separable(channels, channels) for _ in range(3)]))
    outputs = scaled(1024, width)
    self.block13 = Residual(
      [separable(channels, channels), separable(channels, outputs)],
      conv(channels, outputs, HALVING),
      pool_padding,
    )
    self.features = scaled(2048, width)
    self.block14 = Pair(
      separable(outputs, scaled(1536, width)), separable(scaled(1536, width), self.features)
    )

  def activations(self, images: jax.Array, *, train: bool) -> Iterator[tuple[str, jax.Array]]:
    x = self.block1(images, train=train)
    yield 'block1', x  # [B, H/2, W/2, 64]
    for name in ENTRY:
      x = getattr(self, name)(x, train=train)
      yield name, x  # [B, H/4 | H/8 | H/16, W/.., 128 | 256 | 728]
    for name in self.middle:
      x = getattr(self, name)(x, train=train)
      yield name, x  # [B, H/16, W/16, 728]
    x = self.block13(x, train=train)
    yield 'block13', x  # [B, H/32, W/32, 1024]
    x = self.block14(x, train=train)
    yield 'block14', x  # [B, H/32, W/32, 2048]


class SeparableConv(nnx.Module):
  """A depthwise 3x3, then a 1x1 with BatchNorm; nothing between them."""

  def __init__(self, depthwise: Depthwise, pointwise: Conv):
    self.depthwise = depthwise
    self.pointwise = pointwise

  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """`[B, H, W, inputs]` -> `[B, H, W, outputs]`."""
    return self.pointwise(self.depthwise(x), train=train)


class Pair(nnx.Module):
  """Two convolutions, a ReLU after each: the first and the last block."""

  def __init__(self, conv1: Conv | SeparableConv, conv2: Conv | SeparableConv):
    self.conv1 = conv1
    self.conv2 = conv2

  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    return nnx.relu(self.conv2(nnx.relu(self.conv1(x, train=train)), train=train))


class Residual(nnx.Module):
  """Separable convolutions, a ReLU before each, and the input added; a shortcut halves the size."""

  def __init__(
    self,
    convs: list[SeparableConv],
    shortcut: Conv | None = None,
    pool_padding: str | int = 'SAME',
    *,
    relu_first: bool = True,
  ):
    self.convs = len(convs)
    self.pool_padding = pool_padding
    self.relu_first = relu_first
    self.shortcut = shortcut
    for i, conv in enumerate(convs, start=1):
      setattr(self, f'conv{i}', conv)

  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """`[B, H, W, inputs]` -> `[B, H, W, inputs]`, or `[B, H/2, W/2, outputs]` with a shortcut."""
    inputs = x
    for i in range(1, self.convs + 1):
      if i > 1 or self.relu_first:
        x = nnx.relu(x)
      x = getattr(self, f'conv{i}')(x, train=train)
    if self.shortcut is None:
      return x + inputs
    x = max_pool(x, 3, stride=2, padding=self.pool_padding)
    return x + self.shortcut(inputs, train=train)
