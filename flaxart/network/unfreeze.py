"""Gradual unfreezing: which parameters learn from which epoch on (Howard and Ruder, 2018).

`config.train.unfreeze = '0:heads/.*;3:trunk/stage4/.*;6:.*'` trains the heads from the start, the
last stage from epoch 3 and the rest from epoch 6. A run has one phase a line; each has a step of
its own, in which what is still frozen is a constant and costs no gradient.
"""

from __future__ import annotations

import dataclasses
import re

from ml_collections import ConfigDict

from tfds_rijks.errors import UserError


@dataclasses.dataclass(frozen=True)
class Stage:
  """Parameters whose path matches `pattern` learn from `epoch` on."""

  epoch: float
  pattern: str


def read_stages(config: ConfigDict) -> list[Stage]:
  """The stages of `config.train.unfreeze` in the order of their epochs; one of all if empty."""
  text = config.train.unfreeze
  stages = []
  for part in filter(None, (part.strip() for part in text.split(';'))):
    epoch, _, pattern = part.partition(':')
    try:
      re.compile(pattern)
      stages.append(Stage(float(epoch), pattern))
    except (re.error, ValueError):
      pattern = ''
    if not pattern:
      raise UserError(
        f'config.train.unfreeze: found {part!r}, expected EPOCH:REGEX such as 3:trunk/stage4/.*'
      )
  if not stages:
    return [Stage(0.0, '.*')]
  epochs = [stage.epoch for stage in stages]
  if epochs[0] != 0 or sorted(set(epochs)) != epochs:
    raise UserError(
      f'config.train.unfreeze: found epochs {epochs}, expected them to begin at 0 and to rise'
    )
  return stages


def stage_number(stages: list[Stage], path: str) -> int:
  """The first stage whose pattern matches the path; every parameter must have one."""
  for i, stage in enumerate(stages):
    if re.fullmatch(stage.pattern, path):
      return i
  raise UserError(
    f'config.train.unfreeze: no stage matches {path}; end with a stage such as 6:.*, or freeze it '
    'for good by config.trainable'
  )


def phase_at(stages: list[Stage], step: int, *, steps_per_epoch: float) -> int:
  """The number of the last stage that learns in the step after `step` updates."""
  return max(i for i, stage in enumerate(stages) if step >= round(stage.epoch * steps_per_epoch))
