"""ResNet50: He et al., "Deep Residual Learning for Image Recognition", 2015, table 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
from flax import nnx

from flaxart.models import preprocess
from flaxart.models.layers import BatchNorm, Conv, Window, scaled
from flaxart.models.ops.pooling import max_pool
from flaxart.models.trunk import Trunk

BLOCKS = (3, 4, 6, 3)
CHANNELS = (64, 128, 256, 512)  # of the inner convolutions; a stage puts out four times as many


class ResNet50(Trunk):
  """50 layers, 2048 features, total stride 32.

  Two variants compute different things with the same parameter names:
  * `keras` (`keras/src/applications/resnet.py`, the paper's own network): each stage's stride is on
    its first 1x1 convolution, convolutions have a bias, BatchNorm's epsilon is 1.001e-5;
  * `torchvision` (`torchvision/models/resnet.py`, "v1.5"; timm's `resnet50` is the same): the
    stride is on the 3x3 convolution, no biases, epsilon 1e-5.
  """

  name = 'resnet50'
  variants = ('keras', 'torchvision')
  min_size = 32
  stage1: Stage
  stage2: Stage
  stage3: Stage
  stage4: Stage

  def __init__(
    self,
    *,
    rngs: nnx.Rngs,
    width: float = 1.0,
    shallow: bool = False,
    variant: str = 'keras',
  ):
    self.variant = variant
    self.preprocess = preprocess.caffe() if variant == 'keras' else preprocess.imagenet_statistics()
    epsilon = 1.001e-5 if variant == 'keras' else 1e-5

    def conv(inputs: int, outputs: int, size: int, *, stride: int = 1) -> Conv:
      norm = BatchNorm(outputs, epsilon=epsilon)
      # Symmetric padding in both variants, where SAME would pad stride 2 at the end only.
      window = Window(size, stride, padding=size // 2)
      return Conv(inputs, outputs, window, rngs=rngs, use_bias=variant == 'keras', norm=norm)

    channels = scaled(64, width)
    self.stem = conv(3, channels, 7, stride=2)
    for i, (blocks, inner) in enumerate(zip(BLOCKS, CHANNELS, strict=True), start=1):
      stage = Stage(
        1 if shallow else blocks,
        channels,
        scaled(inner, width),
        stride=1 if i == 1 else 2,
        variant=variant,
        conv=conv,
      )
      setattr(self, f'stage{i}', stage)
      channels = stage.features
    self.features = channels

  def activations(self, images: jax.Array, *, train: bool) -> Iterator[tuple[str, jax.Array]]:
    x = nnx.relu(self.stem(images, train=train))
    yield 'stem', x  # [B, H/2, W/2, 64]
    x = max_pool(x, 3, stride=2, padding=1)
    x = self.stage1(x, train=train)
    yield 'stage1', x  # [B, H/4, W/4, 256]
    x = self.stage2(x, train=train)
    yield 'stage2', x  # [B, H/8, W/8, 512]
    x = self.stage3(x, train=train)
    yield 'stage3', x  # [B, H/16, W/16, 1024]
    x = self.stage4(x, train=train)
    yield 'stage4', x  # [B, H/32, W/32, 2048]


class Stage(nnx.Module):
  """Blocks at one resolution; the first changes it."""

  def __init__(self, blocks: int, inputs: int, inner: int, *, stride: int, variant: str, conv: Any):
    for i in range(1, blocks + 1):
      first = i == 1
      block = Bottleneck(
        inputs if first else 4 * inner,
        inner,
        stride=stride if first else 1,
        variant=variant,
        conv=conv,
      )
      setattr(self, f'block{i}', block)
    self.blocks = blocks
    self.features = 4 * inner

  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    for i in range(1, self.blocks + 1):
      x = getattr(self, f'block{i}')(x, train=train)
    return x


class Bottleneck(nnx.Module):
  """1x1 down, 3x3, 1x1 up, and the input added; the shortcut is a 1x1 where the shape changes."""

  def __init__(self, inputs: int, inner: int, *, stride: int, variant: str, conv: Any):
    first, second = (stride, 1) if variant == 'keras' else (1, stride)
    self.conv1 = conv(inputs, inner, 1, stride=first)
    self.conv2 = conv(inner, inner, 3, stride=second)
    self.conv3 = conv(inner, 4 * inner, 1)
    changes = stride != 1 or inputs != 4 * inner
    self.shortcut = conv(inputs, 4 * inner, 1, stride=stride) if changes else None

  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """`[B, H, W, inputs]` -> `[B, H/stride, W/stride, 4 * inner]`."""
    shortcut = x if self.shortcut is None else self.shortcut(x, train=train)
    x = nnx.relu(self.conv1(x, train=train))
    x = nnx.relu(self.conv2(x, train=train))
    return nnx.relu(self.conv3(x, train=train) + shortcut)
