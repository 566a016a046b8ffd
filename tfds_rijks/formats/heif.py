"""HEIC, as phones write it, by pi-heif (decoder only), an extra."""

from __future__ import annotations

import importlib.util
import io

from PIL import Image

from tfds_rijks import profiles
from tfds_rijks.errors import ImageError
from tfds_rijks.formats import plain
from tfds_rijks.formats.boxes import code_points
from tfds_rijks.formats.raster import UNSUPPORTED, Raster, check_size

BRANDS = (b'heic', b'heix', b'hevc', b'hevx', b'heim', b'heis', b'hevm', b'hevs')
MISSING = 'HEIC, which needs pi-heif'
ADVICE = 'pip install pi-heif (extra `heic`)'
INSTALLED = importlib.util.find_spec('pi_heif') is not None


def is_heic(data: bytes) -> bool:
  """Whether a file is HEIC: by its major brand, or under `mif1` by one of the others."""
  if data[4:8] != b'ftyp':
    return False
  size = min(int.from_bytes(data[:4], 'big'), 256)
  return any(data[at : at + 4] in BRANDS for at in (8, *range(16, size, 4)))


def read(data: bytes, *, name: str, max_pixels: int) -> Raster:
  """The primary picture; libheif has already turned it as the container says."""
  if not INSTALLED:
    raise ImageError(name, MISSING, ADVICE)
  import pi_heif

  found = pi_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)
  check_size(*found.size, name=name, max_pixels=max_pixels)
  icc = found.info.get('icc_profile') or b''
  if not icc and (numbers := code_points(data)):
    try:
      icc = profiles.of_code_points(*numbers)
    except ValueError as error:
      raise ImageError(name, UNSUPPORTED, str(error)) from None
  image = Image.frombytes(
    found.mode, found.size, bytes(found.data), 'raw', found.mode, found.stride
  )
  return plain.of_image(image, icc=icc, orientation=1, name=name)
