"""The state of a run, and the only place where a network is split into trainable and frozen.

An NNX model is split once into a static graph definition and three trees of arrays: `trainable`
parameters, `frozen` parameters, and BatchNorm's `batch_stats`. Steps are plain `jax.jit` functions
of those trees and merge them inside (4 ms of Python a step for a ResNet50, against 43 ms for
`nnx.jit`). Gradients are taken with respect to `trainable` alone and the optimizer only sees
`trainable`, so "frozen" needs no mask: nothing could move it. A BatchNorm layer whose parameters
are frozen is frozen as a whole, its running statistics included.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx, struct
from jax.sharding import Mesh
from ml_collections import ConfigDict

from flaxart.machine.sharding import DATA, replicated
from flaxart.models import layers
from flaxart.network.classifier import Classifier, InitialTrunk, TrunkSpec
from flaxart.network.plateau import ValTrend
from flaxart.network.unfreeze import stage_number
from flaxart.settings import ALL_AT_ONCE, Settings, Stage
from flaxart.tasks.task import Task
from tfds_rijks.errors import UserError


@struct.dataclass
class TrainState:
  """The state after `step` updates: everything that a step reads or changes.

  `average` is the running average of `(trainable, batch_stats)` under `config.optim.ema`, or None.
  """

  step: jax.Array
  trainable: nnx.State
  frozen: nnx.State
  batch_stats: nnx.State
  opt_state: optax.OptState
  trend: ValTrend = struct.field(default_factory=ValTrend.create)
  average: tuple[nnx.State, nnx.State] | None = None

  def evaluated(self) -> TrainState:
    """The state with the weights to evaluate and save: the average if there is one."""
    if self.average is None:
      return self
    trainable, batch_stats = self.average
    return dataclasses.replace(self, trainable=trainable, batch_stats=batch_stats)

  def shapes(self) -> TrainState:
    """The state with shapes, dtypes and shardings instead of arrays."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), self)

  @property
  def mesh(self) -> Mesh:
    """The devices of the state."""
    return self.step.sharding.mesh  # type: ignore[attr-defined]


@dataclasses.dataclass(frozen=True)
class Network:
  """The static side of a run: graph definition, tasks, optimizer.

  `phases` are the graph definitions of the `stages` of gradual unfreezing, which differ in the
  BatchNorm layers still frozen; the last one is `graphdef`.
  """

  graphdef: nnx.GraphDef
  tasks: tuple[Task, ...]
  tx: optax.GradientTransformation
  phases: tuple[nnx.GraphDef, ...] = ()
  stages: tuple[Stage, ...] = ALL_AT_ONCE

  def merge(
    self,
    trainable: nnx.State,
    frozen: nnx.State,
    batch_stats: nnx.State,
    *,
    phase: int | None = None,
  ) -> Classifier:
    """The model over these arrays; `copy=True` keeps updates of statistics inside the caller."""
    graphdef = self.graphdef if phase is None else self.phases[phase]
    return nnx.merge(graphdef, trainable, frozen, batch_stats, copy=True)


def path_string(path: Sequence[Any]) -> str:
  """`trunk/stage2/block1/conv3/kernel`: what `config.trainable` is matched against."""
  return '/'.join(str(part) for part in path)


def batch_norm_mode(config: ConfigDict) -> str:
  """`config.model.bn` with `auto` resolved: stored statistics for a trunk that came with them."""
  if config.model.bn != 'auto':
    return config.model.bn
  return 'batch' if config.init == 'scratch' else 'frozen'


def build_model(
  config: ConfigDict,
  settings: Settings,
  tasks: Sequence[Task],
  spec: TrunkSpec,
  *,
  phase: int | None = None,
) -> Classifier:
  """A freshly initialised model whose frozen BatchNorm layers are marked as such.

  Before the last `phase` of gradual unfreezing, layers of later stages are frozen too.
  """
  model = Classifier.create(config, settings, tasks, spec, rngs=nnx.Rngs(config.seed))
  mode = batch_norm_mode(config)

  def moves(path: Sequence[Any]) -> bool:
    if not settings.trainable.matches(path_string(path)):
      return False
    return phase is None or stage_number(settings.stages, path_string(path)) <= phase

  for path, norm in layers.batch_norms(model):
    own = [(*path, name) for name in ('scale', 'bias') if getattr(norm, name, None) is not None]
    norm.momentum = config.model.bn_momentum
    norm.frozen = mode == 'frozen' or not any(moves(p) for p in own)
    norm.keras2 = mode == 'keras2_frozen'
    norm.axis_name = DATA if config.parallelism == 'shard_map' and config.model.bn_sync else None
  return model


def abstract_parts(
  config: ConfigDict,
  settings: Settings,
  tasks: Sequence[Task],
  spec: TrunkSpec,
  *filters: Any,
  phase: int | None = None,
) -> tuple[Any, ...]:
  """`nnx.split` of the model by `filters`, with shapes instead of arrays."""
  model = nnx.eval_shape(lambda: build_model(config, settings, tasks, spec, phase=phase))
  return nnx.split(model, *filters)


def create_train_state(
  config: ConfigDict,
  settings: Settings,
  tasks: Sequence[Task],
  tx: optax.GradientTransformation,
  *,
  mesh: Mesh,
  trunk: InitialTrunk,
) -> tuple[Network, TrainState]:
  """A run before its first step; `trunk` has arrays unless it starts from scratch.

  Raises `UserError` if `config.trainable` matches nothing, or leaves a new head at random.
  """

  def init() -> tuple[nnx.State, nnx.State]:
    model = build_model(config, settings, tasks, trunk.spec)
    parts: tuple[Any, ...] = nnx.split(model, nnx.Param, nnx.BatchStat)
    return parts[1], parts[2]

  everywhere = replicated(mesh)
  params, batch_stats = jax.jit(init, out_shardings=everywhere)()
  if trunk.arrays is not None:
    given = (params, trunk.arrays.params), (batch_stats, trunk.arrays.batch_stats)
    for whole, arrays in given:
      if arrays:
        nnx.replace_by_pure_dict(whole, {'trunk': jax.device_put(arrays, everywhere)})
  check_trainable(config, settings, params)
  is_trainable = nnx.All(nnx.Param, lambda path, _: settings.trainable.matches(path_string(path)))
  filters = (is_trainable, nnx.Param, nnx.BatchStat)
  phases = tuple(
    abstract_parts(config, settings, tasks, trunk.spec, *filters, phase=phase)[0]
    for phase in range(len(settings.stages))
  )
  trainable, frozen = nnx.split_state(params, is_trainable, nnx.Param)
  opt_state = jax.jit(tx.init, out_shardings=everywhere)(trainable)
  step, trend = jax.device_put((jnp.zeros((), jnp.int32), ValTrend.create()), everywhere)
  average = jax.tree.map(jnp.copy, (trainable, batch_stats)) if config.optim.ema else None
  return (
    Network(phases[-1], tuple(tasks), tx, phases, settings.stages),
    TrainState(step, trainable, frozen, batch_stats, opt_state, trend, average),
  )


def check_trainable(config: ConfigDict, settings: Settings, params: nnx.State) -> None:
  """Checks that every parameter is decided, something learns, and no new head stays at random."""
  paths = [path for path, _ in nnx.to_flat_state(params)]
  chosen = {path for path in paths if settings.trainable.matches(path_string(path))}
  if not chosen:
    raise UserError(
      f'config.trainable: {config.trainable!r} matches none of {len(paths)} '
      f'parameters; paths look like {path_string(paths[0])}'
    )
  for path in paths:
    if path[0] in ('heads', 'log_variances') and path not in chosen:
      raise UserError(
        f'config.trainable: {config.trainable!r} leaves {path_string(path)} frozen '
        f'at its random start; add |{path[0]}/.* to the pattern'
      )


def all_params(state: TrainState) -> nnx.State:
  """Trainable and frozen parameters as one tree."""
  return nnx.merge_state(state.trainable, state.frozen)


def count_parameters(state: TrainState) -> dict[str, tuple[int, int]]:
  """`{part: (trainable, frozen)}`: `trunk`, each head (`heads/artist`), and their sum, `all`."""
  counts: dict[str, tuple[int, int]] = {'trunk': (0, 0)}
  for learning, tree in ((True, state.trainable), (False, state.frozen)):
    for path, leaf in nnx.to_flat_state(tree):
      name = path_string(path[:2] if path[0] == 'heads' else path[:1])
      trainable, frozen = counts.get(name, (0, 0))
      more = (leaf.size, 0) if learning else (0, leaf.size)
      counts[name] = (trainable + more[0], frozen + more[1])
  return counts | {'all': (sum(n for n, _ in counts.values()), sum(n for _, n in counts.values()))}
