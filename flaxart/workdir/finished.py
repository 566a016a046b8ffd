"""Whether a run is over, and what its `results.json` holds then."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import jax

from flaxart.machine import processes
from flaxart.machine.files import read_object
from flaxart.machine.locks import WorkdirLock
from flaxart.workdir import checkpoint, checkpoint_folder

FILE = 'results.json'


def of_finished(workdir: Path) -> dict[str, Any] | None:
  """What `results.json` of a run holds that is over; None if there is something left to do."""
  if not (workdir / FILE).exists():
    return None
  cut_off = checkpoint_folder.is_cut_off(workdir)
  processes.wait_for_all('all have looked')  # before one of them changes it
  if cut_off:
    with WorkdirLock(workdir) if jax.process_index() == 0 else contextlib.nullcontext():
      checkpoint_folder.settle(workdir)
  if not checkpoint.is_final(workdir):
    return None
  return read_object(workdir / FILE)
