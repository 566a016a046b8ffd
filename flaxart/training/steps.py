"""The interface between the loop of `flaxart.train` and training on pictures or features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from flaxart.logs.profile import StepTrace
from flaxart.machine.sharding import Flat
from flaxart.network.state import TrainState
from flaxart.training.run import Run
from flaxart.training.session import Session
from flaxart.training.step_meter import StepMeter


class Steps(Protocol):
  """How a run takes its steps."""

  meter: StepMeter

  def advance(self, state: Flat, done: int, trace: StepTrace) -> tuple[Flat, int]:
    """Trains from step `done`, at most until something is due; `state` is donated.

    Returns the new state and its step.
    """

  def scored(self, done: int, score: float | None) -> bool:
    """Takes the score of an evaluation; returns whether to save its state."""

  def stored(self, state: TrainState) -> TrainState:
    """The state to save."""


Loop = Callable[[Run, Session, Steps, TrainState], TrainState]
