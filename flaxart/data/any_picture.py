"""A picture in whatever form a caller has it, as the square that a network sees."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfds_rijks.errors import ImageError, UserError
from tfds_rijks.formats import heif
from tfds_rijks.images import Square, fit
from tfds_rijks.picture_file import load

# Reasons that are given in detail.
TELLING = ('unknown format', 'pixel type not supported', heif.MISSING)
KINDS = "a path, a file's bytes, uint8 [H, W, 3], or a record with one of these under `image`"


def square_of(picture: Any, square: Square, *, name: str = '') -> np.ndarray:
  """A path, an encoded file as bytes, RGB pixels uint8 `[H, W, 3]`, or a record of
  `tfds.data_source` -> uint8 `[S, S, 3]`.

  Pixels are taken as upright sRGB. A large JPEG given as a file is decoded at a fraction of its
  size, as in training; the same picture given as pixels differs from it by a grey level or two.

  Raises:
    ImageError: the file cannot be read or is not a picture.
    UserError: anything else was given.
  """
  name = name or number_of(picture) or name_of(picture) or 'picture'
  match picture:
    case Mapping() if 'image' in picture:
      return square_of(picture['image'], square, name=name)
    case bytes() | bytearray() | memoryview():
      return square(bytes(picture), name=name)
    case str() | os.PathLike():
      return square(_bytes(Path(picture).expanduser(), name=name), name=name)
  if hasattr(picture, 'getexif'):
    raise UserError(
      f'{name}: found an image of Pillow, expected {KINDS}; give the file itself, which also says '
      'which side is up and what its colours mean'
    )
  if isinstance(picture, np.ndarray) or hasattr(picture, '__array__'):
    pixels = np.asarray(picture)
    if pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.size:
      return fit(pixels, square.size, how=square.fit, by=square.resize)
    raise UserError(f'{name}: found {pixels.dtype} {[*pixels.shape]}, expected {KINDS}')
  raise UserError(f'{name}: found {type(picture).__name__}, expected {KINDS}')


def reason_of(error: ImageError) -> str:
  """Why a picture has no names, in the few words of its row."""
  told = error.detail and error.reason in TELLING
  return f'{error.reason}: {error.detail}' if told else error.reason


def several(given: Any) -> Iterable[Any]:
  """The pictures of a list, an array `[B, H, W, 3]` or a data source; also one alone."""
  alone = isinstance(given, str | bytes | bytearray | memoryview | os.PathLike | Mapping)
  if alone or getattr(given, 'ndim', 4) == 3:
    return [given]
  if hasattr(given, '__iter__') or hasattr(given, '__getitem__'):
    return iter(given)
  raise UserError(
    f'pictures: found {type(given).__name__}, expected a list of pictures, each {KINDS}'
  )


def name_of(picture: Any) -> str:
  """The path as given; empty for what has none."""
  return os.fspath(picture) if isinstance(picture, str | os.PathLike) else ''


def number_of(picture: Any) -> str:
  """The object number of a record, empty for anything else."""
  number = picture.get('object_number', '') if isinstance(picture, Mapping) else ''
  return number.decode(errors='replace') if isinstance(number, bytes) else str(number)


def _bytes(path: Path, *, name: str) -> bytes:
  if '\0' in str(path):
    raise ImageError(name, 'cannot be opened: its name has a zero byte')
  try:
    if path.is_dir():
      raise UserError(
        f'{name}: is a folder, expected a picture; list its files, or use flaxart predict'
      )
    return load(path, name=name)
  except OSError as error:
    raise ImageError(name, f'cannot be opened: {error.strerror}') from None
