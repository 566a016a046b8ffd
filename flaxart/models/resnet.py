"""ResNet50: He et al., "Deep Residual Learning for Image Recognition", 2015, table 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
from flax import nnx

from flaxart.models.card import (
  HUB,
  KERAS,
  TORCH,
  TORCHVISION_LICENCE,
  Card,
  File,
  Official,
  Paper,
  Source,
)
from flaxart.models.layers import BatchNorm, Conv, Window, scaled
from flaxart.models.ops.pooling import max_pool
from flaxart.models.preprocess import caffe, imagenet_statistics
from flaxart.models.trunk import Trunk

CARD = Card(
  name='resnet50',
  title='ResNet50',
  min_size=32,
  features=2048,
  parameters=23_587_712,
  preprocess={'keras': caffe(), 'torchvision': imagenet_statistics(fit='crop', resize=256)},
  paper=Paper(
    'he2016deep',
    'He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian',
    'Deep Residual Learning for Image Recognition',
    'IEEE Conference on Computer Vision and Pattern Recognition (CVPR)',
    2016,
    '1512.03385',
  ),
  colour='#0072B2',
  marker='o',
  compiles_s=15,
  sources=(
    Source(
      'keras',
      variant='keras',
      builder='ResNet50',
      licence='MIT (Kaiming He)',
      # The first version ("v1"), the paper's.
      files=(
        Official(
          f'{KERAS}/resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5',
          size=94_765_736,
          md5='4d473c1dd8becc155b73f8504c6f6626',
        ),
      ),
      maps=('conv2_block3_out', 'conv4_block6_out', 'conv5_block3_out'),
    ),
    Source(
      'torchvision',
      variant='torchvision',
      builder='resnet50',
      licence=TORCHVISION_LICENCE,
      files=(
        # torchvision/models/resnet.py: the second generation is evaluated from a short side of 232.
        File(
          f'{TORCH}/resnet50-11ad3fa6.pth', preprocess=imagenet_statistics(fit='crop', resize=232)
        ),
        File(f'{TORCH}/resnet50-0676ba61.pth'),
      ),
      maps=('layer1', 'layer3', 'layer4'),
    ),
    Source(
      'timm',
      variant='torchvision',
      builder='resnet50',
      licence='Apache-2.0 (timm)',
      files=tuple(File(f'{HUB}/timm/resnet50.{name}_in1k') for name in ('a1', 'tv', 'tv2')),
      maps=('layer1', 'layer3', 'layer4'),
      preprocess=imagenet_statistics(fit='crop', resize=235, interpolation='bicubic'),
    ),
  ),
  maps=('stage1', 'stage3'),
)

BLOCKS = (3, 4, 6, 3)
CHANNELS = (64, 128, 256, 512)  # of the inner convolutions; a stage outputs four times as many


class ResNet50(Trunk):
  """50 layers, 2048 features, total stride 32.

  Two variants compute different things with the same parameter names:
  * `keras` (`keras/src/applications/resnet.py`, the paper's own network): each stage's stride is on
    its first 1x1 convolution, convolutions have a bias, BatchNorm's epsilon is 1.001e-5;
  * `torchvision` (`torchvision/models/resnet.py`, "v1.5"; timm's `resnet50` is the same): the
    stride is on the 3x3 convolution, no biases, epsilon 1e-5.
  """

  card = CARD
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

  def layers(self) -> list[str]:
    paths = ['stem']
    for i in range(1, 5):
      stage = getattr(self, f'stage{i}')
      for j in range(1, stage.blocks + 1):
        names = ['conv1', 'conv2', 'conv3']
        if getattr(stage, f'block{j}').shortcut is not None:
          names.insert(2, 'shortcut')
        paths += [f'stage{i}/block{j}/{name}' for name in names]
    return paths

  def torch_layer(self, path: str) -> tuple[str, str]:
    if path == 'stem':
      return 'conv1', 'bn1'
    stage, block, conv = path.split('/')
    prefix = f'layer{stage[-1]}.{int(block[5:]) - 1}'
    if conv == 'shortcut':
      return f'{prefix}.downsample.0', f'{prefix}.downsample.1'
    return f'{prefix}.{conv}', f'{prefix}.bn{conv[-1]}'


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
