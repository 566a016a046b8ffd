"""How large a run's pictures are: as `config.data.image_size` says, or as its trunk is used to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from flaxart.models import card_of
from flaxart.models.preprocess import Preprocess

FILTER = 'bilinear'  # of `tfds_rijks.resizing`, whoever computes it


def with_image_size(config: ConfigDict, about: Mapping[str, Any]) -> ConfigDict:
  """The settings with a number in place of `data.image_size=0`.

  It is the side of the pictures that the trunk's weights were made on, as `about` them says, or
  those of its card where it starts from scratch.
  """
  if config.data.image_size:
    return config
  config = config.copy_and_resolve_references()
  own = about['image_size'] if 'image_size' in about else card_of(config.model.name).image_size
  config.data.image_size = own
  return config


def other_pictures(config: ConfigDict, own: Preprocess) -> str | None:
  """A line that sets a run's pictures against those of its weights; None where they are alike."""
  data = config.data
  ours = Preprocess(data.image_size or own.size, fit=data.fit, interpolation=FILTER)
  if _square(ours) == _square(own):
    return None
  return (
    f'pictures: {_square(ours)}; the weights were made on {_square(own)} '
    '(config.data.image_size and config.data.fit say how ours become squares)'
  )


def _square(preprocess: Preprocess) -> str:
  """`crop to 224 px from 256, bicubic`."""
  size, short = preprocess.size, preprocess.resize
  margin = f' from {short}' if short not in (0, size) else ''
  return f'{preprocess.fit} to {size} px{margin}, {preprocess.interpolation}'
