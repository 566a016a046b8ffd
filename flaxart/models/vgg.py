"""VGG19: Simonyan and Zisserman, "Very Deep Convolutional Networks", 2014, table 1, column E."""

from __future__ import annotations

from collections.abc import Iterator

import jax
from flax import nnx

from flaxart.models import preprocess
from flaxart.models.layers import Conv, Window, scaled
from flaxart.models.ops.pooling import max_pool
from flaxart.models.trunk import Trunk

CONVS = (2, 2, 4, 4, 4)
CHANNELS = (64, 128, 256, 512, 512)


class VGG19(Trunk):
  """16 convolutions of 3x3 with bias, five max-pools, 512 features, total stride 32.

  The paper's three dense layers are no part of the trunk. Both variants compute the same:
  * `keras` (`keras/src/applications/vgg19.py`) expects BGR minus ImageNet's mean;
  * `torchvision` (`torchvision/models/vgg.py`; timm's `vgg19` is the same) expects RGB, normalised.
  """

  name = 'vgg19'
  variants = ('keras', 'torchvision')
  min_size = 32

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
