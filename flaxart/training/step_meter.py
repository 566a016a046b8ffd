"""Step metrics: collected on the device, written as means, shown with rate and ETA."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from flaxart.logs.metric_writer import MetricWriter
from flaxart.logs.throughput import Pace
from flaxart.training.nonfinite import Guard
from tfds_rijks.progress import Progress


class StepMeter:
  """Collects step metrics on the device, writes their mean now and then, shows progress.

  Metrics are fetched one step behind, so that the host never waits for the device; what happens at
  a loss that is no number is the guard's to decide.
  """

  def __init__(
    self,
    writer: MetricWriter,
    pace: Pace,
    config: ConfigDict,
    guard: Guard,
    *,
    start: int,
    steps: int,
  ):
    self.writer, self.pace, self.config, self.guard = writer, pace, config, guard
    self.batch = config.train.batch_size
    self.progress = Progress('training', steps * self.batch, unit='img', start=start * self.batch)
    self.pending: list[tuple[int, dict[str, jax.Array]]] = []
    self.clock = time.monotonic()
    self.waited = 0.0  # seconds since then that the devices stood still for want of input
    self.note = ''

  def next(self, batches: Iterator[Any]) -> Any:
    """The next batch. Time spent here counts as waiting only where the last step that was
    dispatched has ended by the time the batch is there: else the devices had work all along.
    """
    began = time.monotonic()
    batch = next(batches)
    last: Any = self.pending[-1][1]['loss'] if self.pending else None
    if last is None or last.is_ready():
      self.waited += time.monotonic() - began
    return batch

  def add(self, done: int, metrics: dict[str, jax.Array]) -> None:
    """Takes the metrics of the step that was just dispatched."""
    self.pending.append((done, metrics))
    if done % self.config.log.every_steps == 0:
      self.flush(done - 1)
    self.progress.update(done * self.batch, self.note)

  def flush(self, up_to: int) -> None:
    """Writes the mean over the pending steps up to and with `up_to`."""
    ready = [(step, m) for step, m in self.pending if step <= up_to]
    if not ready:
      return
    self.pending = self.pending[len(ready) :]
    values = jax.device_get([m for _, m in ready])
    before = self.guard.passed
    sound = [
      metrics
      for (step, _), metrics in zip(ready, values, strict=True)
      if self.guard.check_step(step, metrics)
    ]
    elapsed = time.monotonic() - self.clock
    self.clock += elapsed
    pace = self.pace.line(
      pictures=len(ready) * self.batch, steps=len(ready), seconds=elapsed, waited=self.waited
    )
    self.waited = 0.0
    mean = {key: float(np.mean([v[key] for v in sound])) for key in values[0] if sound}
    if self.guard.passed > before:
      mean['nonfinite'] = self.guard.passed - before
    self.writer.write(
      ready[-1][0],
      'train',
      {**mean, **pace},
    )
    self.note = f'loss {mean.get("loss", float("nan")):.3f}' + (
      f', {self.note.split(", ")[-1]}' if 'val' in self.note else ''
    )

  @contextlib.contextmanager
  def uncounted(self) -> Iterator[None]:
    """What is done inside is no training: compiling a step, on its first call."""
    began = time.monotonic()
    yield
    self.clock += time.monotonic() - began

  def resume_clock(self) -> None:
    """Called after evaluating and saving, whose time is not training time."""
    self.clock, self.waited = time.monotonic(), 0.0

  def close(self) -> None:
    """Ends the progress line."""
    self.progress.close()

  def summary(self, done: int, *, steps_per_epoch: float) -> dict[str, Any]:
    """The `train` entry of `results.json` after `done` steps."""
    return train_summary(done, self.pace, batch=self.batch, steps_per_epoch=steps_per_epoch)


def train_summary(
  done: int, pace: Pace, *, batch: int, steps_per_epoch: float, settings: int = 1
) -> dict[str, Any]:
  """The `train` entry of `results.json`: `seconds` of all restarts, without evaluation."""
  seconds = pace.seconds
  return {
    'steps': done,
    'epochs': round(done / steps_per_epoch, 3),
    'images_seen': done * batch,
    'seconds': round(seconds, 2),
    'images_per_second': round(done * batch / max(seconds, 1e-9), 2),
    'settings_tried': settings,
    'input_wait_seconds': round(pace.waited, 2),
    'starts': max(1, len(pace.starts)),
    **pace.summary(),
  }
