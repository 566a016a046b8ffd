"""Pictures of known pixels, encoded in many ways."""

from __future__ import annotations

import struct

import numpy as np
from PIL import ImageCms

from benchmarks.pictures.written import encode as encode

# Four flat quarters: red, green / blue, yellow; 64 x 48, so that height and width differ.
COLOURS = [[(220, 30, 30), (30, 200, 40)], [(30, 40, 210), (230, 220, 40)]]


def picture(height: int = 48, width: int = 64) -> np.ndarray:
  out = np.empty((height, width, 3), np.uint8)
  for i in range(2):
    for j in range(2):
      out[i * height // 2 : (i + 1) * height // 2, j * width // 2 : (j + 1) * width // 2] = COLOURS[
        i
      ][j]
  return out


def quarters(image: np.ndarray) -> list[tuple[int, int, int]]:
  """The colours in the middle of the quarters, row by row."""
  h, w = image.shape[:2]
  return [
    tuple(int(v) for v in image[y, x]) for y in (h // 4, 3 * h // 4) for x in (w // 4, 3 * w // 4)
  ]


def near(found, wanted, within: int = 6) -> bool:
  return bool(np.abs(np.asarray(found, int) - np.asarray(wanted, int)).max() <= within)


FLAT = [colour for row in COLOURS for colour in row]


def noise(kind: str, **options) -> bytes:
  return encode(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8), kind, **options)


def swapped_profile() -> bytes:
  """An ICC profile that swaps red and green, an obvious effect."""
  profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes())
  tags = {
    bytes(profile[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i
    for i in range(struct.unpack_from('>I', profile, 128)[0])
  }
  red, green = tags[b'rXYZ'], tags[b'gXYZ']
  profile[red : red + 4], profile[green : green + 4] = b'gXYZ', b'rXYZ'
  return bytes(profile).replace('sRGB'.encode('utf-16-be'), 'swap'.encode('utf-16-be'))
