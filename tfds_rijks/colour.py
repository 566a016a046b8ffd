"""From any kind of pixels to uint8 RGB: depth, transparency, palettes, colour profiles."""

from __future__ import annotations

import functools
import io

import numpy as np
from PIL import Image, ImageCms

from tfds_rijks.errors import ImageError

_ALPHA = {'RGBA', 'LA', 'PA', 'La', 'RGBa'}
_SIXTEEN = {'I;16', 'I;16B', 'I;16L', 'I;16N'}
_STRIP = 1024  # rows composited at a time: a large transparent picture is not copied as a whole


def to_rgb(image: Image.Image, icc: bytes, *, name: str) -> np.ndarray:
  """Pillow image of any mode -> uint8 `[H, W, 3]`."""
  if image.mode in _SIXTEEN or image.mode == 'I':
    image = Image.fromarray(_eight_bits(image, name=name))
  elif image.mode == 'F':
    raise ImageError(name, 'pixel type not supported', 'floating point; expected 8 or 16 bits')
  if image.mode == 'P' or 'transparency' in image.info:
    image = image.convert('RGBA')
  if image.mode in _ALPHA:
    return _on_white(image, icc)
  if icc:
    return np.asarray(to_srgb(image, icc).convert('RGB'))
  if image.mode == 'LAB':
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile('LAB'))
    return np.asarray(to_srgb(image, lab.tobytes()))
  return np.asarray(image.convert('RGB'))


def _eight_bits(image: Image.Image, *, name: str) -> np.ndarray:
  """16-bit grey -> uint8 by dividing by 257 (Pillow's own conversion clips, to near white)."""
  values = np.asarray(image).astype(np.int64)
  if values.min() < 0 or values.max() > 65535:
    raise ImageError(name, 'pixel type not supported', '32-bit integers; expected 8 or 16 bits')
  return ((values + 128) // 257).astype(np.uint8)


def _on_white(image: Image.Image, icc: bytes) -> np.ndarray:
  out = np.empty((image.height, image.width, 3), np.uint8)
  for top in range(0, image.height, _STRIP):
    strip = image.crop((0, top, image.width, min(top + _STRIP, image.height))).convert('RGBA')
    colour, alpha = strip.convert('RGB'), strip.getchannel('A')
    if icc:
      colour = to_srgb(colour, icc).convert('RGB')
    ground = Image.new('RGB', strip.size, (255, 255, 255))
    ground.paste(colour, (0, 0), alpha)
    out[top : top + _STRIP] = np.asarray(ground)
  return out


def to_srgb(image: Image.Image, icc: bytes) -> Image.Image:
  """Applies an embedded profile; one that fits another kind of picture says nothing and is left."""
  transform = _transform(icc, image.mode)
  return image if transform is None else transform.apply(image)


@functools.lru_cache(maxsize=32)
def _transform(icc: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
  try:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    if mode == 'RGB' and 'srgb' in ImageCms.getProfileDescription(profile).lower():
      return None
    return ImageCms.buildTransform(profile, _srgb(), mode, 'RGB')
  except (ImageCms.PyCMSError, OSError, ValueError):  # damaged, or of another colour space
    return None


@functools.lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
  return ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB'))
