"""What a JPEG file says of itself before its pixels: read in microseconds, nothing allocated."""

from __future__ import annotations

import dataclasses
import struct

# Markers without a length: padding, TEM, RSTn, SOI.
_BARE = {0x01, *range(0xD0, 0xD9)}
# SOF0 to SOF15 without DHT, JPG and DAC, which share the range.
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_ICC = b'ICC_PROFILE\0'
_EXIF = b'Exif\0\0'


@dataclasses.dataclass
class JpegHeader:
  """Size in pixels, number of colour components (1, 3 or 4), bits per sample, raw metadata.

  `several_scans`: progressive, or one component after the other.
  """

  height: int
  width: int
  components: int
  bits: int
  several_scans: bool
  exif: bytes
  icc: bytes


def read_header(data: bytes) -> JpegHeader:
  """Walks the markers up to the frame header and the metadata around it (ITU T.81, annex B).

  Raises `ValueError` if no complete frame header is found before the first scan.
  """
  frame: tuple[int, int, int, int] | None = None
  exif = b''
  several_scans = False
  icc: dict[int, bytes] = {}
  at = 2
  while at + 4 <= len(data):
    if data[at] != 0xFF:
      raise ValueError('no marker where one must be')
    marker = data[at + 1]
    if marker == 0xFF:  # fill byte
      at += 1
      continue
    if marker in _BARE:
      at += 2
      continue
    if marker == 0xD9:
      break
    (length,) = struct.unpack_from('>H', data, at + 2)
    body = data[at + 4 : at + 2 + length]
    if marker == 0 or length < 2:
      raise ValueError('a marker without a length')
    if len(body) < length - 2:
      raise ValueError('header ends early')
    if marker in _FRAMES and len(body) >= 6:
      bits, height, width, components = struct.unpack_from('>BHHB', body)
      frame = (height, width, components, bits)
      several_scans = marker in _PROGRESSIVE
    elif marker == 0xE1 and body.startswith(_EXIF):
      exif = exif or body
    elif marker == 0xE2 and body.startswith(_ICC) and len(body) > 14:
      icc[body[12]] = body[14:]  # chunk number, count, data
    elif marker == 0xDA:
      several_scans |= frame is not None and body[:1] != bytes([frame[2]])
      break
    at += 2 + length
  if frame is None:
    raise ValueError('no frame header')
  return JpegHeader(
    *frame, several_scans=several_scans, exif=exif, icc=b''.join(icc[i] for i in sorted(icc))
  )
