"""A run's network with the arrays of one of its checkpoints."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh
from ml_collections import ConfigDict

from flaxart.machine.sharding import replicated
from flaxart.network.classifier import TrunkSpec
from flaxart.network.state import Network, TrainState, abstract_parts
from flaxart.settings import read_trained
from flaxart.tasks.task import Task
from flaxart.workdir import checkpoint, run_folder


def restore_network(
  workdir: Path, step: int, config: ConfigDict, tasks: list[Task], *, mesh: Mesh
) -> tuple[Network, TrainState]:
  """Network and arrays of a stored step, without optimizer state."""
  spec = TrunkSpec.from_json(run_folder.read_trunk_json(workdir)['spec'])
  # All parameters count as frozen here: nothing will learn.
  graphdef, trainable, params, batch_stats = abstract_parts(
    config, read_trained(config), tasks, spec, nnx.Nothing(), nnx.Param, nnx.BatchStat
  )
  params, batch_stats = checkpoint.restore_params(workdir, step, params, batch_stats, mesh=mesh)
  state = TrainState(
    jax.device_put(jnp.int32(step), replicated(mesh)), trainable, params, batch_stats, ()
  )
  return Network(graphdef, tuple(tasks), optax.identity()), state
