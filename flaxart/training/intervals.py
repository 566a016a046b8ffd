"""The steps after which a run evaluates and saves."""

from __future__ import annotations

import dataclasses

from flaxart.training.run import Run


@dataclasses.dataclass(frozen=True)
class Intervals:
  """Steps between evaluations, saves and epochs, and the last step of the run.

  `save` is 0 if nothing is saved between evaluations.
  """

  evaluate: int
  save: int
  epoch: int
  end: int

  @classmethod
  def of(cls, run: Run) -> Intervals:
    """The intervals in the settings of a run."""
    return cls(
      evaluate=max(1, round(run.config.train.eval_every_epochs * run.steps_per_epoch)),
      save=run.config.checkpoint.every_steps,
      epoch=max(1, round(run.steps_per_epoch)),
      end=run.steps,
    )

  def evaluates(self, step: int) -> bool:
    """Whether val is evaluated after `step`; the last step always is."""
    return step % self.evaluate == 0 or step == self.end

  def saves(self, step: int) -> bool:
    """Whether a checkpoint is due after `step`, evaluated or not."""
    return bool(self.save) and step % self.save == 0

  def next_after(self, step: int) -> int:
    """The first step after `step` at which an epoch ends or something is due."""
    periods = [period for period in (self.evaluate, self.save, self.epoch) if period]
    return min(self.end, *((step // period + 1) * period for period in periods))
