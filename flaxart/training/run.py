"""The fixed parts of a run, decided before its first step."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from flaxart.data.source import Dataset
from flaxart.machine.sharding import create_mesh
from flaxart.network.classifier import InitialTrunk
from flaxart.network.state import Network, TrainState, create_train_state
from flaxart.settings import Settings
from flaxart.tasks.objective import Objective, create_objective
from flaxart.tasks.task import Task
from flaxart.training.optim import create_learning_rate_fn, create_optimizer
from tfds_rijks.progress import working


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
  """The constants of training and evaluation. `settings` are the parsed settings of `config`.
  `steps` are all steps of the run, `steps_per_epoch` those of one pass over the training split,
  which may end within a step.
  """

  config: ConfigDict
  settings: Settings
  workdir: Path
  dataset: Dataset
  network: Network
  mesh: Mesh
  steps: int
  steps_per_epoch: float
  learning_rate: optax.Schedule
  objective: Objective

  @property
  def tasks(self) -> tuple[Task, ...]:
    """The tasks of the network."""
    return self.network.tasks

  @property
  def batch_size(self) -> int:
    """The batch size over all devices and processes."""
    return int(self.config.train.batch_size)


def create_run(
  config: ConfigDict,
  settings: Settings,
  workdir: Path,
  dataset: Dataset,
  tasks: list[Task],
  trunk: InitialTrunk,
) -> tuple[Run, TrainState]:
  """The run, and its state before the first step."""
  steps_per_epoch = len(dataset.split('train')) / config.train.batch_size
  steps = max(1, round(config.train.epochs * steps_per_epoch))
  mesh = create_mesh()
  learning_rate = create_learning_rate_fn(config, steps=steps, steps_per_epoch=steps_per_epoch)
  optimizer = create_optimizer(config, settings, learning_rate)
  with working('creating the network'):
    network, state = create_train_state(config, settings, tasks, optimizer, mesh=mesh, trunk=trunk)
  run = Run(
    config=config,
    settings=settings,
    workdir=workdir,
    dataset=dataset,
    network=network,
    mesh=mesh,
    steps=steps,
    steps_per_epoch=steps_per_epoch,
    learning_rate=learning_rate,
    objective=create_objective(config, settings, tasks, dataset.split('train')),
  )
  return run, state
