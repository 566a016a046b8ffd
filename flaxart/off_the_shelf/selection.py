"""Settings that are tried in turn: the best val score of each, and the one kept."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import flaxart
from flaxart.training.run import Run
from flaxart.workdir import identity
from flaxart.workdir.checkpoint import steps_on_disk
from tfds_rijks.errors import UserError


class Selection:
  """The settings `names` of a run; the one with the best val score is kept.

  `best` `[K]` float32 is the best score of each so far, `steps` `[K]` int32 its trained steps: both
  are stored with the heads of several settings.
  """

  def __init__(self, names: list[str]):
    self.names = names
    self.best = np.full(len(names), -np.inf, np.float32)
    self.steps = np.zeros(len(names), np.int32)

  def take(self, number: int, step: int, score: float | None) -> bool:
    """Takes an evaluation of a setting after `step`; returns whether its score is the best so far.
    No score, or NaN, is never the best.
    """
    self.steps[number] = step
    if score is None or math.isnan(score):
      return False
    # In the stored precision, so that a resumed run compares the same numbers.
    known = np.float32(score)
    better = bool(known > self.best.max())
    self.best[number] = max(self.best[number], known)
    return better

  def reached(self) -> dict[str, np.ndarray]:
    """The arrays to store."""
    return {'best': self.best, 'steps': self.steps}

  def go_on(self, reached: dict[str, Any]) -> None:
    """Takes the stored arrays."""
    self.best, self.steps = np.array(reached['best']), np.array(reached['steps'])

  def entry(self, number: int, *, by_loss: bool) -> dict[str, Any]:
    """The entry of `results.json` for several settings of which `number` was kept: the best `val`
    score of each, or its least `val_loss` if that was compared.
    """
    what, sign = ('val_loss', -1) if by_loss else ('val', 1)
    pairs = zip(self.names, self.best, strict=True)
    return {
      'settings': [
        {'name': name, what: sign * float(best) if np.isfinite(best) else None}
        for name, best in pairs
      ],
      'setting': self.names[number],
    }


def check_choice(run: Run) -> None:
  """Raises `UserError` for several settings without a val split that has labels, and for a run of
  several settings in format 1, which stored them in one state.
  """
  count, val = len(run.settings.trials), run.dataset.splits.get('val')
  if count == 1:
    return
  if steps_on_disk(run.workdir) and identity.format_of(run.workdir) == 1:
    raise UserError(
      f'{run.workdir}: was begun with {count} config.probe.settings in one pass, and '
      f'flaxart {flaxart.__version__} trains them one after the other; start another --workdir '
      f'(the features are kept), or finish this run with flaxart {identity.written_by(run.workdir)}'
    )
  if val is not None and any(task.is_labelled(val.labels[task.name]).any() for task in run.tasks):
    return
  found = 'no val split' if val is None else 'a val split without labels of these tasks'
  raise UserError(
    f'config.probe.settings: choosing among {count} settings needs a val split, '
    f'and {run.dataset.name} has {found}; give one setting, or prepare a val split with labels'
  )
