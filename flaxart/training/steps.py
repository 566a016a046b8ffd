"""What the loop of `flaxart.train` asks of both kinds of training: on pictures, on features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from flaxart.logs.profile import StepTrace
from flaxart.network.state import TrainState
from flaxart.training.run import Run
from flaxart.training.session import Session
from flaxart.training.step_meter import StepMeter


class Steps(Protocol):
  """How a run takes its steps."""

  meter: StepMeter

  def advance(self, state: TrainState, done: int, trace: StepTrace) -> tuple[TrainState, int]:
    """Trains on from step `done`, at most to where something is due; `state` is used up.

    Returns the new state and its step.
    """

  def scored(self, done: int, score: float | None) -> bool:
    """Takes the score of an evaluation; whether its state is worth a checkpoint."""

  def stored(self, state: TrainState) -> TrainState:
    """What a checkpoint holds."""


Loop = Callable[[Run, Session, Steps, TrainState], TrainState]
