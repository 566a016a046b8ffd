"""JPEG, by libjpeg-turbo, at a fraction of the size if that is enough."""

from __future__ import annotations

import numpy as np
import simplejpeg

from tfds_rijks.colour import DAMAGED_PROFILE
from tfds_rijks.errors import ImageError
from tfds_rijks.formats.raster import UNSUPPORTED, Model, Raster, check_size
from tfds_rijks.jpeg_header import JpegHeader, read_header, without_flaws
from tfds_rijks.orientation import orientation_of

# Of a progressive JPEG; encoders write about ten, and each costs a pass over all coefficients, so
# that a small file with thousands would keep a core busy for hours.
MAX_SCANS = 200
_SPACES = {'rgb': 'RGB', 'grey': 'GRAY', 'cmyk': 'CMYK'}
FLAWED = 'JPEG with flawed metadata around intact pixels'


def read(data: bytes, *, name: str, short_side: int | None, max_pixels: int) -> Raster:
  """A JPEG of 8 bits, one, three or four components; `short_side` as of `images.decode`."""
  header = read_header(data)
  check_size(header.width, header.height, name=name, max_pixels=max_pixels)
  if header.bits != 8 or header.components not in (1, 3, 4):
    raise ImageError(
      name, UNSUPPORTED, f'JPEG of {header.components} x {header.bits} bits; expected 1, 3 or 4 x 8'
    )
  if header.several_scans and (scans := data.count(b'\xff\xda')) > MAX_SCANS:
    raise ImageError(name, 'too many scans', f'{scans}; expected at most {MAX_SCANS}')
  model: Model = 'rgb' if header.components < 4 else 'cmyk'
  if header.components == 1 and header.icc:
    model = 'grey'  # what the profile is about
  space = _SPACES[model]
  notes: tuple[str, ...] = () if header.icc is not None else (DAMAGED_PROFILE,)
  least = _scaled_minimum(header, short_side)
  try:
    samples = strict(data, space, least=least)
  except ValueError as warning:
    if 'subsampling level' in str(warning):
      raise ImageError(name, UNSUPPORTED, 'JPEG with colours finer than its light') from None
    # libjpeg warns of metadata or of damage: without the metadata, only damage is left.
    try:
      samples = strict(without_flaws(data), space, least=least)
    except ValueError:
      raise warning from None
    notes = (*notes, FLAWED)
  if model == 'cmyk':
    samples = 255 - samples  # Adobe's, the common one, has 255 for no ink
  turn = orientation_of(header.exif)
  return Raster(samples, model, icc=header.icc or b'', orientation=turn, notes=notes)


def strict(data: bytes, space: str, *, least: tuple[int, int] = (0, 0)) -> np.ndarray:
  """`[H, W, C]` uint8; raises `ValueError` for whatever libjpeg only warns of.

  A file that ends early would otherwise come back in full size, grey below.
  """
  return simplejpeg.decode_jpeg(data, space, min_height=least[0], min_width=least[1], strict=True)


def _scaled_minimum(header: JpegHeader, short_side: int | None) -> tuple[int, int]:
  """The smallest (height, width) for simplejpeg; (0, 0) means the full size."""
  if short_side is None or min(header.height, header.width) <= short_side:
    return 0, 0
  scale = short_side / min(header.height, header.width)
  return int(np.ceil(header.height * scale)), int(np.ceil(header.width * scale))
