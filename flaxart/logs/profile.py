"""`log.profile`: a `jax.profiler` trace of chosen steps.

Traces go to `WORKDIR/profile`; TensorBoard's profile plugin (`pip install xprof`) and Perfetto
show them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import jax

from flaxart.machine.log import log

FOLDER = 'profile'


class StepTrace:
  """Context manager around the loop; `steps` around every dispatch, `done` after it.

  Traces the steps `wanted`, counted from 1.
  """

  def __init__(self, wanted: range, workdir: Path):
    self.wanted, self.folder = wanted, workdir / FOLDER
    self.running = False

  def __enter__(self) -> StepTrace:
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    traceback: TracebackType | None,
  ) -> None:
    self._stop()  # also if the run was stopped in between

  @contextlib.contextmanager
  def steps(self, first: int, last: int) -> Iterator[None]:
    """Called before the steps `first` to `last`; starts the trace if it begins in them."""
    if self.wanted and first <= self.wanted[0] <= last:
      self.running = True
      jax.profiler.start_trace(str(self.folder))
    with jax.profiler.StepTraceAnnotation('train', step_num=first):
      yield

  def done(self, last: int, outputs: Any) -> None:
    """Called after step `last` is dispatched; a trace that ends in it waits for its `outputs`."""
    if self.running and last >= self.wanted[-1]:
      jax.block_until_ready(outputs)
      self._stop()

  def _stop(self) -> None:
    if self.running:
      self.running = False
      jax.profiler.stop_trace()
      log.info('trace of steps %d to %d: %s', self.wanted[0], self.wanted[-1], self.folder)
