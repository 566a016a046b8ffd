"""Whole checkpoints on disk: deleting, shrinking, setting aside.

In `checkpoints/` a folder whose name is a number is a checkpoint. It appears by one rename and
disappears by another: a killed process leaves a checkpoint or none, and perhaps a folder with a
longer name, which the next trainer removes.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np

from flaxart.machine import processes
from flaxart.machine.files import write_text
from flaxart.workdir import manifest
from flaxart.workdir.manifest import CALIBRATION, FOLDER, OPTIMIZER, steps_in
from flaxart.workdir.read_back import missing_arrays
from tfds_rijks.errors import UserError

DAMAGED = 'checkpoints-damaged'  # where a fallback puts what it passes over
UNFINISHED = ('*.orbax-checkpoint-tmp*', '*.deleted', '*.new')
log = logging.getLogger('flaxart')


def delete(path: Path, folder: Path) -> None:
  """Deletes a checkpoint, or an item of one: renames it first, then removes its files."""
  gone = folder / ('-'.join(path.relative_to(folder).parts) + '.deleted')
  path.rename(gone)
  shutil.rmtree(gone)


def add_calibration(workdir: Path, step: int, files: Mapping[str, str]) -> None:
  """Seals these texts, by file name, as the calibration of a checkpoint, in place of another."""
  folder = workdir / FOLDER
  part, new = folder / str(step) / CALIBRATION, folder / f'{step}-{CALIBRATION}.new'
  shutil.rmtree(new, ignore_errors=True)
  new.mkdir()
  for name, text in files.items():
    write_text(new / name, text)
  manifest.seal(new)
  if part.exists():
    delete(part, folder)
  new.rename(part)


def leftovers(folder: Path) -> list[Path]:
  """Folders left by a process that was killed while it saved or deleted."""
  return [path for pattern in UNFINISHED for path in folder.glob(pattern)]


def tidy(folder: Path) -> None:
  """Makes the folder and removes leftovers; for the trainer that holds the workdir's lock."""
  if jax.process_index() == 0:
    folder.mkdir(exist_ok=True)
    for path in leftovers(folder):
      shutil.rmtree(path)
  processes.wait_for_all('checkpoints tidied')


def shrink(folder: Path, step: int) -> None:
  """Leaves the one checkpoint of a finished run, without optimizer; may be called again.

  The optimizer goes first: from then on the run counts as finished (`finished_step`).
  """
  tidy(folder)
  if jax.process_index() == 0:
    if (folder / str(step) / OPTIMIZER).exists():
      delete(folder / str(step) / OPTIMIZER, folder)
    for other in set(steps_in(folder)) - {step}:
      delete(folder / str(other), folder)
  processes.wait_for_all('checkpoints shrunk')


def set_aside_damaged(workdir: Path) -> None:
  """Moves damaged checkpoints to `checkpoints-damaged/`, so that a run continues from an intact
  one. Nothing is deleted. A newest one that only lacks a manifest stays: its save was interrupted.
  Raises `UserError` if none is intact.
  """
  folder = workdir / FOLDER
  wrong = {}
  if jax.process_index() == 0:
    for step in steps_in(folder):
      path = folder / str(step)
      cut_off = step == steps_in(folder)[-1] and not manifest.is_sealed(path)
      whole = cut_off and not missing_arrays(path)
      if not whole and (problems := manifest.problems(path)):
        wrong[step] = problems[0]
  none_is_left = bool(wrong) and len(wrong) == len(steps_in(folder))
  if processes.from_first_process(np.bool_(none_is_left)):
    raise UserError(
      f'{folder}: every checkpoint is damaged; restore one from a copy, or start again in '
      'another --workdir'
    )
  for step, problem in wrong.items():
    log.warning('step %d is damaged (%s): moved to %s', step, problem, workdir / DAMAGED)
    (workdir / DAMAGED).mkdir(exist_ok=True)
    target = workdir / DAMAGED / str(step)
    shutil.rmtree(target, ignore_errors=True)
    (folder / str(step)).rename(target)
  processes.wait_for_all('damaged checkpoints set aside')
