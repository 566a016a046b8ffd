"""An estimate of a run from measured steps, before anything is written."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import jax

from flaxart.data.train_input import TrainInput
from flaxart.logs.compiling import compiling_step
from flaxart.logs.overview import step_cost
from flaxart.machine.files import existing_parent
from flaxart.machine.log import log
from flaxart.machine.sharding import CompiledStep
from flaxart.network.state import TrainState
from flaxart.training.run import Run
from tfds_rijks.errors import UserError
from tfds_rijks.progress import duration, working
from tfds_rijks.words import counted

MEASURED_STEPS = 3  # after one that compiles
# Best and latest are kept while the next is written.
CHECKPOINTS = 3
LOGS_GB = 0.05  # metrics, events


def announce(what: str, state: TrainState, workdir: Path) -> None:
  """Logs the estimate; raises `UserError` if checkpoints of `state` do not fit on the disk."""
  folder = existing_parent(workdir)
  one = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state)) / 1e9
  needed, free = CHECKPOINTS * one + LOGS_GB, shutil.disk_usage(folder).free / 1e9
  log.info('estimate: %s; %.2f GB of checkpoints, %.1f GB free in %s', what, needed, free, folder)
  if needed > free:
    raise UserError(
      f'--workdir: {folder} has {free:.2f} GB free, the run needs {needed:.2f} GB for its '
      'checkpoints; free some space or give another --workdir'
    )


def measured(run: Run, state: TrainState, train_step: CompiledStep, train_input: TrainInput) -> str:
  """An estimate of training from a few real steps on a copy of the state, input included.

  Logs the cost of one step, if the backend reports it.
  """
  batches = train_input.batches(0)
  copy = jax.tree.map(lambda x: x.copy(), state)  # a step donates its state
  began = time.monotonic()
  with compiling_step(run.config):
    batch = train_input.on_devices(next(batches))
    copy, metrics = train_step(copy, batch)
    jax.block_until_ready(metrics)
  compiled = time.monotonic()
  with working('measuring steps'):
    for _ in range(MEASURED_STEPS):
      copy, metrics = train_step(copy, train_input.on_devices(next(batches)))
    jax.block_until_ready(metrics)
  step_s = (time.monotonic() - compiled) / MEASURED_STEPS
  compile_s, training_s = compiled - began - step_s, run.steps * step_s
  if cost := step_cost(train_step.compiled(copy, batch), pictures=run.batch_size):
    log.info('%s', cost.line)
  pictures = sum(len(split) for split in run.dataset.splits.values())
  return (
    f'{counted(pictures, "picture")}, {counted(run.steps, "step")} of {step_s:.3f} s (measured; '
    f'compiled in {compile_s:.0f} s): {training_s / 3600:.2f} hours of training '
    f'({duration(training_s)}) and evaluation'
  )
