"""Checkpoints: with `read_back` the only file that knows Orbax.

Step convention: checkpoint `n` holds the state after `n` updates; the run continues with the batch
of step `n`. The latest and the best checkpoint are kept, the best by a score that is always finite.
Orbax only writes and reads here. Which checkpoints exist and which to delete is decided from the
folder: Orbax's own manager silently drops saves while another is being written, deletes the best
one at the first NaN, and leaves half of one under its name if killed while deleting.

Layout: `checkpoints/<step>/state` is what evaluation needs, `checkpoints/<step>/optimizer` what
training also needs (see `state_tree`). `orbax.checkpoint.v1.load` reads the first without flaxart.
In format 1 `state` held everything, and `metrics` the score.
"""

from __future__ import annotations

import logging
import math
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
from flax import nnx
from jax.sharding import Mesh
from orbax.checkpoint import v1 as ocp

from flaxart.machine import processes
from flaxart.machine.files import damaged
from flaxart.network.state import TrainState
from flaxart.network.state_tree import abstract, fill, from_tree, state_tree
from flaxart.workdir import checkpoint_folder, identity, manifest
from flaxart.workdir.manifest import FOLDER, OPTIMIZER, steps_in
from flaxart.workdir.read_back import missing_arrays
from tfds_rijks import strict_json
from tfds_rijks.errors import UserError
from tfds_rijks.progress import working

STATE = 'state'  # the item that `orbax.checkpoint.v1.load` takes where none is named
NO_SCORE = -1e30  # of a checkpoint that was never evaluated, or whose score is NaN
# Orbax's errors for damaged or unwritable files.
_FAILURES = (ValueError, KeyError, OSError, RuntimeError)
log = logging.getLogger('flaxart')


class Checkpointer:
  """Saves in the background (or not), keeps best and latest, restores; use as a context manager."""

  def __init__(self, workdir: Path, *, fallback: bool = False, asynchronous: bool = True):
    self._workdir, self._asynchronous = workdir, asynchronous
    self._folder = (workdir / FOLDER).resolve()
    checkpoint_folder.tidy(self._folder)
    if fallback:
      checkpoint_folder.set_aside_damaged(workdir)
    self._background = ThreadPoolExecutor(1, thread_name_prefix='checkpoint')
    self._saving: Future[None] | None = None
    self._closed = False
    if (newest := self.latest_step()) is not None:
      self._seal(newest)  # a process may have been killed after a complete save
    self._keep_best_and_latest()

  def __enter__(self) -> Checkpointer:
    return self

  def __exit__(self, *error: object) -> None:
    self.close()

  def save(self, state: TrainState, *, score: float | None = None) -> None:
    """Starts writing `state` and returns; unless `asynchronous`, returns when it is on disk.

    Raises `UserError` if there is no room, or if the previous save failed.
    """
    self.wait()
    step, tree = int(state.step), state_tree(state)
    needed = sum(x.nbytes for x in jax.tree.leaves(tree))
    free = shutil.disk_usage(self._folder).free
    if needed > free:
      raise UserError(
        self._unwritten(f'needs {needed / 1e6:.1f} MB, {free / 1e6:.1f} MB are free', step)
      )
    score = float(score) if score is not None and math.isfinite(score) else None
    try:
      response = ocp.save_checkpointables_async(
        self._folder / str(step),
        tree,
        custom_metadata={'score': score},
      )
    except _FAILURES as error:
      raise UserError(self._unwritten(_first_line(error), step)) from error
    self._saving = self._background.submit(self._complete, response, step)
    if not self._asynchronous:
      self.wait()

  def wait(self) -> None:
    """Waits until everything is on disk; raises the error of the last save."""
    saving, self._saving = self._saving, None
    if saving is None:
      return
    try:
      with working('writing the checkpoint'):
        saving.result()
    except _FAILURES as error:
      raise UserError(self._unwritten(_first_line(error))) from error
    self._keep_best_and_latest()

  def close(self) -> None:
    """Waits for the last save and raises its error; does nothing the second time."""
    if self._closed:
      return
    self._closed = True
    try:
      self.wait()
    finally:
      self._background.shutdown()

  def keep_only(self, step: int) -> None:
    """Leaves one checkpoint of a finished run, without what only training needs.

    Nothing can be saved afterwards. In format 1, where both are one item, everything stays.
    """
    self.close()
    if (self._folder / str(step) / OPTIMIZER).exists():
      checkpoint_folder.shrink(self._folder, step)
    else:
      log.info('step %d was saved by an earlier flaxart: it keeps its optimizer', step)

  def latest_step(self) -> int | None:
    """The newest checkpoint, or None."""
    return max(steps_in(self._folder), default=None)

  def best_step(self) -> int | None:
    """The checkpoint with the best score; the latest if none was ever scored."""
    return next(iter(_best_first(steps_on_disk(self._workdir))), None)

  def restore(self, step: int, like: TrainState, *, mesh: Mesh) -> TrainState:
    """The stored state of `step`, checked, in the shape and on the devices of `like`."""
    folder = self._folder / str(step)
    with working(f'checking checkpoint {step}'):
      manifest.check(folder)
    identity.check_checkpoint(self._workdir, folder)
    if not _has_optimizer(folder):
      raise UserError(
        f'{folder}: has no optimizer, which a finished run deletes; give another '
        '--workdir to train again'
      )
    wanted = abstract(state_tree(like), mesh)
    try:
      with working(f'reading checkpoint {step}'):
        if (folder / OPTIMIZER).exists():
          items = ocp.load_checkpointables(folder, wanted)
        else:  # format 1
          items = {STATE: ocp.load(folder, {**wanted[STATE], **wanted[OPTIMIZER]}), OPTIMIZER: {}}
    except Exception as error:  # a plain one, of an array that cannot be read
      raise UserError(_unreadable(folder, error)) from error
    return from_tree({**items[STATE], **items[OPTIMIZER]}, like)

  def _complete(self, response: Any, step: int) -> None:
    """Waits for Orbax and seals its files, in a separate thread."""
    response.result()
    if missing := self._seal(step):
      raise OSError(f'{len(missing)} arrays cannot be read back, such as {missing[0]}')

  def _seal(self, step: int) -> list[str]:
    """Adds the files needed to read a finished save, and the manifests; process 0 writes.

    Leaves a save with missing arrays unsealed, and returns their names.
    """
    folder = self._folder / str(step)
    if jax.process_index() != 0 or manifest.is_sealed(folder):
      return []
    if not (missing := missing_arrays(folder)):
      identity.copy_into(folder, self._workdir)
      manifest.seal(folder)
    return missing

  def _keep_best_and_latest(self) -> None:
    if jax.process_index() == 0:
      for step in {*steps_in(self._folder)} - {self.latest_step(), self.best_step()}:
        checkpoint_folder.delete(self._folder / str(step), self._folder)
    processes.wait_for_all('best and latest checkpoint kept')

  def _unwritten(self, why: str, step: int | None = None) -> str:
    name = 'a checkpoint' if step is None else f'checkpoint {step}'
    steps = steps_in(self._folder)
    intact = (
      f'steps {", ".join(map(str, steps))} are intact' if steps else 'there is no earlier one'
    )
    return (
      f'{self._folder}: {name} could not be written ({why}); {intact}: free some space or make the '
      'folder writable, then start the run again'
    )


def finished_step(workdir: Path) -> int | None:
  """The checkpoint without optimizer that a finished run leaves, if there is one."""
  folder = (workdir / FOLDER).resolve()
  return next((step for step in steps_in(folder) if not _has_optimizer(folder / str(step))), None)


def restore_params(
  workdir: Path, step: int, params: nnx.State, batch_stats: nnx.State, *, mesh: Mesh
) -> tuple[nnx.State, nnx.State]:
  """Parameters and statistics without the optimizer, in the shape of the given states."""
  wanted = abstract(
    {'params': nnx.to_pure_dict(params), 'batch_stats': nnx.to_pure_dict(batch_stats)}, mesh
  )
  tree = load_part(workdir, step, wanted)
  return fill(params, tree['params']), fill(batch_stats, tree['batch_stats'])


def load_part(workdir: Path, step: int, wanted: dict[str, Any]) -> dict[str, Any]:
  """The arrays of a stored network that `wanted` (abstract arrays) names."""
  folder = (workdir / FOLDER).resolve() / str(step)
  with working(f'checking checkpoint {step}'):
    manifest.check(folder, optimizer=False)
  identity.check_checkpoint(workdir, folder)
  try:
    context = ocp.Context()
    context.pytree.loading.partial_load = True
    with context, working(f'reading checkpoint {step}'):
      return ocp.load(folder, wanted)
  except Exception as error:  # a plain one, of an array that cannot be read
    raise UserError(_unreadable(folder, error)) from error


def steps_on_disk(workdir: Path) -> dict[int, float]:
  """The checkpoints of a run and their scores; opens nothing for writing."""
  return {step: _score(workdir / FOLDER / str(step)) for step in steps_in(workdir / FOLDER)}


def best_on_disk(workdir: Path, *, fallback: bool = False) -> int:
  """The best checkpoint of a run; `UserError` if there is none.

  With `fallback` the best intact one; damaged ones are logged and skipped.
  """
  folder = workdir / FOLDER
  steps = steps_in(folder)
  if not steps:
    raise UserError(
      f'{folder}: has no complete checkpoint; give the workdir of a run that was '
      'evaluated at least once'
    )
  for step in steps if fallback else []:
    if wrong := manifest.problems(folder / str(step), optimizer=False):
      log.warning('step %d is damaged (%s): skipped', step, wrong[0])
      steps = [other for other in steps if other != step]
  if not steps:
    raise UserError(f'{folder}: every checkpoint is damaged; restore one from a copy')
  return _best_first({step: _score(folder / str(step)) for step in steps})[0]


def _best_first(scores: dict[int, float]) -> list[int]:
  """Sorts by score, then the earlier first; of those never scored, the later first."""
  rank = lambda step: (scores[step], -step if scores[step] > NO_SCORE else step)  # noqa: E731
  return sorted(scores, key=rank, reverse=True)


def _score(folder: Path) -> float:
  """The score of a checkpoint, checked like its arrays; `NO_SCORE` if it has none."""
  name = '_CHECKPOINT_METADATA'
  try:
    found = strict_json.parse(manifest.read(folder, name))['custom_metadata']
    if 'score' not in found:  # format 1
      name = 'metrics/metrics'
      found = strict_json.parse(manifest.read(folder, name), nan_as_none=True)
    score = found['score']
    if score is not None and (isinstance(score, bool) or not isinstance(score, int | float)):
      raise ValueError(f'the score is {score!r:.40}')
    return NO_SCORE if score is None else float(score)
  except (ValueError, KeyError, TypeError, OSError) as error:  # not sealed yet
    raise damaged(folder / name, error) from None


def _has_optimizer(folder: Path) -> bool:
  """Whether training can continue from a checkpoint; in format 1 the optimizer is in `state`."""
  try:
    return (folder / OPTIMIZER).exists() or 'opt_state' in ocp.metadata(folder).metadata
  except _FAILURES:
    return True  # restoring it reports the error


def _first_line(error: BaseException) -> str:
  while error.__cause__ is not None:  # the cause, not the context
    error = error.__cause__
  return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _unreadable(folder: Path, error: Exception) -> str:
  return (
    f'{folder}: cannot be restored ({_first_line(error)}); the checkpoint is damaged or of '
    'another network: remove this step to continue from an earlier one'
  )
