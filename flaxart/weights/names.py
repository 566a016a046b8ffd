"""A network's parameters by path, and its structure without arrays."""

from __future__ import annotations

from typing import Any

from flax import nnx

from flaxart.models import create_trunk
from flaxart.models.layers import SeparableConv
from flaxart.models.trunk import Trunk


def abstract_trunk(model: str, variant: str) -> Trunk:
  """The network's structure and shapes; nothing is allocated."""
  return nnx.eval_shape(lambda: create_trunk(model, rngs=nnx.Rngs(0), variant=variant))


def expected_shapes(trunk: Trunk) -> dict[str, tuple[int, ...]]:
  """The shape of every parameter and statistic, by path."""
  flat = nnx.to_flat_state(nnx.state(trunk, (nnx.Param, nnx.BatchStat)))
  return {'/'.join(map(str, path)): tuple(leaf.shape) for path, leaf in flat}


def module_at(trunk: Trunk, path: str) -> Any:
  """The layer at a path such as `stage2/block1/conv3`."""
  node: Any = trunk
  for part in path.split('/'):
    node = getattr(node, part)
  return node


def is_separable(trunk: Trunk, path: str) -> bool:
  """Whether the layer is a depthwise convolution and a 1x1."""
  return isinstance(module_at(trunk, path), SeparableConv)
