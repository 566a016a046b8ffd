"""The picture size of a run: `config.data.image_size`, or that of its trunk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from flaxart.models import card_of
from flaxart.models.preprocess import Preprocess

FILTER = 'bilinear'  # of `tfds_rijks.resizing`, by any library


def with_image_size(config: ConfigDict, about: Mapping[str, Any]) -> ConfigDict:
  """The settings with a number in place of `data.image_size=0`.

  It is the picture size that the trunk's weights were trained at, as `about` says, or that of its
  card if it starts from scratch.
  """
  if config.data.image_size:
    return config
  config = config.copy_and_resolve_references()
  own = about['image_size'] if 'image_size' in about else card_of(config.model.name).image_size
  config.data.image_size = own
  return config


def other_pictures(config: ConfigDict, own: Preprocess) -> str | None:
  """A line that compares a run's pictures with those of its weights; None if they are alike."""
  data = config.data
  ours = Preprocess(data.image_size or own.size, fit=data.fit, interpolation=FILTER)
  if _square(ours) == _square(own):
    return None
  return (
    f'pictures: {_square(ours)}; the weights were trained on {_square(own)} '
    '(see config.data.image_size and config.data.fit)'
  )


def _square(preprocess: Preprocess) -> str:
  """`crop to 224 px from 256, bicubic`."""
  size, short = preprocess.size, preprocess.resize
  margin = f' from {short}' if short not in (0, size) else ''
  return f'{preprocess.fit} to {size} px{margin}, {preprocess.interpolation}'
