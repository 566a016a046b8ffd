"""Settings side by side: which one leads on val, what each has reached, which have dropped out."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from flaxart.data.source import Dataset
from flaxart.logs.metric_writer import flat_scores
from flaxart.machine.processes import from_first_process
from flaxart.network.plateau import after_evaluation, has_stopped
from flaxart.network.state import TrainState
from flaxart.tasks.label_statistics import labelled_records
from flaxart.tasks.scores import main_score
from flaxart.tasks.task import Task
from flaxart.training.nonfinite import ABORT, Guard, all_finite, sound_steps
from tfds_rijks.errors import UserError

Scores = dict[str, dict[str, Any]]
StepMetrics = dict[str, np.ndarray]  # `[S]` each, of the steps of a pass
log = logging.getLogger('flaxart')


class Contest:
  """The settings `names` of a run, by `config.checkpoint.best`.

  `best` `[K]` float32 is the best score of each so far; it is stored with the heads. `skipped`
  `[K]`: the updates of each of several that were left out so far, restarts included.
  """

  def __init__(self, config: ConfigDict, names: list[str], tasks: Sequence[Task]):
    self.config, self.names, self.tasks = config, names, list(tasks)
    self.best = np.full(len(names), -np.inf, np.float32)
    self.passed = np.zeros(len(names), int)  # steps of the last pass that were passed over
    self.skipped = np.zeros(len(names), int)
    self._told: set[str] = set()  # settings whose dropping out was logged
    self.now = self.best  # of the last evaluation

  def go_on(self, nonfinite: Mapping[str, int]) -> None:
    """Takes what `metrics.jsonl` counts of earlier starts."""
    counts = [nonfinite.get(f'{name}/nonfinite', 0) for name in self.names]
    self.skipped = np.asarray(from_first_process(np.array(counts)))

  @property
  def leader(self) -> int:
    """The setting with the best score so far, the first of equals; known again after a restart."""
    return int(self.best.argmax())

  def judge(
    self, states: Sequence[TrainState], results: Sequence[Scores], metrics: Sequence[StepMetrics]
  ) -> tuple[tuple[TrainState, ...], float | None]:
    """Takes an evaluation; returns the states with their watch, and the score of the leader.

    The score is None where it must not count for the choice of the best checkpoint. A setting whose
    loss is no number (under `skip`, too often), or that has stopped early, is out, as it would be
    in a run of its own.
    """
    rule, scores, after = self.config.checkpoint.best, [], []
    given_up = self.skipped > self.config.train.max_skipped
    for state, of_tasks, of_steps, is_out in zip(states, results, metrics, given_up, strict=True):
      loss = float(np.sum([t.weight * (of_tasks[t.name]['loss'] or 0) for t in self.tasks]))
      out = rule != 'last' and has_stopped(state.watch, self.config)
      score = -loss if rule == 'loss' else main_score(of_tasks, self.tasks)
      out = out or is_out or self._diverged(state, of_steps)
      scores.append(np.nan if out else score)
      watch = after_evaluation(state.watch, loss, self.config)
      after.append(dataclasses.replace(state, watch=watch))
    # In the precision in which they are stored, so that a resumed run compares the same numbers.
    known = np.where(np.isnan(scores), -np.inf, scores).astype(np.float32)
    self.best = known if rule == 'last' else np.maximum(self.best, known)
    self.now = known
    return tuple(after), None if rule == 'last' else finite(known[self.leader])

  def _diverged(self, state: TrainState, of_steps: StepMetrics) -> bool:
    lost = not sound_steps(of_steps).all() and self.config.train.on_nonfinite == ABORT
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
    sound = [sound_steps(of_steps) for of_steps in metrics]
    line: dict[str, Any] = {
      key: float(np.mean(values[sound[self.leader]]))
      for key, values in metrics[self.leader].items()
      if sound[self.leader].any()
    }
    losses = [
      float(np.mean(of_steps['loss'][steps])) if steps.any() else np.nan
      for of_steps, steps in zip(metrics, sound, strict=True)
    ]
    line |= self._of_several('loss', losses)
    if self.passed.any():
      line |= self._of_several('nonfinite', self.passed) or {'nonfinite': int(self.passed[0])}
    return line

  def _of_several(self, what: str, values: Iterable[float]) -> dict[str, float | None]:
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
    wrong = [~sound_steps(of_steps) for of_steps in metrics]
    if len(metrics) == 1:
      before = guard.passed
      for step in np.flatnonzero(wrong[0]):
        guard.check_step(done + int(step) + 1, {key: m[step] for key, m in metrics[0].items()})
      guard.check_state(done + len(wrong[0]), states[0].trainable)
      self.passed = np.array([guard.passed - before])
    elif guard.mode == ABORT:
      for name, steps in zip(self.names, wrong, strict=True):
        if steps.any() and name not in self._told:
          first = done + 1 + int(steps.argmax())
          log.warning('%s: drops out: the loss or gradient of step %d is no number', name, first)
          self._told.add(name)
      if all(steps.any() for steps in wrong):
        last = done + 1 + max(int(steps.argmax()) for steps in wrong)
        raise UserError(
          f'step {last}: the loss of every setting is no number; earlier checkpoints are intact: '
          'lower the learning rates of config.probe.settings or set config.optim.clip_norm'
        )
    else:
      self._count_skipped(done, wrong, limit=guard.limit)

  def _count_skipped(self, done: int, wrong: Sequence[np.ndarray], *, limit: int) -> None:
    """Of several settings under `skip`: one that has left out too many updates drops out."""
    self.passed = np.array([int(steps.sum()) for steps in wrong])
    self.skipped = self.skipped + self.passed
    last = done + len(wrong[0])
    for name, now, so_far in zip(self.names, self.passed, self.skipped, strict=True):
      if now and so_far - now <= limit:  # of one that is out already nothing more is said
        log.warning(
          '%s: %d updates up to step %d were left out, whose loss, gradient or size is no number%s',
          name,
          now,
          last,
          f'; it drops out (config.train.max_skipped={limit})' if so_far > limit else '',
        )
    if (self.skipped > limit).all():
      raise UserError(
        f'step {last}: every setting has left out more updates than config.train.max_skipped='
        f'{limit} (at least {self.skipped.min()}); earlier checkpoints are intact: lower the '
        'learning rates of config.probe.settings or set config.optim.clip_norm'
      )

  def settings(self) -> list[dict[str, Any]]:
    """`[{'name', 'val'}]`: the best score of each; None for one that never had a score."""
    pairs = zip(self.names, self.best, strict=True)
    return [{'name': name, 'val': finite(score)} for name, score in pairs]


def check_choice(
  config: ConfigDict, names: list[str], tasks: Sequence[Task], dataset: Dataset
) -> None:
  """Several settings can be chosen from only by a val split that has labels."""
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
