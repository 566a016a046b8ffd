"""What a run will take, from measured steps, before anything of it is written."""

from __future__ import annotations

import dataclasses
import shutil
import time
from pathlib import Path

import jax

from flaxart.data.train_input import TrainInput
from flaxart.logs.overview import StepCost, step_cost
from flaxart.machine.files import existing_parent
from flaxart.machine.sharding import CompiledStep
from flaxart.network.state import TrainState
from tfds_rijks.errors import UserError
from tfds_rijks.progress import duration

MEASURED_STEPS = 3  # after one that compiles
# Orbax keeps best and latest while it writes the next one.
CHECKPOINTS = 3
LOGS_GB = 0.05  # metrics, events


@dataclasses.dataclass(frozen=True)
class Plan:
  """Pictures, seconds and gigabytes of a run."""

  pictures: int
  steps: int
  compile_s: float
  step_s: float
  needed_gb: float
  free_gb: float
  folder: Path
  cost: StepCost | None = None

  @property
  def line(self) -> str:
    """One line for the log."""
    training = self.steps * self.step_s
    return (
      f'estimate: {self.pictures:,} pictures, {self.steps:,} steps of {self.step_s:.3f} s '
      f'(measured; compiled in {self.compile_s:.0f} s): {training / 3600:.2f} hours of training '
      f'({duration(training)}) and evaluation; {self.needed_gb:.2f} GB of checkpoints, '
      f'{self.free_gb:.1f} GB free in {self.folder}'
    )

  def refuse_if_too_large(self) -> None:
    """A run whose checkpoints cannot fit on the disk does not begin."""
    if self.needed_gb > self.free_gb:
      raise UserError(
        f'--workdir: {self.folder} has {self.free_gb:.2f} GB free, the run needs '
        f'{self.needed_gb:.2f} GB for its checkpoints; free some space or give another --workdir'
      )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbePlan(Plan):
  """Heads on features: `pictures` are those that have to be extracted first."""

  settings: int
  features_gb: float
  cache: Path
  picture_s: float | None  # both measured, but only in a dry run: the real one shows its progress

  @property
  def line(self) -> str:
    """One line for the log."""
    took = ''
    if self.picture_s is not None:
      seconds = self.pictures * self.picture_s + self.steps * self.step_s
      took = (
        f' ({self.picture_s:.4f} s a picture and {self.step_s:.4f} s a step, measured: '
        f'{seconds / 3600:.2f} hours, {duration(seconds)}, and evaluation)'
      )
    return (
      f'estimate: features of {self.pictures:,} pictures to extract, {self.steps:,} steps of '
      f'{self.settings} setting(s) on features{took}; {self.features_gb:.2f} GB of features in '
      f'{self.cache}; {self.needed_gb:.2f} GB of checkpoints, {self.free_gb:.1f} GB free in '
      f'{self.folder}'
    )


def training(
  state: TrainState,
  train_step: CompiledStep,
  train_input: TrainInput,
  *,
  pictures: int,
  steps: int,
  workdir: Path,
) -> Plan:
  """Runs a few real steps on a copy of the state and times them, input included."""
  batches = train_input.batches(0)
  copy = jax.tree.map(lambda x: x.copy(), state)  # a step eats its state
  began = time.monotonic()
  batch = train_input.on_devices(next(batches))
  copy, metrics = train_step(copy, batch)
  jax.block_until_ready(metrics)
  compiled = time.monotonic()
  for _ in range(MEASURED_STEPS):
    copy, metrics = train_step(copy, train_input.on_devices(next(batches)))
  jax.block_until_ready(metrics)
  step_s = (time.monotonic() - compiled) / MEASURED_STEPS
  cost = step_cost(train_step.compiled(copy, batch), pictures=train_input.config.train.batch_size)
  return Plan(pictures, steps, compiled - began - step_s, step_s, *_room(state, workdir), cost=cost)


def probing(
  state: TrainState,
  workdir: Path,
  *,
  pictures: int,
  width: int,
  cache: Path,
  steps: int,
  settings: int,
  picture_s: float | None,
  step_s: float,
) -> ProbePlan:
  """What heads on features `[N, width]` take; the seconds are measured by the caller, or not."""
  features_gb = 4 * pictures * width / 1e9
  room = _room(state, workdir)
  return ProbePlan(
    pictures,
    steps,
    0.0,
    step_s,
    *room,
    settings=settings,
    features_gb=features_gb,
    cache=cache,
    picture_s=picture_s,
  )


def _room(state: TrainState, workdir: Path) -> tuple[float, float, Path]:
  """Gigabytes needed and free, and where."""
  folder = existing_parent(workdir)
  needed = CHECKPOINTS * sum(x.nbytes for x in jax.tree.leaves(state)) / 1e9 + LOGS_GB
  return needed, shutil.disk_usage(folder).free / 1e9, folder
