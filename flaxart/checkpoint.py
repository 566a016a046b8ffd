"""Checkpoints: the only file that knows Orbax.

Step convention: checkpoint `n` holds the state after `n` updates; the run goes on with the batch of
step `n`. The latest and the best checkpoint are kept, the best by a score that is always finite:
Orbax would delete the best one at the first NaN. `force=True` on every save, because its default
policy drops saves in silence while another one is being written.

Layout: `checkpoints/<step>/state` with `params`, `batch_stats`, `opt_state`, `watch` and `step`, as
plain nested dictionaries, so that `orbax.checkpoint.v1.load` reads it without flaxart. Under a
running average of the weights `params` and `batch_stats` are the average, and `raw` goes on
learning.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from orbax.checkpoint import v1 as ocp

from flaxart import manifest
from flaxart.sharding import replicated
from flaxart.state import TrainState, all_params
from flaxart.watch import Watch
from tfds_rijks.errors import UserError

FOLDER = 'checkpoints'
NO_SCORE = -1e30  # of a checkpoint that was never evaluated, or whose score is no number


class Checkpointer:
  """Saves in the background, keeps best and latest, restores; use as a context manager."""

  def __init__(self, workdir: Path):
    policies = ocp.training.preservation_policies
    keep = policies.AnyPreservationPolicy(
      [policies.LatestN(1), policies.BestN(get_metric_fn=_score, reverse=False, n=1)]
    )
    # What a killed save left behind is removed at the start; finished checkpoints never are.
    self._folder = (workdir / FOLDER).resolve()
    self._orbax = ocp.training.Checkpointer(
      self._folder, preservation_policy=keep, cleanup_tmp_directories=True
    )
    self._seal()  # a save may have been complete when its process was killed

  def __enter__(self) -> Checkpointer:
    return self

  def __exit__(self, *error: object) -> None:
    self.close()

  def save(self, state: TrainState, *, score: float | None = None) -> None:
    """Starts writing `state` and returns; an error of the save before this one is raised here."""
    self._seal()
    finite = score is not None and math.isfinite(score)
    tree = state_tree(state)
    self._orbax.save_async(
      int(state.step),
      tree,
      force=True,
      overwrite=True,
      metrics={'score': float(score) if finite and score is not None else NO_SCORE},
    )

  def wait(self) -> None:
    """Returns when everything is on disk."""
    self._orbax.wait()
    self._seal()

  def close(self) -> None:
    """Waits for the last save and reports its error."""
    try:
      self.wait()
    finally:
      self._orbax.close()

  def _seal(self) -> None:
    """Writes the manifests of finished saves; process 0 writes, as it does everything else."""
    if jax.process_index() == 0:
      for checkpoint in self._orbax.checkpoints:
        folder = self._folder / str(checkpoint.step)
        if folder.is_dir() and not (folder / manifest.FILE).exists():
          manifest.seal(folder)

  def latest_step(self) -> int | None:
    """The newest complete checkpoint, or None."""
    return max((c.step for c in self._orbax.checkpoints), default=None)

  def scores(self) -> dict[int, float]:
    """The score of every checkpoint that has one."""
    return {
      c.step: _score(c.metrics) for c in self._orbax.checkpoints if _score(c.metrics) > NO_SCORE
    }

  def best_step(self) -> int | None:
    """The checkpoint with the best score; the latest if none was ever scored."""
    scores = self.scores()
    return max(scores, key=lambda step: (scores[step], -step)) if scores else self.latest_step()

  def restore(self, step: int, like: TrainState, *, mesh: Mesh) -> TrainState:
    """The stored state of `step`, in the shape and on the devices of `like`; files are checked."""
    check_files(self._folder / str(step))
    try:
      tree = self._orbax.load(step, abstract(state_tree(like), mesh))
    except (ValueError, KeyError, FileNotFoundError) as error:
      raise UserError(_unreadable(self._folder, step, error)) from error
    kept = (fill(like.trainable, tree['params']), fill(like.batch_stats, tree['batch_stats']))
    learning = tree.get('raw', tree)
    return TrainState(
      step=tree['step'],
      trainable=fill(like.trainable, learning['params']),
      frozen=fill(like.frozen, tree['params']),
      batch_stats=fill(like.batch_stats, learning['batch_stats']),
      opt_state=fill_leaves(like.opt_state, tree['opt_state']),
      watch=Watch(**tree['watch']),
      average=None if like.average is None else kept,
    )


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
  try:
    context = ocp.Context()
    context.pytree.loading.partial_load = True
    with context:
      return ocp.load(folder / str(step), wanted)
  except (ValueError, KeyError, FileNotFoundError) as error:
    raise UserError(_unreadable(folder, step, error)) from error


def check_files(folder: Path) -> None:
  """Refuses a checkpoint whose files are not those that were written."""
  wrong = manifest.problems(folder) if folder.is_dir() else [f'{folder}: does not exist']
  if wrong:
    more = f' and {len(wrong) - 1} more' if len(wrong) > 1 else ''
    raise UserError(
      f'{wrong[0]}{more}; the checkpoint is damaged: restore it from a copy, or remove the folder '
      f'{folder.name} to use another step'
    )


def steps_on_disk(workdir: Path) -> dict[int, float]:
  """Complete checkpoints of a run and their scores, without opening it for writing."""
  folder = (workdir / FOLDER).resolve()
  if not folder.is_dir():
    return {}
  with ocp.training.Checkpointer(folder) as orbax:
    return {c.step: _score(c.metrics) for c in orbax.checkpoints}


def best_on_disk(workdir: Path) -> int:
  """The best checkpoint of a run, or a line that says there is none."""
  steps = steps_on_disk(workdir)
  if not steps:
    raise UserError(
      f'{workdir / FOLDER}: holds no complete checkpoint; give the workdir of a run '
      'that has been evaluated at least once'
    )
  return max(steps, key=lambda step: (steps[step], -step if steps[step] > NO_SCORE else step))


def state_tree(state: TrainState) -> dict[str, Any]:
  """What is stored: nested dictionaries of arrays, and the optimizer's leaves by number."""
  leaves = jax.tree.leaves(state.opt_state)
  kept = state.evaluated()
  tree = {
    'params': nnx.to_pure_dict(all_params(kept)),
    'batch_stats': nnx.to_pure_dict(kept.batch_stats),
    'opt_state': {f'{i:04d}': leaf for i, leaf in enumerate(leaves)},
    'watch': dataclasses.asdict(state.watch),
    'step': state.step,
  }
  if state.average is not None:
    tree['raw'] = {
      'params': nnx.to_pure_dict(state.trainable),
      'batch_stats': nnx.to_pure_dict(state.batch_stats),
    }
  return tree


def sha256_of(tree: Any) -> str:
  """Of the names and bytes of all arrays, in the order of their names."""
  digest = hashlib.sha256()
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    array = np.asarray(leaf)
    digest.update(f'{jax.tree_util.keystr(path)} {array.dtype} {array.shape}'.encode())
    digest.update(array.tobytes())
  return digest.hexdigest()


def abstract(tree: Any, mesh: Mesh) -> Any:
  """Shapes, dtypes and the sharding to restore to: without it a checkpoint is bound to its mesh."""
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated(mesh)), tree
  )


def fill(like: nnx.State, tree: dict[str, Any]) -> nnx.State:
  """A copy of `like` with the arrays that `tree` has at the same paths."""

  def at(path: tuple[Any, ...]) -> Any:
    node = tree
    for part in path:
      node = node[part] if part in node else node[str(part)]
    return node

  return nnx.from_flat_state(
    [(path, leaf.replace(at(path))) for path, leaf in nnx.to_flat_state(like)]
  )


def fill_leaves(like: Any, stored: dict[str, Any]) -> Any:
  """The optimizer state from its numbered leaves."""
  return jax.tree.unflatten(jax.tree.structure(like), [stored[key] for key in sorted(stored)])


def _score(metrics: Any) -> float:
  return float((metrics or {}).get('score', NO_SCORE))


def _unreadable(folder: Path, step: int, error: Exception) -> str:
  first = str(error).strip().splitlines() or [type(error).__name__]
  return (
    f'{folder / str(step)}: cannot be restored ({first[0][:200]}); the checkpoint is damaged or '
    'belongs to another network: remove this step to go on from an earlier one'
  )
