"""Gradual unfreezing: which parameters learn from which epoch on (Howard and Ruder, 2018).

`config.train.unfreeze = '0:heads/.*;3:trunk/stage4/.*;6:.*'` trains the heads from the start, the
last stage from epoch 3 and the rest from epoch 6. Each stage begins a phase with its own step, in
which what is still frozen is a constant and costs no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

from flaxart.settings import Stage
from tfds_rijks.errors import UserError


def stage_number(stages: Sequence[Stage], path: str) -> int:
  """The first stage whose pattern matches the path; every parameter must have one."""
  for i, stage in enumerate(stages):
    if stage.pattern.matches(path):
      return i
  raise UserError(
    f'config.train.unfreeze: no stage matches {path}; end with a stage such as 6:.*, or freeze it '
    'for good with config.trainable'
  )


def phase_at(stages: Sequence[Stage], step: int, *, steps_per_epoch: float) -> int:
  """The number of the last stage that learns in the step after `step` updates."""
  return max(i for i, stage in enumerate(stages) if step >= round(stage.epoch * steps_per_epoch))
