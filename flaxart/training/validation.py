"""Decisions after an evaluation on val: the best checkpoint, and early stopping."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from flaxart.network.plateau import after_evaluation, has_stopped
from flaxart.network.state import TrainState
from flaxart.tasks.scores import main_score
from flaxart.training.run import Run


def judged(
  run: Run, state: TrainState, scores: Mapping[str, Mapping[str, Any]]
) -> tuple[TrainState, float | None]:
  """The state with its trend after an evaluation, and its score by `config.checkpoint.best`.

  With `last` only the last state of a run has a score.
  """
  loss = float(np.sum([task.weight * (scores[task.name]['loss'] or 0) for task in run.tasks]))
  state = dataclasses.replace(state, trend=after_evaluation(state.trend, loss, run.config))
  rule, score = run.config.checkpoint.best, main_score(scores, run.tasks)
  if rule == 'loss':
    return state, -loss
  return state, score if rule == 'score' or is_over(run, state) else None


def shown(run: Run, scores: Mapping[str, Mapping[str, Any]], score: float | None) -> str:
  """`val loss 1.259` or `val top1 88.4 %`: what the best checkpoint is chosen by.

  `score` as from `judged`, which compares losses as negative scores.
  """
  if run.config.checkpoint.best == 'loss' and score is not None:
    return f'val loss {-score:.3f}'
  what = run.tasks[0].main if len(run.tasks) == 1 else 'score'
  value = main_score(scores, run.tasks) if score is None else score
  return f'val {what} {100 * value:.1f} %'


def is_over(run: Run, state: TrainState) -> bool:
  """Whether training is over: all steps are done, or the run has stopped early."""
  return int(state.step) >= run.steps or has_stopped(state.trend, run.config)
