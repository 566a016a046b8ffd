"""Training a whole network on pictures: batches from the loader, one compiled step each."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

from flaxart.data.cache import cached
from flaxart.data.source import Dataset
from flaxart.data.train_input import TrainInput
from flaxart.logs.compiling import compiling_step
from flaxart.logs.profile import StepTrace
from flaxart.machine.sharding import Flat
from flaxart.network.state import Network, TrainState
from flaxart.network.unfreeze import phase_at
from flaxart.training.estimate import announce, measured
from flaxart.training.run import Run
from flaxart.training.session import Session
from flaxart.training.step import make_train_step
from flaxart.training.step_meter import StepMeter
from flaxart.training.steps import Loop
from flaxart.workdir import run_folder


class NetworkTrainer:
  """A run whose trunk or pictures change."""

  def __init__(self, run: Run, state: TrainState, *, dry_run: bool = False):
    fed, add_pictures = cached(run.config, run.dataset, mesh=run.mesh, dry_run=dry_run)
    self.run, self.steps = dataclasses.replace(run, dataset=fed), run.steps
    self.shapes = state.shapes()
    self.input = TrainInput(run.config, fed.split('train'), run.mesh, add_pictures)
    self.compiled = [
      make_train_step(run.network, run.config, run.learning_rate, run.objective, phase=phase)
      for phase in range(len(run.network.stages))
    ]
    self.last = 0

  def announce(self, state: TrainState, *, dry_run: bool) -> None:
    """Logs an estimate of the run; a continued one was measured before and starts at once."""
    if dry_run or not run_folder.is_run(self.run.workdir):
      takes = measured(self.run, state, self.compiled[-1], self.input)
      announce(takes, self.shapes, self.run.workdir)

  def shapes_of(self, step: int) -> TrainState:
    """The shapes of the arrays in the checkpoint of `step`."""
    return self.shapes

  def train(self, session: Session, state: TrainState, loop: Loop) -> int:
    """Trains `state` by `loop`; returns the last step."""
    self.last = int(loop(self.run, session, NetworkSteps(self, session), state).step)
    return self.last

  def to_test(self, best: TrainState) -> tuple[Network, TrainState, Dataset]:
    """Network, state and data to evaluate at the end."""
    return self.run.network, best, self.run.dataset

  def train_entry(self, session: Session, best: int) -> dict[str, Any]:
    """The `train` entry of `results.json`."""
    return session.train_entry(self.run, steps=self.last, in_all=self.last)


class NetworkSteps:
  """One step at a time, dispatched before the metrics of the previous one have arrived."""

  def __init__(self, trainer: NetworkTrainer, session: Session):
    self.trainer, self.run = trainer, trainer.run
    self.batches = trainer.input.batches(session.start)
    self.meter = StepMeter(self.run, session)

  def advance(self, state: Flat, done: int, trace: StepTrace) -> tuple[Flat, int]:
    """One step."""
    phase = phase_at(self.run.network.stages, done, steps_per_epoch=self.run.steps_per_epoch)
    step = self.trainer.compiled[phase]
    batch = self.trainer.input.on_devices(self.meter.next(self.batches))
    done += 1
    with contextlib.ExitStack() as first, trace.steps(done, done):
      if step.is_new:
        first.enter_context(self.meter.uncounted())
        first.enter_context(compiling_step(self.run.config))
      state, metrics = step.flat(state, batch)
    trace.done(done, metrics)
    self.meter.add(done, metrics)
    return state, done

  def scored(self, done: int, score: float | None) -> bool:
    """Saves after every evaluation, which takes longer than saving."""
    return True

  def stored(self, state: TrainState) -> TrainState:
    """The state, unchanged."""
    return state
