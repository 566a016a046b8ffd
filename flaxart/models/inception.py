"""Inception-V3: Szegedy et al., "Rethinking the Inception Architecture", 2015, table 1."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
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
from flaxart.models.layers import BatchNorm, Conv, Window, pointwise, scaled
from flaxart.models.ops.pooling import average_pool, max_pool
from flaxart.models.preprocess import plus_minus_one
from flaxart.models.trunk import Trunk

MakeConv = Callable[..., Conv]
TORCH_STEMS = {
  'stem1': ('Conv2d_1a_3x3', 'Conv2d_2a_3x3', 'Conv2d_2b_3x3'),
  'stem2': ('Conv2d_3b_1x1', 'Conv2d_4a_3x3'),
}
TORCH_MIXED = ('5b', '5c', '5d', '6a', '6b', '6c', '6d', '6e', '7a', '7b', '7c')
CARD = Card(
  name='inception_v3',
  title='Inception-V3',
  min_size=75,
  features=2048,
  parameters=21_802_784,
  preprocess={
    'keras': plus_minus_one(),
    'torchvision': plus_minus_one(fit='crop', resize=342),
  },
  paper=Paper(
    'szegedy2016rethinking',
    'Szegedy, Christian and Vanhoucke, Vincent and Ioffe, Sergey and Shlens, Jon and '
    'Wojna, Zbigniew',
    'Rethinking the Inception Architecture for Computer Vision',
    'IEEE Conference on Computer Vision and Pattern Recognition (CVPR)',
    2016,
    '1512.00567',
  ),
  colour='#009E73',
  marker='s',
  compiles_s=25,
  sources=(
    Source(
      'keras',
      variant='keras',
      builder='InceptionV3',
      licence='Apache-2.0 (Google)',
      files=(
        Official(
          f'{KERAS}/inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5',
          size=87_910_968,
          md5='bcbd6486424b2319ff4ef7d526e38f63',
        ),
      ),
      maps=('mixed2', 'mixed7', 'mixed10'),
    ),
    Source(
      'torchvision',
      variant='torchvision',
      builder='inception_v3',
      licence=TORCHVISION_LICENCE,
      files=(File(f'{TORCH}/inception_v3_google-0cc3c7bd.pth'),),
      maps=('Mixed_5d', 'Mixed_6e', 'Mixed_7c'),
    ),
    Source(
      'timm',
      variant='torchvision',
      builder='inception_v3',
      licence='Apache-2.0 (timm)',
      files=tuple(File(f'{HUB}/timm/inception_v3.{name}_in1k') for name in ('tv', 'tf')),
      maps=('Mixed_5d', 'Mixed_6e', 'Mixed_7c'),
      preprocess=plus_minus_one(fit='crop', resize=341, interpolation='bicubic'),
    ),
  ),
  maps=('mixed2', 'mixed7'),
)


class InceptionV3(Trunk):
  """94 convolutions in eleven `mixed` blocks, 2048 features, total stride 32; no auxiliary head.

  Two variants compute different things with the same parameter names:
  * `keras` (`keras/src/applications/inception_v3.py`): BatchNorm has no scale, and average pools
    divide by the pixels inside the picture;
  * `torchvision` (`torchvision/models/inception.py`; timm's `inception_v3` is the same): BatchNorm
    has a scale, and average pools count the padding. torchvision's `transform_input`, which undoes
    its usual normalisation, is not part of the network: here pictures are scaled to [-1, 1]
    directly.
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
    count_padding = variant != 'keras'

    def conv(inputs: int, outputs: int, *window: Any) -> Conv:
      # Channels inside blocks are scaled here; `inputs` is the scaled count already.
      outputs = scaled(outputs, width)
      norm = BatchNorm(outputs, epsilon=1e-3, use_scale=variant != 'keras')
      return Conv(inputs, outputs, Window(*window), rngs=rngs, norm=norm)

    def chain(inputs: int, *convs: tuple, split: bool = False) -> Chain:
      return Chain(conv, inputs, convs, split=split)

    def mixed(inputs: int, pool: str, **branches: Chain) -> Mixed:
      return Mixed(inputs, branches, pool, count_padding)

    self.stem1 = chain(3, (32, 3, 2, 'VALID'), (32, 3, 1, 'VALID'), (64, 3))
    self.stem2 = chain(self.stem1.outputs, (80, 1), (192, 3, 1, 'VALID'))
    n = self.stem2.outputs
    self.blocks: tuple[str, ...] = ()

    def add(name: str, block: Mixed) -> int:
      setattr(self, name, block)
      self.blocks += (name,)
      return block.outputs

    for i, pool in enumerate((32, 64, 64)[: 1 if shallow else 3]):  # [B, H/8, W/8, 256 | 288 | 288]
      n = add(
        f'mixed{i}',
        mixed(
          n,
          'average',
          branch1x1=chain(n, (64, 1)),
          branch5x5=chain(n, (48, 1), (64, 5)),
          branch3x3dbl=chain(n, (64, 1), (96, 3), (96, 3)),
          branch_pool=chain(n, (pool, 1)),
        ),
      )
    n = add(
      'mixed3',
      mixed(  # [B, H/16, W/16, 768]
        n,
        'max',
        branch3x3=chain(n, (384, 3, 2, 'VALID')),
        branch3x3dbl=chain(n, (64, 1), (96, 3), (96, 3, 2, 'VALID')),
      ),
    )
    for i, c in enumerate((128, 160, 160, 192)[: 1 if shallow else 4], start=4):  # [B, .., .., 768]
      n = add(
        f'mixed{i}',
        mixed(
          n,
          'average',
          branch1x1=chain(n, (192, 1)),
          branch7x7=chain(n, (c, 1), (c, (1, 7)), (192, (7, 1))),
          branch7x7dbl=chain(n, (c, 1), (c, (7, 1)), (c, (1, 7)), (c, (7, 1)), (192, (1, 7))),
          branch_pool=chain(n, (192, 1)),
        ),
      )
    n = add(
      'mixed8',
      mixed(  # [B, H/32, W/32, 1280]
        n,
        'max',
        branch3x3=chain(n, (192, 1), (320, 3, 2, 'VALID')),
        branch7x7x3=chain(n, (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2, 'VALID')),
      ),
    )
    for i in range(9, 10 if shallow else 11):  # [B, H/32, W/32, 2048]
      n = add(
        f'mixed{i}',
        mixed(
          n,
          'average',
          branch1x1=chain(n, (320, 1)),
          branch3x3=chain(n, (384, 1), (384, (1, 3)), (384, (3, 1)), split=True),
          branch3x3dbl=chain(n, (448, 1), (384, 3), (384, (1, 3)), (384, (3, 1)), split=True),
          branch_pool=chain(n, (192, 1)),
        ),
      )
    self.features = n

  def activations(self, images: jax.Array, *, train: bool) -> Iterator[tuple[str, jax.Array]]:
    x = max_pool(self.stem1(images, train=train), 3, stride=2)
    yield 'stem1', x  # [B, H/4, W/4, 64]
    x = max_pool(self.stem2(x, train=train), 3, stride=2)
    yield 'stem2', x  # [B, H/8, W/8, 192]
    for name in self.blocks:
      x = getattr(self, name)(x, train=train)
      yield name, x

  def layers(self) -> list[str]:
    stems = [(name, getattr(self, name).convs) for name in TORCH_STEMS]
    paths = [f'{name}/conv{k}' for name, convs in stems for k in range(1, convs + 1)]
    for name in self.blocks:
      block = getattr(self, name)
      placed = [
        (-depth, f'{name}/{branch}/conv{k}')
        for branch in block.branches
        for k, depth in enumerate(getattr(block, branch).depths(), start=1)
      ]
      # By falling depth; at equal depth, because sorting is stable, by creation.
      paths += [path for _, path in sorted(placed, key=lambda item: item[0])]
    return paths

  def torch_layer(self, path: str) -> tuple[str, str]:
    name, *branch, conv = path.split('/')
    k = int(conv[4:])
    if name in TORCH_STEMS:
      prefix = TORCH_STEMS[name][k - 1]
    else:
      chain: Chain = getattr(getattr(self, name), *branch)
      suffix = f'_{k}' if chain.convs > 1 else ''
      if chain.split and k >= chain.convs - 1:
        suffix = f'_{chain.convs - 1}{"ab"[k - chain.convs + 1]}'
      prefix = f'Mixed_{TORCH_MIXED[int(name[5:])]}.{branch[0]}{suffix}'
    return f'{prefix}.conv', f'{prefix}.bn'


class Chain(nnx.Module):
  """Convolutions one after the other, a ReLU after each.

  `convs` are `(outputs, size[, stride[, padding]])`, as in `Window`. With `split` the last two are
  parallel on the same input, and their outputs are concatenated.
  """

  conv1: Conv

  def __init__(self, conv: MakeConv, inputs: int, convs: tuple[tuple, ...], *, split: bool):
    self.convs = len(convs)
    self.split = split
    for i, (outputs, *window) in enumerate(convs, start=1):
      made = conv(inputs, outputs, *window)
      setattr(self, f'conv{i}', made)
      channels = made.kernel.shape[-1]
      if not split or i < self.convs - 1:
        inputs = channels
    self.outputs = 2 * channels if split else channels

  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    return self.after(self.conv1(x, train=train), train=train)

  def after(self, x: jax.Array, *, train: bool) -> jax.Array:
    """The chain after the first convolution's output, before its ReLU."""
    x = nnx.relu(x)
    for i in range(2, self.convs + 1 - 2 * self.split):
      x = nnx.relu(getattr(self, f'conv{i}')(x, train=train))
    if not self.split:
      return x
    last = (getattr(self, f'conv{i}') for i in (self.convs - 1, self.convs))
    return jnp.concatenate([nnx.relu(conv(x, train=train)) for conv in last], axis=-1)

  def depths(self) -> list[int]:
    """Distance of each convolution from the block's concatenation, in Keras's layers.

    A convolution, its BatchNorm and its ReLU are three; a split chain ends in a concatenation of
    its own, and its last two convolutions are at equal depth.
    """
    levels = self.convs - self.split
    return [3 * (levels - min(k, levels - 1)) + self.split for k in range(self.convs)]


class Mixed(nnx.Module):
  """Branches side by side, concatenated in the order given; the last comes from a pool.

  With `pool='average'` its convolution is `branch_pool`; with `'max'` (stride 2) it has none.
  """

  def __init__(self, inputs: int, branches: dict[str, Chain], pool: str, count_padding: bool):
    self.branches = tuple(branches)
    self.pool = pool
    self.count_padding = count_padding
    for name, branch in branches.items():
      setattr(self, name, branch)
    self.outputs = sum(b.outputs for b in branches.values()) + (inputs if pool == 'max' else 0)

  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    branches = {name: getattr(self, name) for name in self.branches}
    narrow = {n: b.conv1 for n, b in branches.items() if b.conv1.kernel.shape[:2] == (1, 1)}
    first = dict(zip(narrow, pointwise(list(narrow.values()), x), strict=True))
    outputs = []
    for name, branch in branches.items():
      if name not in narrow:
        outputs.append(branch(x, train=train))
        continue
      y = first[name]
      if name == 'branch_pool':
        # An average of products is the product of the average, and has fewer channels.
        y = average_pool(y, 3, count_padding=self.count_padding)
      outputs.append(branch.after(branch.conv1.finish(y, train=train), train=train))
    if self.pool == 'max':
      outputs.append(max_pool(x, 3, stride=2))
    return jnp.concatenate(outputs, axis=-1)
