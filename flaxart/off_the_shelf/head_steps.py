"""The steps of heads on features: a pass of many steps in one program on the devices."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from flaxart.data.order import example_order
from flaxart.logs.profile import StepTrace
from flaxart.machine.processes import from_first_process
from flaxart.machine.sharding import Flat
from flaxart.network.state import TrainState
from flaxart.off_the_shelf.feature_batches import train_data
from flaxart.off_the_shelf.passes import Passes
from flaxart.training.intervals import Intervals
from flaxart.training.run import Run
from flaxart.training.session import Session
from flaxart.training.step_meter import StepMeter

SAVE_EVERY_S = 60.0  # without a better score; a better one is saved at once


class HeadSteps:
  """Steps of a run of heads over features; `run.dataset` has the features.

  `take` is called with every score and its step, and returns whether it is the best so far;
  `stored` makes the whole network of these heads.
  """

  def __init__(
    self,
    run: Run,
    session: Session,
    *,
    take: Callable[[int, float | None], bool],
    stored: Callable[[TrainState], TrainState],
  ):
    self.run, self.session, self.take, self.stored = run, session, take, stored
    self.intervals = Intervals.of(run)
    self.passes = Passes(run, room=self.intervals.next_after(0))  # no pass is longer
    self.split = run.dataset.split('train')
    self.data = train_data(self.split, mesh=run.mesh)
    what = ' '.join(filter(None, ('training heads', session.setting)))
    self.meter = StepMeter(run, session, what=what)
    self.saved = time.monotonic()

  def advance(self, flat: Flat, done: int, trace: StepTrace) -> tuple[Flat, int]:
    """Runs a pass: to the end of the epoch, or until something is due."""
    state: TrainState = flat.whole()
    last, batch = self.intervals.next_after(done), self.run.batch_size
    records = example_order(
      len(self.split),
      first=done * batch,
      count=(last - done) * batch,
      seed=self.run.config.seed,
      shuffle=self.run.config.data.shuffle,
    ).reshape(last - done, batch)
    self.passes.compile(state, self.data)
    began = time.monotonic()
    with trace.steps(self.session.offset + done + 1, self.session.offset + last):
      state, metrics = self.passes.train(state, self.data, records, first=done * batch)
    trace.done(self.session.offset + last, metrics)
    self.meter.record(last, metrics, seconds=time.monotonic() - began)
    self.meter.show(last)
    return Flat.of(state), last

  def scored(self, done: int, score: float | None) -> bool:
    """A better score is saved at once; others once a minute, as a pass takes far less than writing
    a network.
    """
    now = time.monotonic()
    worth = self.take(done, score) or now - self.saved > SAVE_EVERY_S
    if worth := bool(from_first_process(np.bool_(worth))):
      self.saved = now
    return worth
