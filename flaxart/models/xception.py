"""Xception: Chollet, "Deep Learning with Depthwise Separable Convolutions", 2016, figure 5."""

from __future__ import annotations

from collections.abc import Iterator

import jax
from flax import nnx

from flaxart.models.card import HUB, KERAS, Card, File, Official, Paper, Source
from flaxart.models.layers import BatchNorm, Conv, Depthwise, SeparableConv, Window, scaled
from flaxart.models.ops.pooling import max_pool
from flaxart.models.preprocess import plus_minus_one
from flaxart.models.trunk import Trunk

CARD = Card(
  name='xception',
  title='Xception',
  min_size=71,
  features=2048,
  parameters=20_861_480,
  preprocess={
    'keras': plus_minus_one(),
    'timm': plus_minus_one(fit='crop', resize=333, interpolation='bicubic'),
  },
  paper=Paper(
    'chollet2017xception',
    r'Chollet, Fran{\c c}ois',
    '{Xception}: Deep Learning with Depthwise Separable Convolutions',
    'IEEE Conference on Computer Vision and Pattern Recognition (CVPR)',
    2017,
    '1610.02357',
  ),
  colour='#444444',
  marker='D',
  compiles_s=14,
  sources=(
    Source(
      'keras',
      variant='keras',
      builder='Xception',
      licence='Apache-2.0 (Keras)',
      files=(
        Official(
          f'{KERAS}/xception/xception_weights_tf_dim_ordering_tf_kernels_notop.h5',
          size=83_683_744,
          md5='b0042744bf5b25fce3cb969f33bebb97',
        ),
      ),
      maps=('Add 2', 'Add 10', 'block14_sepconv2_act'),
    ),
    Source(
      'timm',
      variant='timm',
      builder='legacy_xception',
      licence='Apache-2.0 (timm)',
      files=(File(f'{HUB}/timm/legacy_xception.tf_in1k'),),
      maps=('block3', 'block11', 'act4'),
    ),
  ),
  maps=('block4', 'block12'),
)

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

  card = CARD

  def __init__(
    self,
    *,
    rngs: nnx.Rngs,
    width: float = 1.0,
    shallow: bool = False,
    variant: str = 'keras',
  ):
    self.variant = variant
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

  def layers(self) -> list[str]:
    paths = ['block1/conv1', 'block1/conv2']
    for name in (*ENTRY, *self.middle, 'block13'):
      block = getattr(self, name)
      paths += [f'{name}/conv{k}' for k in range(1, block.convs + 1)]
      paths += [f'{name}/shortcut'] if block.shortcut is not None else []
    return [*paths, 'block14/conv1', 'block14/conv2']

  def torch_layer(self, path: str) -> tuple[str, str]:
    block, conv = path.split('/')
    number = int(block[5:])
    if number in (1, 14):
      k = int(conv[4:]) + (2 if number == 14 else 0)
      return f'conv{k}', f'bn{k}'
    prefix = f'block{number - 1}'
    if conv == 'shortcut':
      return f'{prefix}.skip', f'{prefix}.skipbn'
    # `rep` is [ReLU,] separable, BatchNorm, ReLU, separable, BatchNorm, ...
    index = 3 * (int(conv[4:]) - 1) + bool(getattr(self, block).relu_first)
    return f'{prefix}.rep.{index}', f'{prefix}.rep.{index + 1}'


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
