"""Work of worker processes: describing pictures, looking at pairs, enlarging."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfds_rijks import images
from tfds_rijks.copies import difference, sketches
from tfds_rijks.errors import ImageError

CHUNK = 64  # pairs of one task


class Source(NamedTuple):
  """A picture that can be decoded again."""

  name: str
  path: str
  max_pixels: int
  shape: float  # width / height, upright
  digest: str  # of the pixels; '' if no other picture can have the same


class Part(NamedTuple):
  """Some of the sketches `[N, 64, 64]` in a file."""

  name: str
  file: str
  places: np.ndarray


class Looks(NamedTuple):
  """Pairs of pictures in a file: grey `[N, 64, 64]`, or RGB `[N, 128, 128, 3]`."""

  name: str
  file: str
  pairs: np.ndarray  # int32 [P, 3]: places in the file, and the turn of the second picture
  placements: np.ndarray  # float32 [P, 4], initial placements
  shapes: np.ndarray  # float32 [P]: of the second, as turned, divided by that of the first
  slack: float  # see `difference.first_look`


def described(part: Part) -> np.ndarray:
  """See `sketches.descriptors`."""
  return sketches.descriptors(_sketches(part.file)[part.places])


def first_look(looks: Looks) -> tuple[np.ndarray, np.ndarray]:
  """See `difference.first_look`."""
  every = _sketches(looks.file)
  first, second, turn = looks.pairs.T
  other = np.stack([sketches.turned(every[i], t) for i, t in zip(second, turn, strict=True)])
  return difference.first_look(every[first], other, looks.shapes, slack=looks.slack)


def second_look(looks: Looks) -> np.ndarray:
  """See `difference.difference`."""
  every = stored(looks.file)
  first, second, turn = looks.pairs.T
  other = np.stack([sketches.turned(every[i], t) for i, t in zip(second, turn, strict=True)])
  return difference.difference(every[first], other, looks.placements, looks.shapes)


def enlarged(source: Source) -> bytes:
  """The picture, decoded again, as uint8 RGB `[3, 128, 128]` whatever its aspect ratio."""
  try:
    data = Path(source.path).read_bytes()
  except OSError as error:  # it existed a moment ago
    raise ImageError(source.name, 'file cannot be opened', error.strerror or '') from error
  side = difference.SIDE
  image = images.decode(data, name=source.name, short_side=2 * side, max_pixels=source.max_pixels)
  return np.ascontiguousarray(images.fit(image, side, how='squash').transpose(2, 0, 1)).tobytes()


def _sketches(file: str) -> np.ndarray:
  return np.memmap(file, np.uint8, 'r').reshape(-1, sketches.SIDE, sketches.SIDE)


def stored(file: Path | str) -> np.ndarray:
  """The enlarged pictures in a file, `[N, 3, 128, 128]`."""
  return np.memmap(file, np.uint8, 'r').reshape(-1, 3, difference.SIDE, difference.SIDE)
