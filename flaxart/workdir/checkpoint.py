"""Checkpoints: the only file that knows Orbax.

Step convention: checkpoint `n` holds the state after `n` updates; the run goes on with the batch of
step `n`. The latest and the best checkpoint are kept, the best by a score that is always finite.
`force=True` on every save, because Orbax's default policy drops saves in silence while another one
is being written. Old checkpoints are deleted here and not by Orbax, which would delete the best one
at the first NaN, and leaves half of one under its name when it is killed at it.

Layout: `checkpoints/<step>/state`, as `state_tree` has it: `orbax.checkpoint.v1.load` reads it
without flaxart. What happens to whole checkpoints on disk is in `checkpoint_folder`.
"""

from __future__ import annotations

import logging
import math
import shutil
from pathlib import Path
from typing import Any

import jax
from flax import nnx
from jax.sharding import Mesh
from orbax.checkpoint import v1 as ocp

from flaxart.network.state import TrainState
from flaxart.network.state_tree import abstract, fill, from_tree, state_tree
from flaxart.workdir import identity, manifest
from flaxart.workdir.checkpoint_folder import (
  FINAL,
  FOLDER,
  check_files,
  delete,
  seal,
  set_aside_damaged,
  settle,
  steps_in,
)
from tfds_rijks.errors import UserError

NO_SCORE = -1e30  # of a checkpoint that was never evaluated, or whose score is no number
# What Orbax raises for files that are not what they should be, or that it cannot write.
_FAILURES = (ValueError, KeyError, OSError, RuntimeError)
log = logging.getLogger('flaxart')


class Checkpointer:
  """Saves in the background (or not), keeps best and latest, restores; use as a context manager."""

  def __init__(self, workdir: Path, *, fallback: bool = False, asynchronous: bool = True):
    self._workdir, self._asynchronous = workdir, asynchronous
    settle(workdir)
    self._folder = (workdir / FOLDER).resolve()
    if fallback:
      set_aside_damaged(workdir)
    # What a killed save left behind is removed at the start; finished checkpoints never are.
    self._orbax = ocp.training.Checkpointer(
      self._folder,
      preservation_policy=ocp.training.preservation_policies.PreserveAll(),
      cleanup_tmp_directories=True,
    )
    self._response: Any = None  # of the save that is under way
    self._closed = False
    self._seal()  # a save may have been complete when its process was killed

  def __enter__(self) -> Checkpointer:
    return self

  def __exit__(self, *error: object) -> None:
    self.close()

  def save(self, state: TrainState, *, score: float | None = None) -> None:
    """Starts writing `state` and returns; unless `asynchronous`, returns when it is on disk.

    Raises `UserError` if there is no room for it, or if the save before this one failed.
    """
    self.wait()
    step, tree = int(state.step), state_tree(state)
    needed = sum(x.nbytes for x in jax.tree.leaves(tree))
    free = shutil.disk_usage(self._folder).free
    if needed > free:
      raise UserError(
        self._unwritten(f'needs {needed / 1e6:.1f} MB, {free / 1e6:.1f} MB are free', step)
      )
    finite = score is not None and math.isfinite(score)
    try:
      self._response = self._orbax.save_async(
        step,
        tree,
        force=True,
        overwrite=True,
        metrics={'score': float(score) if finite and score is not None else NO_SCORE},
      )
    except _FAILURES as error:
      raise UserError(self._unwritten(_first_line(error), step)) from error
    if not self._asynchronous:
      self.wait()

  def wait(self) -> None:
    """Returns when everything is on disk; an error of the last save is raised here."""
    response, self._response = self._response, None
    try:
      if response is not None:
        response.result()  # `wait` alone would leave its thread and three open files behind
      self._orbax.wait()
    except _FAILURES as error:
      raise UserError(self._unwritten(_first_line(error))) from error
    self._seal()

  def close(self) -> None:
    """Waits for the last save and reports its error; does nothing the second time."""
    if self._closed:
      return
    self._closed = True
    try:
      self.wait()
    finally:
      self._orbax.close()

  def keep_only(self, state: TrainState) -> None:
    """Leaves `state`, of a run that is finished, without what only further training needs.

    Nothing can be saved after it. The new checkpoint is complete before the old ones go.
    """
    step, tree = int(state.step), state_tree(state)
    metrics = {'score': self.scores().get(step, NO_SCORE)}
    self.close()
    final = (self._workdir / FINAL).resolve()
    try:
      with ocp.training.Checkpointer(final) as orbax:
        slim = {name: tree[name] for name in ('params', 'batch_stats', 'step')}
        orbax.save(step, slim, force=True, overwrite=True, metrics=metrics)
    except _FAILURES as error:
      raise UserError(self._unwritten(_first_line(error), step)) from error
    seal(final / str(step), self._workdir)
    settle(self._workdir)

  def _seal(self) -> None:
    """Completes the newest finished save, and deletes those that are neither newest nor best.

    Only the newest can lack one: a save waits until the one before it is sealed.
    """
    newest = self.latest_step()
    if newest is None:
      return
    seal(self._folder / str(newest), self._workdir)
    if jax.process_index() == 0:
      for step in {c.step for c in self._there()} - {newest, self.best_step()}:
        delete(self._folder / str(step), self._workdir)

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

  def _there(self) -> list[Any]:
    """What Orbax knows of every checkpoint that was not deleted."""
    return [c for c in self._orbax.checkpoints if (self._folder / str(c.step)).exists()]

  def latest_step(self) -> int | None:
    """The newest complete checkpoint, or None."""
    return max((c.step for c in self._there()), default=None)

  def scores(self) -> dict[int, float]:
    """The score of every checkpoint that has one."""
    return {c.step: _score(c.metrics) for c in self._there() if _score(c.metrics) > NO_SCORE}

  def best_step(self) -> int | None:
    """The checkpoint with the best score; the latest if none was ever scored."""
    scores = self.scores()
    return max(scores, key=lambda step: (scores[step], -step)) if scores else self.latest_step()

  def restore(self, step: int, like: TrainState, *, mesh: Mesh) -> TrainState:
    """The stored state of `step`, in the shape and on the devices of `like`; files are checked."""
    check_files(self._folder / str(step))
    identity.check_checkpoint(self._workdir, self._folder / str(step))
    try:
      tree = self._orbax.load(step, abstract(state_tree(like), mesh))
    except _FAILURES as error:
      raise UserError(_unreadable(self._folder, step, error)) from error
    return from_tree(tree, like)


def is_final(workdir: Path) -> bool:
  """Whether the run is finished and has nothing left to train on from."""
  steps = steps_in(workdir / FOLDER)
  if len(steps) != 1:
    return False
  folder = workdir / FOLDER / str(steps[0])
  try:
    return 'opt_state' not in ocp.metadata(folder.resolve()).metadata
  except _FAILURES:
    return False  # whoever restores it says what is wrong


def restore_params(
  workdir: Path, step: int, params: nnx.State, batch_stats: nnx.State, *, mesh: Mesh
) -> tuple[nnx.State, nnx.State]:
  """Parameters and statistics alone, without the optimizer, in the shape of the given states."""
  wanted = abstract(
    {'params': nnx.to_pure_dict(params), 'batch_stats': nnx.to_pure_dict(batch_stats)}, mesh
  )
  tree = load_part(workdir, step, wanted)
  return fill(params, tree['params']), fill(batch_stats, tree['batch_stats'])


def load_part(workdir: Path, step: int, wanted: dict[str, Any]) -> dict[str, Any]:
  """The part of a stored state that `wanted` (abstract arrays) names."""
  folder = (workdir / FOLDER).resolve()
  check_files(folder / str(step))
  identity.check_checkpoint(workdir, folder / str(step))
  try:
    context = ocp.Context()
    context.pytree.loading.partial_load = True
    with context:
      return ocp.load(folder / str(step), wanted)
  except _FAILURES as error:
    raise UserError(_unreadable(folder, step, error)) from error


def steps_on_disk(workdir: Path) -> dict[int, float]:
  """Complete checkpoints of a run and their scores, without opening it for writing."""
  folder = (workdir / FOLDER).resolve()
  if not folder.is_dir():
    return {}
  with ocp.training.Checkpointer(folder) as orbax:
    return {c.step: _score(c.metrics) for c in orbax.checkpoints}


def best_on_disk(workdir: Path, *, fallback: bool = False) -> int:
  """The best checkpoint of a run, or a line that says there is none.

  With `fallback` the best one whose files are sound; damaged ones that are passed over are logged.
  """
  steps = steps_on_disk(workdir)
  if not steps:
    raise UserError(
      f'{workdir / FOLDER}: holds no complete checkpoint; give the workdir of a run '
      'that has been evaluated at least once'
    )
  rank = lambda step: (steps[step], -step if steps[step] > NO_SCORE else step)  # noqa: E731
  for step in sorted(steps, key=rank, reverse=True):
    wrong = manifest.problems(workdir / FOLDER / str(step)) if fallback else []
    if not wrong:
      return step
    log.warning('step %d is damaged (%s): using the next best one', step, wrong[0])
  raise UserError(f'{workdir / FOLDER}: every checkpoint is damaged; restore one from a copy')


def _score(metrics: Any) -> float:
  return float((metrics or {}).get('score', NO_SCORE))


def _first_line(error: BaseException) -> str:
  while error.__cause__ is not None:  # what went wrong, not what was being done
    error = error.__cause__
  return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _unreadable(folder: Path, step: int, error: Exception) -> str:
  return (
    f'{folder / str(step)}: cannot be restored ({_first_line(error)}); the checkpoint is damaged '
    'or belongs to another network: remove this step to go on from an earlier one'
  )
