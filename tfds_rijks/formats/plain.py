"""GIF, WebP, BMP, PPM and AVIF: 8 bits (PGM 16), decoded by Pillow."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image

from tfds_rijks import profiles
from tfds_rijks.errors import ImageError
from tfds_rijks.formats.boxes import code_points
from tfds_rijks.formats.raster import UNSUPPORTED, Raster, allow, check_size
from tfds_rijks.orientation import orientation_of

# Only pictures: no format that runs a program (EPS) or is a document (PDF), and none that needs
# guesses. PNG, TIFF, JPEG and JPEG 2000 have their own readers.
FORMATS = ('GIF', 'WEBP', 'BMP', 'PPM', 'AVIF')


def read(data: bytes, *, name: str, max_pixels: int) -> Raster:
  """The first frame of a picture."""
  allow(max_pixels)
  with Image.open(io.BytesIO(data), formats=FORMATS) as image:
    check_size(*image.size, name=name, max_pixels=max_pixels)
    image.load()
    icc = image.info.get('icc_profile') or _profile(data, str(image.format), name=name)
    return of_image(image, icc=icc, orientation=orientation_of(image.info.get('exif')), name=name)


def of_image(
  image: Image.Image, *, icc: bytes, orientation: int, name: str, notes: tuple[str, ...] = ()
) -> Raster:
  """A decoded Pillow image of 8 bits a channel (or PGM's of 16) as a raster."""
  if image.mode == 'I' and image.format == 'PPM':  # scaled to 16 bits by Pillow
    grey = np.asarray(image).astype(np.uint16)[..., None]
    return Raster(grey, 'grey', icc=icc, orientation=orientation, notes=notes)
  if image.mode == 'P':
    image = image.convert('RGBA' if 'transparency' in image.info else 'RGB')
  elif image.mode == '1':
    image = image.convert('L')
  elif image.mode in ('L', 'RGB') and 'transparency' in image.info:  # of a GIF
    image = image.convert('RGBA')
  if image.mode not in ('L', 'LA', 'RGB', 'RGBA', 'RGBX', 'CMYK'):
    raise ImageError(name, UNSUPPORTED, f'{image.mode}; expected integers of up to 16 bits')
  alpha = None
  if image.mode in ('LA', 'RGBA', 'RGBX'):  # Pillow separates them faster than NumPy
    alpha = None if image.mode == 'RGBX' else np.asarray(image.getchannel('A'))
    image = image.convert('L' if image.mode == 'LA' else 'RGB')
  samples = np.asarray(image)
  samples = samples[..., None] if samples.ndim == 2 else samples
  model = {1: 'grey', 3: 'rgb', 4: 'cmyk'}[samples.shape[2]]
  return Raster(samples, model, alpha, icc=icc, orientation=orientation, notes=notes)  # type: ignore[arg-type]


def _profile(data: bytes, kind: str, *, name: str) -> bytes:
  """Colours that Pillow does not return: a profile in a BMP, code points in an AVIF."""
  if kind == 'BMP' and data[14:15] == b'\x7c' and data[70:74] == b'DEBM':  # PROFILE_EMBEDDED
    at, size = struct.unpack_from('<II', data, 126)
    return data[14 + at : 14 + at + size]
  if kind == 'AVIF' and (numbers := code_points(data)):
    try:
      return profiles.of_code_points(*numbers)
    except ValueError as error:
      raise ImageError(name, UNSUPPORTED, str(error)) from None
  return b''
