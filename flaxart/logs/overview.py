"""A run's parameters by part, and the cost of one step."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import jax

from flaxart.network.state import TrainState, count_parameters
from tfds_rijks import terminal


@dataclasses.dataclass(frozen=True)
class StepCost:
  """XLA's cost of one compiled step on `pictures`, per device.

  `flop`: multiplications and additions; `moved`: bytes read and written by its kernels, ignoring
  caches; `working`: bytes of memory beside the state and the batch.
  """

  pictures: int
  flop: float
  moved: float
  working: int

  @property
  def line(self) -> str:
    """One line for the log."""
    where = ' on each device' if jax.device_count() > 1 else ''
    return (
      f'one step of {self.pictures} pictures: {self.flop / 1e9:,.2f} GFLOP, '
      f'{self.moved / 1e9:,.2f} GB read and written, {self.working / 1e9:,.2f} GB of working '
      f"memory{where} (XLA's count)"
    )


def step_cost(compiled: Any, *, pictures: int) -> StepCost | None:
  """The cost of a `jax.stages.Compiled`; None if the backend does not report it."""
  found, memory = compiled.cost_analysis(), compiled.memory_analysis()
  if not found or 'flops' not in found:
    return None
  working = memory.temp_size_in_bytes if memory else 0
  return StepCost(pictures, found['flops'], found.get('bytes accessed', 0.0), working)


def parameter_table(state: TrainState) -> str:
  """A table of the parameters of the trunk and of each head, and how many learn."""
  parts = count_parameters(state)
  head = ('parameters', 'all', 'trainable', 'frozen')
  rows = [(name, *(f'{n:,}' for n in (sum(counts), *counts))) for name, counts in parts.items()]
  right = (False, True, True, True)
  return terminal.table(head, rows, right=right, columns=terminal.width(sys.stderr))
