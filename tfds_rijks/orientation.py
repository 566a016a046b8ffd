"""The orientation of a picture: EXIF's (XMP's is ignored)."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

TAG = 0x0112
FROM_THE_RIGHT, FROM_BELOW = (2, 3, 6, 7), (3, 4, 7, 8)  # the known orientations


def orientation_of(exif: bytes | None) -> int:
  """The orientation 1 to 8 of a block of EXIF; 1 if there is none or it cannot be read."""
  if not exif:
    return 1
  entry = Image.Exif()
  try:
    entry.load(exif)
    return known(entry.get(TAG, 1))
  except Exception:  # broken metadata around an intact picture: leave the pixels
    return 1


def known(orientation: Any) -> int:
  """`orientation` if EXIF has it, else 1: some programs write degrees."""
  return int(orientation) if orientation in range(1, 9) else 1


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
  """Applies an EXIF orientation (CIPA DC-008, tag 0x0112) to `[H, W, C]`."""
  if orientation >= 5:
    image = image.transpose(1, 0, 2)
  if orientation in FROM_THE_RIGHT:
    image = image[:, ::-1]
  if orientation in FROM_BELOW:
    image = image[::-1]
  return np.ascontiguousarray(image)
