"""Settings side by side: which one leads on val, what each has reached, which have dropped out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from flaxart.data.source import Dataset
from flaxart.evaluate import labelled_records
from flaxart.metrics import main_score
from flaxart.nonfinite import ABORT, ROLLBACK, Guard, all_finite
from flaxart.state import TrainState
from flaxart.tasks import Task
from flaxart.watch import after_evaluation, has_stopped
from flaxart.writer import flat_scores
from tfds_rijks.errors import UserError

Scores = dict[str, dict[str, Any]]
StepMetrics = dict[str, np.ndarray]  # `[S]` each, of the steps of a pass


class Contest:
  """The settings `names` of a run, by `config.checkpoint.best`.

  `best` `[K]` float32 is the best score of each so far; it is stored with the heads.
  """

  def __init__(self, config: ConfigDict, names: list[str], tasks: Sequence[Task]):
    self.config, self.names, self.tasks = config, names, list(tasks)
    self.best = np.full(len(names), -np.inf, np.float32)
    self.passed = 0  # steps of the last pass that were passed over
    self.now = self.best  # of the last evaluation

  @property
  def leader(self) -> int:
    """The setting with the best score so far, the first of equals; known again after a restart."""
    return int(self.best.argmax())

  def judge(
    self, states: Sequence[TrainState], results: Sequence[Scores], metrics: Sequence[StepMetrics]
  ) -> tuple[tuple[TrainState, ...], float | None]:
    """Takes an evaluation; returns the states with their watch, and the score of the leader.

    The score is None where it must not count for the choice of the best checkpoint. A setting whose
    loss is no number, or that has stopped early, is out, as it would be in a run of its own.
    """
    rule, scores, after = self.config.checkpoint.best, [], []
    for state, of_tasks, of_steps in zip(states, results, metrics, strict=True):
      loss = float(np.sum([t.weight * (of_tasks[t.name]['loss'] or 0) for t in self.tasks]))
      out = rule != 'last' and has_stopped(state.watch, self.config)
      score = -loss if rule == 'loss' else main_score(of_tasks, self.tasks)
      scores.append(np.nan if out or self._diverged(state, of_steps) else score)
      watch = after_evaluation(state.watch, loss, self.config)
      after.append(dataclasses.replace(state, watch=watch))
    # In the precision in which they are stored, so that a resumed run compares the same numbers.
    known = np.where(np.isnan(scores), -np.inf, scores).astype(np.float32)
    self.best = known if rule == 'last' else np.maximum(self.best, known)
    self.now = known
    return tuple(after), None if rule == 'last' else finite(known[self.leader])

  def _diverged(self, state: TrainState, of_steps: StepMetrics) -> bool:
    lost = not np.isfinite(of_steps['loss']).all() and self.config.train.on_nonfinite == ABORT
    return lost or not bool(all_finite(state.trainable))

  def val_line(self, results: Sequence[Scores]) -> dict[str, Any]:
    """The leader's scores for `metrics.jsonl`, and the score of each of several settings."""
    line = {
      key: finite(value) if isinstance(value, float) else value
      for key, value in flat_scores(results[self.leader]).items()
    }
    return line | self._of_several('score', list(self.now))

  def train_line(self, metrics: Sequence[StepMetrics]) -> dict[str, Any]:
    """Means over a pass: all of the leader's, and the loss of each of several settings."""
    own = metrics[self.leader]
    sound = np.isfinite(own['loss']) & np.isfinite(own['grad_norm'])
    line: dict[str, Any] = {
      key: float(np.mean(values[sound])) for key, values in own.items() if sound.any()
    }
    if self.passed:
      line['nonfinite'] = self.passed
    losses = [float(np.mean(of_steps['loss'])) for of_steps in metrics]
    return line | self._of_several('loss', losses)

  def _of_several(self, what: str, values: list[float]) -> dict[str, float | None]:
    if len(self.names) == 1:
      return {}
    pairs = zip(self.names, values, strict=True)
    return {f'{name}/{what}': finite(value) for name, value in pairs}

  def check_finite(
    self, done: int, states: Sequence[TrainState], metrics: Sequence[StepMetrics], guard: Guard
  ) -> None:
    """Asks the guard about the steps of a pass after step `done`, and the states behind it.

    Of several settings one that diverges leaves the contest; if none is left, the run stops.
    """
    before = guard.passed
    wrong = [~(np.isfinite(m['loss']) & np.isfinite(m['grad_norm'])) for m in metrics]
    if len(metrics) == 1:
      for step in np.flatnonzero(wrong[0]):
        for what, key in (('loss', 'loss'), ('norm of the gradient', 'grad_norm')):
          if not guard.check(done + int(step) + 1, what, metrics[0][key][step]):
            break
      guard.check_state(done + len(wrong[0]), states[0].trainable)
    elif guard.mode == ABORT and all(steps.any() for steps in wrong):
      last = done + 1 + max(int(steps.argmax()) for steps in wrong)
      raise UserError(
        f'step {last}: the loss of every setting is no number; earlier checkpoints are intact: '
        'lower the learning rates of config.probe.settings or set config.optim.clip_norm'
      )
    self.passed = guard.passed - before

  def settings(self) -> list[dict[str, Any]]:
    """`[{'name', 'val'}]`: the best score of each; None for one that never had a score."""
    pairs = zip(self.names, self.best, strict=True)
    return [{'name': name, 'val': finite(score)} for name, score in pairs]


def check_choice(
  config: ConfigDict, names: list[str], tasks: Sequence[Task], dataset: Dataset
) -> None:
  """Several settings can be chosen from only by a val split that has labels."""
  if len(names) > 1 and config.train.on_nonfinite == ROLLBACK:
    raise UserError(
      f'config.train.on_nonfinite: rollback takes one setting back, config.probe.settings has '
      f'{len(names)}; use abort (a setting that diverges drops out) or skip'
    )
  val = dataset.splits.get('val')
  if len(names) > 1 and (val is None or not any(labelled_records(task, val) for task in tasks)):
    found = 'no val split' if val is None else 'a val split without labels of these tasks'
    raise UserError(
      f'config.probe.settings: {len(names)} settings are chosen from by their val score, and '
      f'{dataset.name} has {found}; give one setting, or prepare the dataset with labels in val'
    )


def finite(value: Any) -> float | None:
  """A number that JSON can hold, or None."""
  return float(value) if np.isfinite(value) else None
