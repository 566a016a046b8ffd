"""Checks of a run's settings beyond their types; the settings themselves: `config`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from flaxart.config import OPTIMIZERS, flat
from flaxart.models import cards
from flaxart.settings import Settings, read_settings
from tfds_rijks.errors import UserError
from tfds_rijks.resizing import check_resize
from tfds_rijks.words import did_you_mean, nearest


@dataclasses.dataclass(frozen=True)
class Rule:
  """What a value must be, in words and as a test."""

  expected: str
  holds: Callable[[Any], bool]
  words: tuple[str, ...] = ()


def one_of(*allowed: str) -> Rule:
  """A rule: one of these words."""
  return Rule(f'one of {", ".join(allowed)}', lambda value: value in allowed, allowed)


def number(expected: str, holds: Callable[[float], bool]) -> Rule:
  """A rule: a number in a range; NaN and infinity are outside every range."""
  return Rule(f'a finite number {expected}', lambda value: math.isfinite(value) and holds(value))


POSITIVE = number('above 0', lambda x: x > 0)
NOT_NEGATIVE = number('of at least 0', lambda x: x >= 0)
SHARE = number('of at least 0 and below 1', lambda x: 0 <= x < 1)
RULES = {
  # seed + 1 is used as a seed as well.
  'seed': number('of at least 0 and below 2**63 - 1', lambda x: 0 <= x < 2**63 - 1),
  'init': Rule('scratch, imagenet, a weights file or the workdir of a run', bool),
  'parallelism': one_of('jit', 'shard_map'),
  'model.name': Rule(f'one of {", ".join(cards())}', lambda name: name in cards(), (*cards(),)),
  'model.width': POSITIVE,
  'model.bn': one_of('auto', 'batch', 'frozen', 'keras2_frozen'),
  'model.bn_momentum': SHARE,
  'model.dropout': SHARE,
  'model.dtype': one_of('auto', 'float32', 'bfloat16'),
  'data.image_size': NOT_NEGATIVE,
  'data.fit': one_of('squash', 'crop', 'pad'),
  'data.resize': one_of('pillow', 'simd'),
  'data.pixels': one_of('network', 'zero_one'),
  'data.workers': NOT_NEGATIVE,
  'data.cache': one_of('none', 'host', 'device', 'auto'),
  'data.synthetic_objects': NOT_NEGATIVE,
  'augment.zoom': SHARE,
  'augment.randaugment': NOT_NEGATIVE,
  'augment.magnitude': number('from 0 to 10', lambda x: 0 <= x <= 10),
  'augment.mixup': NOT_NEGATIVE,
  'train.epochs': POSITIVE,
  'train.batch_size': POSITIVE,
  'train.eval_every_epochs': POSITIVE,
  'train.on_nonfinite': one_of('abort', 'skip'),
  'train.max_skipped': NOT_NEGATIVE,
  'train.accumulate': POSITIVE,
  'train.early_stop_patience': NOT_NEGATIVE,
  'loss.label_smoothing': SHARE,
  'loss.class_weight_cap': POSITIVE,
  'loss.logit_adjustment': NOT_NEGATIVE,
  'optim.name': one_of(*OPTIMIZERS),
  'optim.learning_rate': POSITIVE,
  'optim.momentum': SHARE,
  'optim.weight_decay': NOT_NEGATIVE,
  'optim.schedule': one_of('constant', 'cosine', 'plateau'),
  'optim.plateau_patience': POSITIVE,
  'optim.plateau_factor': SHARE,
  'optim.warmup_epochs': NOT_NEGATIVE,
  'optim.clip_norm': NOT_NEGATIVE,
  'optim.ema': SHARE,
  'checkpoint.every_steps': NOT_NEGATIVE,
  'checkpoint.best': one_of('score', 'loss', 'last'),
  'eval.batch_size': POSITIVE,
  'log.every_steps': POSITIVE,
}
# Rules between fields: the field, the test, and what is expected.
TOGETHER: tuple[tuple[str, Callable[[ConfigDict], bool], str], ...] = (
  (
    'train.accumulate',
    lambda c: c.train.batch_size % c.train.accumulate == 0,
    'a divisor of config.train.batch_size={0.train.batch_size}',
  ),
  (
    'data.workers',
    lambda c: c.data.cache == 'none' or c.data.workers == 0,
    '0 with config.data.cache={0.data.cache}, which leaves nothing to decode',
  ),
)


def validate(config: ConfigDict) -> Settings:
  """Checks all settings and returns the parsed ones.

  Raises `UserError` naming field, value found, and values allowed.
  """
  values = flat(config)
  for field, rule in RULES.items():
    if not rule.holds(values[field]):
      hint = did_you_mean(nearest(str(values[field]), rule.words))
      raise UserError(f'config.{field}: found {values[field]!r}, {hint}expected {rule.expected}')
  for field, holds, expected in TOGETHER:
    if not holds(config):
      raise UserError(
        f'config.{field}: found {values[field]!r}, expected {expected.format(config)}'
      )
  check_resize(config.data.resize, field='config.data.resize')
  return read_settings(config)


def out_of_reach(
  config: ConfigDict, settings: Settings, *, steps: int, steps_per_epoch: float
) -> list[str]:
  """One line for each setting that a run of `steps` never reaches: warnings, as a short trial may
  be intended."""
  ends = f'the run ends after {steps} steps, {steps / steps_per_epoch:g} epochs'
  lines = [
    f'config.train.unfreeze: {stage.pattern.text!r} learns from epoch {stage.epoch:g} on, '
    f'but {ends}'
    for stage in settings.stages
    if round(stage.epoch * steps_per_epoch) >= steps
  ]
  if round(config.optim.warmup_epochs * steps_per_epoch) >= steps:
    lines.append(
      f'config.optim.warmup_epochs: the learning rate rises for {config.optim.warmup_epochs:g} '
      f'epochs, but {ends}'
    )
  if settings.profile and settings.profile[0] > steps:
    lines.append(f'config.log.profile: step {settings.profile[0]} is to be traced, but {ends}')
  return lines
