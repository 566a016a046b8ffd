"""Step metrics: collected on the device, written as means, shown with rate and ETA."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from flaxart.network.state import TrainState
from flaxart.training.nonfinite import Guard
from flaxart.training.run import Run
from flaxart.training.session import Session
from tfds_rijks.progress import Progress

QUEUED = 2  # batches on the devices behind the one in training


class StepMeter:
  """Collects step metrics on the device, writes their means, shows progress.

  Metrics are fetched one step behind, so that the host never waits for the device; the guard
  decides about a loss that is NaN or infinite.
  """

  def __init__(self, run: Run, session: Session, *, what: str = 'training'):
    self.session, self.batch, self.every = session, run.batch_size, run.config.log.every_steps
    self.guard = Guard(run.config, passed=session.writer.passed_over(session.setting))
    total, begun = run.steps * self.batch, session.start * self.batch
    self.progress = Progress(what, total, unit='img', start=begun)
    self.pending: list[tuple[int, dict[str, jax.Array]]] = []
    self.clock = time.monotonic()
    self.waited = 0.0  # seconds since then that the devices waited for input
    self.loss = self.val = ''

  def next(self, batches: Iterator[Any]) -> Any:
    """The next batch.

    Time spent here counts as waiting only if the last dispatched step has ended by the time the
    batch arrives: otherwise the devices were busy.
    """
    if len(self.pending) > QUEUED:  # limits the device memory for batches
      jax.block_until_ready(self.pending[-QUEUED - 1][1]['loss'])
    began = time.monotonic()
    batch = next(batches)
    last: Any = self.pending[-1][1]['loss'] if self.pending else None
    if last is None or last.is_ready():
      self.waited += time.monotonic() - began
    return batch

  def add(self, done: int, metrics: dict[str, jax.Array]) -> None:
    """Takes the metrics of the step just dispatched."""
    self.pending.append((done, metrics))
    if done % self.every == 0:
      self.flush(done - 1)
    self.show(done)

  def flush(self, up_to: int) -> None:
    """Writes the mean over the pending steps up to and with `up_to`."""
    ready = [(step, metrics) for step, metrics in self.pending if step <= up_to]
    if not ready:
      return
    self.pending = self.pending[len(ready) :]
    values = jax.device_get([metrics for _, metrics in ready])
    elapsed = time.monotonic() - self.clock
    of_steps = {key: np.array([metrics[key] for metrics in values]) for key in values[0]}
    self.record(ready[-1][0], of_steps, seconds=elapsed, waited=self.waited)
    self.clock, self.waited = self.clock + elapsed, 0.0

  def record(
    self, last: int, metrics: dict[str, np.ndarray], *, seconds: float, waited: float = 0.0
  ) -> None:
    """Writes the mean over the steps `[S]` up to and with `last`, which took `seconds`.

    Raises `NonFiniteError` if one of them must end the run.
    """
    steps = len(metrics['loss'])
    sound = self.guard.check_steps(last - steps + 1, metrics)
    line = {key: float(np.mean(values[sound])) for key, values in metrics.items() if sound.any()}
    self.loss = f'loss {line.get("loss", float("nan")):.3f}'
    if not sound.all():
      line['nonfinite'] = int((~sound).sum())
    line |= self.session.throughput.line(
      pictures=steps * self.batch, steps=steps, seconds=seconds, waited=waited
    )
    self.session.write(last, 'train', line)

  def show(self, done: int) -> None:
    """Shows progress, followed by the last losses."""
    self.progress.update(done * self.batch, ', '.join(filter(None, (self.loss, self.val))))

  def settle(self, done: int, state: TrainState) -> None:
    """Called before a state is evaluated or saved; raises `NonFiniteError` if it must not be."""
    self.flush(done)
    self.guard.check_state(done, state.trainable)

  @contextlib.contextmanager
  def uncounted(self) -> Iterator[None]:
    """Excludes the compilation of a step, on its first call, from training time."""
    began = time.monotonic()
    yield
    self.clock += time.monotonic() - began

  def resume_clock(self) -> None:
    """Called after evaluating and saving, which do not count as training time."""
    self.clock, self.waited = time.monotonic(), 0.0

  def close(self) -> None:
    """Ends the progress line."""
    self.progress.close()
