"""Reading a run while its trainer is active: half-written files are soon complete or gone."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from flaxart.machine import locks
from flaxart.workdir import checkpoint
from tfds_rijks.errors import UserError

WAITS = 0.2, 1.0, 5.0  # seconds before the next attempt; sealing takes about one per GB
T = TypeVar('T')


def patiently(workdir: Path, read: Callable[[], T]) -> T:
  """`read()`, repeated if it fails while a trainer may be the reason.

  Raises what the last attempt raised; a `UserError` mentions an active trainer.
  """
  for wait in WAITS:
    trainer = locks.holder(workdir)
    try:
      return read()
    except (UserError, OSError):
      if trainer is None:  # before and while it was read
        raise
    time.sleep(wait)
  trainer = locks.holder(workdir)
  try:
    return read()
  except UserError as error:
    if trainer is None:
      raise
    raise UserError(f'{error} (a trainer, {trainer}, is active on this run: try again)') from None


def of_best(
  workdir: Path, read: Callable[[int], T], *, step: int | None = None, fallback: bool = False
) -> tuple[int, T]:
  """The best checkpoint (or `step`) and what `read` makes of it; see `checkpoint.best_on_disk`."""

  def attempt() -> tuple[int, T]:
    chosen = checkpoint.best_on_disk(workdir, fallback=fallback) if step is None else step
    return chosen, read(chosen)

  return patiently(workdir, attempt)
