"""Whether a run is finished, and its `results.json`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import jax

from flaxart.machine import processes
from flaxart.machine.locks import WorkdirLock
from flaxart.workdir import checkpoint, checkpoint_folder
from flaxart.workdir.manifest import FOLDER, steps_in
from flaxart.workdir.stored_results import FILE, read_results


def of_finished(workdir: Path) -> dict[str, Any] | None:
  """`results.json` of a finished run; None if there is something left to do."""
  if not (workdir / FILE).exists():
    return None
  step, folder = checkpoint.finished_step(workdir), workdir / FOLDER
  if step is None:
    return None
  cut_off = steps_in(folder) != [step] or bool(checkpoint_folder.leftovers(folder))
  processes.wait_for_all('all have looked')  # before one of them changes it
  if cut_off:  # killed after training, while tidying its folder
    with WorkdirLock(workdir) if jax.process_index() == 0 else contextlib.nullcontext():
      checkpoint_folder.shrink(folder, step)
  return read_results(workdir)
