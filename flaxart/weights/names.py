"""Which layer of an original is which layer of ours.

PyTorch state dicts name their layers, so those are looked up by name. Keras numbers unnamed layers
in a running count that depends on what was built before, so there the order decides, as in Keras
itself: the order of `model.layers`, which sorts by depth (distance from the output) and, at equal
depth, by time of creation.
"""

from __future__ import annotations

import re
from typing import Any

from flax import nnx

from flaxart.models import create_trunk
from flaxart.models.inception import Chain
from flaxart.models.trunk import Trunk
from flaxart.models.xception import SeparableConv


def abstract_trunk(model: str, variant: str) -> Trunk:
  """The network's structure and shapes; nothing is allocated."""
  return nnx.eval_shape(lambda: create_trunk(model, rngs=nnx.Rngs(0), variant=variant))


def expected_shapes(trunk: Trunk) -> dict[str, tuple[int, ...]]:
  """Shape of every parameter and statistic by its path."""
  flat = nnx.to_flat_state(nnx.state(trunk, (nnx.Param, nnx.BatchStat)))
  return {'/'.join(map(str, path)): tuple(leaf.shape) for path, leaf in flat}


def module_at(trunk: Trunk, path: str) -> Any:
  """The layer at a path such as `stage2/block1/conv3`."""
  node: Any = trunk
  for part in path.split('/'):
    node = getattr(node, part)
  return node


def layers_in_order(trunk: Trunk) -> list[str]:
  """Paths of all convolutions, separable ones as one, in the order of Keras's `model.layers`.

  Each kind of layer (convolution, separable convolution, BatchNorm) has its own running number, and
  in each kind this order holds.
  """
  return _ORDER[trunk.name](trunk)


def _vgg(trunk: Any) -> list[str]:
  return [
    f'stage{i}/conv{j}'
    for i in range(1, 6)
    for j in range(1, getattr(trunk, f'stage{i}').convs + 1)
  ]


def _resnet(trunk: Any) -> list[str]:
  paths = ['stem']
  for i in range(1, 5):
    for j in range(1, getattr(trunk, f'stage{i}').blocks + 1):
      block = f'stage{i}/block{j}'
      shortcut = [f'{block}/shortcut'] if module_at(trunk, block).shortcut is not None else []
      paths += [f'{block}/conv1', f'{block}/conv2', *shortcut, f'{block}/conv3']
  return paths


def _xception(trunk: Any) -> list[str]:
  paths = ['block1/conv1', 'block1/conv2']
  for i in range(2, 14):
    block = getattr(trunk, f'block{i}')
    paths += [f'block{i}/conv{k}' for k in range(1, block.convs + 1)]
    paths += [f'block{i}/shortcut'] if block.shortcut is not None else []
  return [*paths, 'block14/conv1', 'block14/conv2']


def _inception(trunk: Any) -> list[str]:
  paths = [
    f'{stem}/conv{k}'
    for stem in ('stem1', 'stem2')
    for k in range(1, getattr(trunk, stem).convs + 1)
  ]
  for name in trunk.blocks:
    block = getattr(trunk, name)
    placed = [
      (-depth, f'{name}/{branch}/conv{k}')
      for branch in block.branches
      for k, depth in enumerate(_depths(getattr(block, branch)), start=1)
    ]
    paths += [path for _, path in sorted(placed, key=lambda item: item[0])]  # stable: by creation
  return paths


def _depths(chain: Chain) -> list[int]:
  """Distance of each convolution of a branch from the block's concatenation, in layers.

  A convolution, its BatchNorm and its ReLU are three; a split branch ends in a concatenation of
  its own, and its last two convolutions are level.
  """
  levels = chain.convs - chain.split
  return [3 * (levels - min(k, levels - 1)) + chain.split for k in range(chain.convs)]


_ORDER = {'vgg19': _vgg, 'resnet50': _resnet, 'xception': _xception, 'inception_v3': _inception}

_MIXED = dict(
  zip(
    (f'mixed{i}' for i in range(11)),
    (
      'Mixed_5b',
      'Mixed_5c',
      'Mixed_5d',
      'Mixed_6a',
      'Mixed_6b',
      'Mixed_6c',
      'Mixed_6d',
      'Mixed_6e',
      'Mixed_7a',
      'Mixed_7b',
      'Mixed_7c',
    ),
    strict=True,
  )
)
_STEM = {
  'stem1/conv1': 'Conv2d_1a_3x3',
  'stem1/conv2': 'Conv2d_2a_3x3',
  'stem1/conv3': 'Conv2d_2b_3x3',
  'stem2/conv1': 'Conv2d_3b_1x1',
  'stem2/conv2': 'Conv2d_4a_3x3',
}


def torch_layer(trunk: Trunk, path: str) -> tuple[str, str]:
  """Names of a convolution and of its BatchNorm in torchvision's and timm's state dicts."""
  if trunk.name == 'vgg19':
    number, k = (int(n) for n in re.findall(r'\d+', path))
    before = sum(2 * getattr(trunk, f'stage{i}').convs + 1 for i in range(1, number))
    return f'features.{before + 2 * (k - 1)}', ''
  if trunk.name == 'resnet50':
    if path == 'stem':
      return 'conv1', 'bn1'
    stage, block, conv = path.split('/')
    prefix = f'layer{stage[-1]}.{int(block[5:]) - 1}'
    if conv == 'shortcut':
      return f'{prefix}.downsample.0', f'{prefix}.downsample.1'
    return f'{prefix}.{conv}', f'{prefix}.bn{conv[-1]}'
  if trunk.name == 'inception_v3':
    name = _STEM.get(path) or _torch_mixed(trunk, path)
    return f'{name}.conv', f'{name}.bn'
  return _torch_xception(trunk, path)


def _torch_mixed(trunk: Trunk, path: str) -> str:
  mixed, branch, conv = path.split('/')
  chain, k = module_at(trunk, f'{mixed}/{branch}'), int(conv[4:])
  suffix = f'_{k}' if chain.convs > 1 else ''
  if chain.split and k >= chain.convs - 1:
    suffix = f'_{chain.convs - 1}{"ab"[k - chain.convs + 1]}'
  return f'{_MIXED[mixed]}.{branch}{suffix}'


def _torch_xception(trunk: Trunk, path: str) -> tuple[str, str]:
  block, conv = path.split('/')
  number = int(block[5:])
  if number in (1, 14):
    k = int(conv[4:]) + (2 if number == 14 else 0)
    return f'conv{k}', f'bn{k}'
  prefix = f'block{number - 1}'
  if conv == 'shortcut':
    return f'{prefix}.skip', f'{prefix}.skipbn'
  # `rep` is [ReLU,] separable, BatchNorm, ReLU, separable, BatchNorm, ...
  index = 3 * (int(conv[4:]) - 1) + bool(module_at(trunk, block).relu_first)
  return f'{prefix}.rep.{index}', f'{prefix}.rep.{index + 1}'


def is_separable(trunk: Trunk, path: str) -> bool:
  """Whether the layer is a depthwise convolution and a 1x1."""
  return isinstance(module_at(trunk, path), SeparableConv)
