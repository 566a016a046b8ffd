"""Reading a run while its trainer is at work: what is half there now is whole, or gone, soon."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from flaxart.machine import locks
from tfds_rijks.errors import UserError

WAITS = 0.2, 1.0, 5.0  # seconds before looking again; sealing takes about one for each GB
T = TypeVar('T')


def patiently(workdir: Path, read: Callable[[], T]) -> T:
  """`read()`, again where it failed and a trainer may have been the reason.

  Raises what the last attempt raised; a `UserError` says that a trainer is at work, if one is.
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
    raise UserError(f'{error} (a trainer, {trainer}, is at work on this run: try again)') from None
