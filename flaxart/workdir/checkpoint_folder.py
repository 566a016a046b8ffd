"""What happens to whole checkpoints on disk: sealing, deleting, setting aside, replacing.

Each of these survives being killed at any moment: what counts is one rename, and what a killed
process left half done is completed at the next start (`settle`).
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import jax
import numpy as np

from flaxart.machine import processes
from flaxart.workdir import identity, manifest
from tfds_rijks.errors import UserError

FOLDER = 'checkpoints'
DAMAGED = 'checkpoints-damaged'  # where a fallback puts what it passes over
# A finished run's one checkpoint before it takes the place of the others, and those after that.
FINAL, REPLACED = 'checkpoints-final.tmp', 'checkpoints-replaced.tmp'
DELETED = 'checkpoints-deleted.tmp'  # where one goes before it is deleted file by file
log = logging.getLogger('flaxart')


def is_cut_off(workdir: Path) -> bool:
  """Whether a finished run was killed while its one checkpoint took the place of the others."""
  return (workdir / FINAL).exists() or (workdir / REPLACED).exists()


def settle(workdir: Path) -> None:
  """Completes what was cut off: deleting, and putting a finished run's checkpoint in the place of
  the others. Only for the trainer that holds the workdir's lock: another may be at it.
  """
  final, old = workdir / FINAL, workdir / REPLACED
  if jax.process_index() == 0:
    sealed = any((path / manifest.FILE).exists() for path in final.glob('*'))
    if final.exists() and not sealed:
      shutil.rmtree(final)  # its save was cut off; the others are all there
    elif final.exists():
      if (workdir / FOLDER).exists():
        shutil.rmtree(old, ignore_errors=True)
        (workdir / FOLDER).rename(old)
      final.rename(workdir / FOLDER)
    for left in (old, workdir / DELETED):
      if left.exists():
        shutil.rmtree(left)
  processes.wait_for_all('checkpoints settled')


def check_files(folder: Path) -> None:
  """Refuses a checkpoint whose files are not those that were written."""
  wrong = manifest.problems(folder) if folder.is_dir() else [f'{folder}: does not exist']
  if wrong:
    more = f' and {len(wrong) - 1} more' if len(wrong) > 1 else ''
    raise UserError(
      f'{wrong[0]}{more}; the checkpoint is damaged: restore it from a copy, or give --fallback to '
      'use the newest sound one'
    )


def set_aside_damaged(workdir: Path) -> None:
  """Moves damaged checkpoints to `checkpoints-damaged/`, so that a run goes on from a sound one.

  Nothing is deleted. A newest one without a manifest is left: its save was cut off before that.
  Raises `UserError` where none is sound: there is nothing to go on from.
  """
  folder = workdir / FOLDER
  wrong = {}
  if jax.process_index() == 0:
    for step in steps_in(folder):
      path = folder / str(step)
      unsealed = step == steps_in(folder)[-1] and not (path / manifest.FILE).exists()
      if not unsealed and (problems := manifest.problems(path)):
        wrong[step] = problems[0]
  none_is_left = bool(wrong) and len(wrong) == len(steps_in(folder))
  if processes.from_first_process(np.bool_(none_is_left)):
    raise UserError(
      f'{folder}: every checkpoint is damaged; restore one from a copy, or begin anew in another '
      '--workdir'
    )
  for step, problem in wrong.items():
    log.warning('step %d is damaged (%s): moved to %s', step, problem, workdir / DAMAGED)
    (workdir / DAMAGED).mkdir(exist_ok=True)
    target = workdir / DAMAGED / str(step)
    shutil.rmtree(target, ignore_errors=True)
    (folder / str(step)).rename(target)
  processes.wait_for_all('damaged checkpoints set aside')


def seal(folder: Path, workdir: Path) -> None:
  """Adds what is needed to read a finished save, and the manifest over all; process 0 writes."""
  if jax.process_index() == 0 and not (folder / manifest.FILE).exists():
    identity.copy_into(folder, workdir)
    manifest.seal(folder)
  processes.wait_for_all('checkpoint sealed')


def delete(folder: Path, workdir: Path) -> None:
  """Takes a checkpoint out of sight at once, and then its files away."""
  (workdir / DELETED).mkdir(exist_ok=True)
  folder.rename(workdir / DELETED / folder.name)
  shutil.rmtree(workdir / DELETED)


def steps_in(folder: Path) -> list[int]:
  """The finished checkpoints in a folder (a save in progress has a longer name), oldest first."""
  return sorted(int(path.name) for path in folder.glob('*') if path.name.isdigit())
