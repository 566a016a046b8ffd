"""Pictures of known pixels, encoded in every way that the decoder meets."""

from __future__ import annotations

import io
import struct
import zlib

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


def png16(pixels: np.ndarray, colour_type: int) -> bytes:
  """A 16-bit PNG of 2 (RGB), 4 (LA) or 6 (RGBA); Pillow writes none."""

  def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))

  height, width = pixels.shape[:2]
  rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in pixels)
  return (
    b'\x89PNG\r\n\x1a\n'
    + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 16, colour_type, 0, 0, 0))
    + chunk(b'IDAT', zlib.compress(rows))
    + chunk(b'IEND', b'')
  )


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
  white = b'XYZ ' + bytes(4) + struct.pack('>3i', 63190, 65536, 54061)  # D50
  curve = b'curv' + bytes(4) + struct.pack('>I', 0)  # no entry: the identity
  text = b'desc' + bytes(4) + struct.pack('>I', 5) + b'grey\0' + bytes(78)
  body, table = b'', []
  for name, data in ((b'desc', text), (b'wtpt', white), (b'kTRC', curve)):
    table.append(struct.pack('>4sII', name, 128 + 4 + 36 + len(body), len(data)))
    body += data + bytes(-len(data) % 4)
  content = struct.pack('>I', len(table)) + b''.join(table) + body
  kind = (b'mntr', b'GRAY', b'XYZ ')
  header = struct.pack('>I4sI4s4s4s', 128 + len(content), bytes(4), 0x02100000, *kind)
  header += struct.pack('>6H', 2026, 1, 1, 0, 0, 0) + b'acsp'
  header = header.ljust(68, b'\0') + struct.pack('>3i', 63190, 65536, 54061)
  return header.ljust(128, b'\0') + content
