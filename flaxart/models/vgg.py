"""VGG19: Simonyan and Zisserman, "Very Deep Convolutional Networks", 2014, table 1, column E."""

from __future__ import annotations

import re
from collections.abc import Iterator

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
from flaxart.models.layers import Conv, Window, scaled
from flaxart.models.ops.pooling import max_pool
from flaxart.models.preprocess import caffe, imagenet_statistics
from flaxart.models.trunk import Trunk

CARD = Card(
  name='vgg19',
  title='VGG19',
  min_size=32,
  features=512,
  parameters=20_024_384,
  preprocess={'keras': caffe(), 'torchvision': imagenet_statistics(fit='crop', resize=256)},
  paper=Paper(
    'simonyan2015very',
    'Simonyan, Karen and Zisserman, Andrew',
    'Very Deep Convolutional Networks for Large-Scale Image Recognition',
    'International Conference on Learning Representations (ICLR)',
    2015,
    '1409.1556',
  ),
  colour='#CC79A7',
  marker='^',
  compiles_s=13,
  sources=(
    Source(
      'keras',
      variant='keras',
      builder='VGG19',
      licence='CC BY 4.0 (Visual Geometry Group, University of Oxford)',
      files=(
        Official(
          f'{KERAS}/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5',
          size=80_134_624,
          md5='253f8cb515780f3b799900260a226db6',
        ),
      ),
      maps=('block2_pool', 'block4_pool', 'block5_pool'),
      classifier=('fc1', 'fc2', 'predictions'),
    ),
    Source(
      'torchvision',
      variant='torchvision',
      builder='vgg19',
      licence=TORCHVISION_LICENCE,
      files=(File(f'{TORCH}/vgg19-dcbb9e9d.pth'),),
      maps=('features.9', 'features.27', 'features'),
      classifier=('classifier.0', 'classifier.3', 'classifier.6'),
    ),
    Source(
      'timm',
      variant='torchvision',
      builder='vgg19',
      licence='BSD-3-Clause (torchvision, through timm)',
      files=(File(f'{HUB}/timm/vgg19.tv_in1k'),),
      maps=('features.9', 'features.27', 'features'),
      classifier=('pre_logits.fc1', 'pre_logits.fc2', 'head.fc'),
    ),
  ),
  maps=('stage2', 'stage4'),
  classifier=('fc1', 'fc2', 'predictions'),
  classifier_map=7,
)

CONVS = (2, 2, 4, 4, 4)
CHANNELS = (64, 128, 256, 512, 512)


class VGG19(Trunk):
  """16 convolutions of 3x3 with bias, five max-pools, 512 features, total stride 32.

  The paper's three dense layers are not part of the trunk. Both variants compute the same:
  * `keras` (`keras/src/applications/vgg19.py`) expects BGR minus ImageNet's mean;
  * `torchvision` (`torchvision/models/vgg.py`; timm's `vgg19` is the same) expects RGB, normalised.
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
    channels = 3
    for i, (convs, outputs) in enumerate(zip(CONVS, CHANNELS, strict=True), start=1):
      outputs = scaled(outputs, width)
      setattr(self, f'stage{i}', Stage(1 if shallow else convs, channels, outputs, rngs=rngs))
      channels = outputs
    self.features = channels

  def activations(self, images: jax.Array, *, train: bool) -> Iterator[tuple[str, jax.Array]]:
    x = images
    for i in range(1, 6):
      x = getattr(self, f'stage{i}')(x, train=train)
      x = max_pool(x, 2, stride=2)
      yield f'stage{i}', x  # [B, H/2^i, W/2^i, 64 | 128 | 256 | 512 | 512]

  def layers(self) -> list[str]:
    stages = [(f'stage{i}', getattr(self, f'stage{i}').convs) for i in range(1, 6)]
    return [f'{name}/conv{j}' for name, convs in stages for j in range(1, convs + 1)]

  def torch_layer(self, path: str) -> tuple[str, str]:
    number, k = (int(n) for n in re.findall(r'\d+', path))
    before = sum(2 * getattr(self, f'stage{i}').convs + 1 for i in range(1, number))
    return f'features.{before + 2 * (k - 1)}', ''


class Stage(nnx.Module):
  """Convolutions at one resolution, a ReLU after each."""

  def __init__(self, convs: int, inputs: int, outputs: int, *, rngs: nnx.Rngs):
    self.convs = convs
    for i in range(1, convs + 1):
      conv = Conv(inputs if i == 1 else outputs, outputs, Window(3), rngs=rngs, use_bias=True)
      setattr(self, f'conv{i}', conv)

  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """`[B, H, W, inputs]` -> `[B, H, W, outputs]`."""
    for i in range(1, self.convs + 1):
      x = nnx.relu(getattr(self, f'conv{i}')(x, train=train))
    return x
