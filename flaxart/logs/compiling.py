"""What is shown while XLA compiles, which takes longer than anybody expects."""

from __future__ import annotations

from contextlib import AbstractContextManager

from ml_collections import ConfigDict

from flaxart.machine.target import target
from flaxart.models import card_of
from tfds_rijks.progress import working


def compiling_step(config: ConfigDict) -> AbstractContextManager[None]:
  """`compiling ResNet50 at 224 px, usually 15 to 30 s`, while the training step of a run compiles.

  The network's card has the shorter time, measured on two idle cores; two busy ones take twice as
  long. Other machines and networks of other widths have no figure.
  """
  seconds = card_of(config.model.name).compiles_s
  known = seconds and target() == 'cpu' and config.model.width == 1 and not config.model.shallow
  note = f'usually {seconds} to {2 * seconds} s' if known else ''
  return working(f'compiling {_named(config)}', note=note)


def compiling_evaluation(config: ConfigDict) -> AbstractContextManager[None]:
  """The same for a network that does not learn, which takes a few seconds."""
  return working(f'compiling {_named(config)} for evaluation')


def _named(config: ConfigDict) -> str:
  return f'{card_of(config.model.name).title} at {config.data.image_size} px'
