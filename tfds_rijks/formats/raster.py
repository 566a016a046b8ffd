"""The result of every format's reader: samples over their full range, and their meaning."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from tfds_rijks.errors import ImageError

UNSUPPORTED = 'pixel type not supported'  # the reason of a picture that is sound and not read
Model = Literal['grey', 'rgb', 'cmyk', 'lab']
CHANNELS: dict[Model, int] = {'grey': 1, 'rgb': 3, 'cmyk': 4, 'lab': 3}


class TooManyPixelsError(ImageError):
  """Says by its header how large it is: `pixels`."""

  def __init__(self, name: str, pixels: int, detail: str):
    super().__init__(name, 'too many pixels', detail)
    self.pixels = pixels


class Raster(NamedTuple):
  """A decoded picture before its colours are converted and it is turned upright.

  `samples`: `[H, W, C]`, uint8 from 0 to 255 or uint16 from 0 to 65535, C as in `CHANNELS`. Grey
  and RGB: 0 is black. CMYK: 0 is without ink. Lab: as ICC encodes it. `alpha`: `[H, W]` of the same
  type, 0 is transparent; `premultiplied`: the samples were multiplied by it. `orientation`: EXIF's.
  `notes`: tolerated flaws, as phrases to count by.
  """

  samples: np.ndarray
  model: Model
  alpha: np.ndarray | None = None
  premultiplied: bool = False
  icc: bytes = b''
  orientation: int = 1
  notes: tuple[str, ...] = ()


def full_scale(values: np.ndarray, bits: int) -> np.ndarray:
  """Unsigned integers of 1 to 16 bits -> uint8 (up to 8 bits) or uint16 over the full range."""
  if bits in (8, 16):
    return values.astype(np.uint8 if bits == 8 else np.uint16, copy=False)
  most, new = (1 << bits) - 1, 255 if bits < 8 else 65535
  values = np.minimum(values, most).astype(np.uint32)
  return ((values * new + most // 2) // most).astype(np.uint8 if bits < 8 else np.uint16)


def allow(pixels: int) -> None:
  """Raises Pillow's own size limit, above which it warns and later refuses."""
  if pixels > (Image.MAX_IMAGE_PIXELS or pixels):
    Image.MAX_IMAGE_PIXELS = pixels


def check_size(width: int, height: int, *, name: str, max_pixels: int) -> None:
  """Raises `ImageError` for a picture without pixels, or with more than `max_pixels`."""
  if width * height > max_pixels:
    raise TooManyPixelsError(
      name, width * height, f'{width} x {height}; expected at most {max_pixels:,} (--max_pixels)'
    )
  if width * height <= 0:
    raise ImageError(name, 'no pixels', f'{width} x {height}')
