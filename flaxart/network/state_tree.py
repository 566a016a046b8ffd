"""A stored train state: plain nested dictionaries of arrays that anyone can read.

`state` is the network (`params`, `batch_stats`) and `step`, `optimizer` what only training needs
(`opt_state`, and the trend on val as `watch`). With a running average of the weights the network is
the average, and `raw` beside the optimizer is what learns.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from flaxart.machine.sharding import replicated
from flaxart.network.plateau import ValTrend
from flaxart.network.state import TrainState, all_params


def state_tree(state: TrainState) -> dict[str, dict[str, Any]]:
  """The two stored items: nested dictionaries of arrays, the optimizer's leaves numbered."""
  leaves = jax.tree.leaves(state.opt_state)
  kept = state.evaluated()
  optimizer = {
    'opt_state': {f'{i:04d}': leaf for i, leaf in enumerate(leaves)},
    'watch': dataclasses.asdict(state.trend),
  }
  if state.average is not None:
    optimizer['raw'] = {
      'params': nnx.to_pure_dict(state.trainable),
      'batch_stats': nnx.to_pure_dict(state.batch_stats),
    }
  network = {
    'params': nnx.to_pure_dict(all_params(kept)),
    'batch_stats': nnx.to_pure_dict(kept.batch_stats),
    'step': state.step,
  }
  return {'state': network, 'optimizer': optimizer}


def from_tree(tree: dict[str, Any], like: TrainState) -> TrainState:
  """The inverse of `state_tree`, from both items merged, in the shape of `like`."""
  kept = (fill(like.trainable, tree['params']), fill(like.batch_stats, tree['batch_stats']))
  learning = tree.get('raw', tree)
  return TrainState(
    step=tree['step'],
    trainable=fill(like.trainable, learning['params']),
    frozen=fill(like.frozen, tree['params']),
    batch_stats=fill(like.batch_stats, learning['batch_stats']),
    opt_state=fill_leaves(like.opt_state, tree['opt_state']),
    trend=ValTrend(**tree['watch']),
    average=None if like.average is None else kept,
  )


def sha256_of(tree: Any) -> str:
  """SHA-256 of the names and bytes of all arrays, in the order of their names."""
  digest = hashlib.sha256()
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    array = np.asarray(leaf)
    digest.update(f'{jax.tree_util.keystr(path)} {array.dtype} {array.shape}'.encode())
    digest.update(array.tobytes())
  return digest.hexdigest()


def abstract(tree: Any, mesh: Mesh) -> Any:
  """Shapes, dtypes and the sharding to restore to: without it a checkpoint is bound to its mesh.
  Arrays keep their sharding in `tree`; mere shapes are copied to every device.
  """
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(
      x.shape, x.dtype, sharding=getattr(x, 'sharding', None) or replicated(mesh)
    ),
    tree,
  )


def fill(like: nnx.State, tree: dict[str, Any]) -> nnx.State:
  """A copy of `like` with the arrays of `tree` at the same paths."""

  def at(path: tuple[Any, ...]) -> Any:
    node = tree
    for part in path:
      node = node[part] if part in node else node[str(part)]
    return node

  return nnx.from_flat_state(
    [(path, leaf.replace(at(path))) for path, leaf in nnx.to_flat_state(like)]
  )


def fill_leaves(like: Any, stored: dict[str, Any]) -> Any:
  """The optimizer state from its numbered leaves."""
  return jax.tree.unflatten(jax.tree.structure(like), [stored[key] for key in sorted(stored)])
