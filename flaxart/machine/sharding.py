"""The mesh of devices, placement of state and batches, and the two wrappers of one train step.

One axis, `data`: a batch is split over it, everything else is copied to every device. Its type is
Auto: `jax.make_mesh` would make it Explicit by default.

* `jit`: the step is written for the global batch and XLA divides it. BatchNorm's statistics are
  over all devices, and one device gives the same result as eight.
* `shard_map`: the step is written for one device's part. `view` has the sums that make it one step
  again: of gradients, losses and label counts. BatchNorm is over the global batch or, with
  `config.model.bn_sync = False`, over each device's own part, its running statistics averaged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import numpy as np
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from tfds_rijks.errors import UserError

DATA = 'data'
Step = Callable[[Any, dict[str, Any]], tuple[Any, dict[str, jax.Array]]]
Tree = TypeVar('Tree')


def create_mesh() -> Mesh:
  """All devices of all processes."""
  return jax.make_mesh((jax.device_count(),), (DATA,), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
  """The sharding in which every device holds the whole array."""
  return NamedSharding(mesh, PartitionSpec())


def over_batch(mesh: Mesh) -> NamedSharding:
  """The sharding in which the first axis is split into equal parts, one per device."""
  return NamedSharding(mesh, PartitionSpec(DATA))


def put_batch(batch: Mapping[str, Any], mesh: Mesh) -> dict[str, Any]:
  """A host batch (this process's part of the global batch) as arrays over the mesh."""
  sharding = over_batch(mesh)
  return jax.tree.map(
    lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), dict(batch)
  )


def device_batch(batch_size: int) -> int:
  """The next batch size that can be split evenly; evaluation masks the padding."""
  return -(-batch_size // jax.device_count()) * jax.device_count()


def check_batch_size(batch_size: int, *, field: str, parts: int = 1) -> None:
  """Raises `UserError` unless the batch can be split evenly; `parts`: of each device's share."""
  if batch_size % jax.device_count():
    raise UserError(
      f'config.{field}: {batch_size} cannot be divided among {jax.device_count()} '
      f'devices; choose a multiple of {jax.device_count()}'
    )
  if (share := batch_size // jax.device_count()) % parts:
    raise UserError(
      f'config.train.accumulate: the {share} pictures of each device cannot be split into '
      f'{parts} equal parts; choose a divisor of {share}'
    )


@dataclasses.dataclass(frozen=True)
class View:
  """A step's view: the global batch (`axis` None) or one device's part of it."""

  axis: str | None = None

  def sum(self, tree: Tree) -> Tree:
    """Sums over devices."""
    return tree if self.axis is None else lax.psum(tree, self.axis)

  def mean(self, tree: Tree) -> Tree:
    """Means over devices of their own statistics."""
    return tree if self.axis is None else lax.pmean(tree, self.axis)

  def key(self, key: jax.Array) -> jax.Array:
    """This device's own random key."""
    return key if self.axis is None else jax.random.fold_in(key, lax.axis_index(self.axis))

  @property
  def share(self) -> float:
    """This device's share of a term that does not depend on the batch."""
    return 1.0 if self.axis is None else 1.0 / lax.axis_size(self.axis)


def view(config: ConfigDict) -> View:
  """The view of a step under `config.parallelism`."""
  return View(DATA if config.parallelism == 'shard_map' else None)


@dataclasses.dataclass(frozen=True)
class Flat:
  """A state as a list of arrays: flattening and unflattening a tree of hundreds of arrays takes
  more of the host's time than dispatching a step otherwise does.
  """

  leaves: list[jax.Array]
  tree: jax.tree_util.PyTreeDef

  @classmethod
  def of(cls, state: Any) -> Flat:
    """A state, flattened."""
    return cls(*jax.tree.flatten(state))

  def whole(self) -> Any:
    """The state."""
    return jax.tree.unflatten(self.tree, self.leaves)


class CompiledStep:
  """A step over the mesh of its first state; the state is donated."""

  def __init__(self, step: Step, config: ConfigDict):
    self.step, self.config = step, config
    self.jitted: Any = None

  @property
  def is_new(self) -> bool:
    """Whether the next call has to compile first."""
    return self.jitted is None

  def __call__(self, state: Any, batch: dict[str, Any]) -> tuple[Any, dict[str, jax.Array]]:
    flat, metrics = self.flat(Flat.of(state), batch)
    return flat.whole(), metrics

  def flat(self, state: Flat, batch: dict[str, Any]) -> tuple[Flat, dict[str, jax.Array]]:
    """The same without unflattening the state."""
    leaves, metrics = self._of(state)(state.leaves, batch)
    return Flat(leaves, state.tree), metrics

  def traced(self, state: Any, batch: dict[str, Any]) -> jax.stages.Traced:
    """JAX's program of a call."""
    flat = Flat.of(state)
    return self._of(flat).trace(flat.leaves, batch)

  def compiled(self, state: Any, batch: dict[str, Any]) -> jax.stages.Compiled:
    """The program that a call runs; compiles it unless it was called before."""
    return self.traced(state, batch).lower().compile()

  def _of(self, state: Flat) -> Any:
    if self.jitted is None:
      self.jitted = _jitted(self.step, self.config, state)
    return self.jitted


def _jitted(step: Step, config: ConfigDict, state: Flat) -> Any:
  def update(leaves: list[jax.Array], batch: dict[str, Any]) -> tuple[list[jax.Array], Any]:
    after, metrics = step(jax.tree.unflatten(state.tree, leaves), batch)
    return jax.tree.leaves(after), metrics

  if config.parallelism == 'shard_map':
    whole = PartitionSpec()
    update = jax.shard_map(
      update,
      mesh=state.leaves[0].sharding.mesh,  # type: ignore[attr-defined]
      in_specs=(whole, PartitionSpec(DATA)),
      out_specs=(whole, whole),
      # With checks, gradients of replicated parameters are summed already, and the convolutions'
      # hand-written gradients are refused.
      check_vma=False,
    )
    return jax.jit(update, donate_argnums=0)
  # The state keeps its layout, which XLA could otherwise change.
  kept = [x.sharding for x in state.leaves]
  return jax.jit(update, donate_argnums=0, out_shardings=(kept, None))
