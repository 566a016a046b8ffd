"""Pictures of known pixels, encoded in every way that the decoder meets."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image, ImageCms

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


def encode(image: Image.Image | np.ndarray, kind: str, **options) -> bytes:
  stream = io.BytesIO()
  (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(stream, kind, **options)
  return stream.getvalue()


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
  """An ICC profile that exchanges red and green: what it does cannot be overlooked."""
  profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes())
  tags = {
    bytes(profile[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i
    for i in range(struct.unpack_from('>I', profile, 128)[0])
  }
  red, green = tags[b'rXYZ'], tags[b'gXYZ']
  profile[red : red + 4], profile[green : green + 4] = b'gXYZ', b'rXYZ'
  return bytes(profile).replace('sRGB'.encode('utf-16-be'), 'swap'.encode('utf-16-be'))


def linear_grey() -> bytes:
  """An ICC profile (version 2) of grey values that are linear in light: 128 shows as 188."""
  return _linear(b'GRAY', {b'kTRC': _CURVE})


def linear_rgb() -> bytes:
  """The same with the primaries of sRGB, and a name that says sRGB."""
  columns = {b'r': (28578, 14579, 912), b'g': (25251, 46992, 6362), b'b': (9372, 3965, 46792)}
  tags = {name + b'XYZ': b'XYZ ' + bytes(4) + struct.pack('>3i', *v) for name, v in columns.items()}
  return _linear(b'RGB ', tags | {name + b'TRC': _CURVE for name in columns})


_CURVE = b'curv' + bytes(4) + struct.pack('>I', 0)  # no entry: the identity


def _linear(space: bytes, tags: dict[bytes, bytes]) -> bytes:
  white = struct.pack('>3i', 63190, 65536, 54061)  # D50
  text = b'desc' + bytes(4) + struct.pack('>I', 5) + b'sRGB\0' + bytes(78)
  tags = {b'desc': text, b'wtpt': b'XYZ ' + bytes(4) + white} | tags
  body, table = b'', []
  for name, data in tags.items():
    table.append(struct.pack('>4sII', name, 132 + 12 * len(tags) + len(body), len(data)))
    body += data + bytes(-len(data) % 4)
  content = struct.pack('>I', len(table)) + b''.join(table) + body
  header = struct.pack('>I4sI4s4s4s', 128 + len(content), b'', 0x02100000, b'mntr', space, b'XYZ ')
  header += struct.pack('>6H', 2026, 1, 1, 0, 0, 0) + b'acsp'
  return (header.ljust(68, b'\0') + white).ljust(128, b'\0') + content
