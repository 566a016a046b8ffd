"""The checks of a run's settings that no type can make; the settings themselves: `config`."""

from __future__ import annotations

import math
from typing import Any

from ml_collections import ConfigDict

from flaxart.config import MODELS, OPTIMIZERS, flat
from flaxart.settings import Settings, read_settings
from tfds_rijks.errors import UserError
from tfds_rijks.resizing import check_resize


def validate(config: ConfigDict) -> Settings:
  """What the settings say that are languages of their own.

  Raises `UserError` naming field, value found, and values allowed.
  """
  one_of(config, 'model.name', MODELS)
  one_of(config, 'parallelism', ('jit', 'shard_map'))
  one_of(config, 'model.bn', ('auto', 'batch', 'frozen', 'keras2_frozen'))
  one_of(config, 'model.dtype', ('auto', 'float32', 'bfloat16'))
  one_of(config, 'data.cache', ('none', 'host', 'device', 'auto'))
  one_of(config, 'data.fit', ('squash', 'crop', 'pad'))
  one_of(config, 'data.resize', ('pillow', 'simd'))
  check_resize(config.data.resize, field='config.data.resize')
  one_of(config, 'optim.name', OPTIMIZERS)
  one_of(config, 'optim.schedule', ('constant', 'cosine', 'plateau'))
  one_of(config, 'train.on_nonfinite', ('abort', 'skip'))
  one_of(config, 'data.pixels', ('network', 'zero_one'))
  one_of(config, 'checkpoint.best', ('score', 'loss', 'last'))
  for field in (
    'train.epochs',
    'train.batch_size',
    'train.eval_every_epochs',
    'eval.batch_size',
    'optim.learning_rate',
    'model.width',
    'data.image_size',
    'log.every_steps',
    'train.accumulate',
    'loss.class_weight_cap',
    'optim.plateau_patience',
  ):
    in_range(config, field, above=0)
  for field in (
    'data.workers',
    'data.synthetic_objects',
    'optim.weight_decay',
    'optim.warmup_epochs',
    'optim.clip_norm',
    'checkpoint.every_steps',
    'train.max_skipped',
    'train.early_stop_patience',
    'loss.logit_adjustment',
    'augment.randaugment',
    'augment.magnitude',
    'augment.mixup',
    'seed',
  ):
    in_range(config, field, at_least=0)
  for field in (
    'model.dropout',
    'model.bn_momentum',
    'augment.zoom',
    'optim.momentum',
    'loss.label_smoothing',
    'optim.ema',
    'optim.plateau_factor',
  ):
    in_range(config, field, at_least=0, below=1)
  in_range(config, 'seed', below=2**63 - 1)  # the next number is a seed, too
  if config.augment.magnitude > 10:
    raise UserError(f'config.augment.magnitude: found {config.augment.magnitude}, expected 0 to 10')
  if config.train.batch_size % config.train.accumulate:
    raise UserError(
      f'config.train.accumulate: {config.train.batch_size} pictures cannot be cut into '
      f'{config.train.accumulate} equal parts; choose a divisor of config.train.batch_size'
    )
  if config.data.cache != 'none' and config.data.workers:
    raise UserError(
      f'config.data.workers: found {config.data.workers}, expected 0 under '
      f'config.data.cache={config.data.cache}: there is nothing left to decode'
    )
  if not config.init:
    raise UserError('config.init is empty; give scratch, imagenet, a weights file or a workdir')
  return read_settings(config)


def out_of_reach(
  config: ConfigDict, settings: Settings, *, steps: int, steps_per_epoch: float
) -> list[str]:
  """What a run of so many steps never comes to, one line each: a short trial may well be meant."""
  ends = f'the run ends after {steps} steps, {steps / steps_per_epoch:g} epochs'
  lines = [
    f'config.train.unfreeze: {stage.pattern.text!r} learns from epoch {stage.epoch:g} on, and '
    f'{ends}'
    for stage in settings.stages
    if round(stage.epoch * steps_per_epoch) >= steps
  ]
  if round(config.optim.warmup_epochs * steps_per_epoch) >= steps:
    lines.append(
      f'config.optim.warmup_epochs: the learning rate rises for {config.optim.warmup_epochs:g} '
      f'epochs, and {ends}'
    )
  if settings.profile and settings.profile[0] > steps:
    lines.append(f'config.log.profile: step {settings.profile[0]} is to be traced, and {ends}')
  return lines


def one_of(config: ConfigDict, field: str, allowed: tuple[str, ...]) -> None:
  """Refuses a value that is not in the list."""
  value = flat(config)[field]
  if value not in allowed:
    raise UserError(f'config.{field}: found {value!r}, expected one of {", ".join(allowed)}')


def in_range(
  config: ConfigDict,
  field: str,
  *,
  above: float | None = None,
  at_least: float | None = None,
  below: float | None = None,
) -> None:
  """Refuses a number outside its range; NaN and infinity are outside every range."""
  value: Any = flat(config)[field]
  if not math.isfinite(value):
    raise UserError(f'config.{field}: found {value}, expected a finite number')
  if above is not None and not value > above:
    raise UserError(f'config.{field}: found {value}, expected a number above {above}')
  if at_least is not None and not value >= at_least:
    raise UserError(f'config.{field}: found {value}, expected a number of at least {at_least}')
  if below is not None and not value < below:
    raise UserError(f'config.{field}: found {value}, expected a number below {below}')
