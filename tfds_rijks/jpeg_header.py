"""The header of a JPEG file, read in microseconds without allocating pixels.

Segments are walked like libjpeg does (ITU T.81, annex B): bytes between them are skipped.
`without_flaws` keeps what decides the pixels, so that a strict decoder only fails on damaged
pixels.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator

MARK = b'\xff\xd8'  # SOI; bytes may precede the next marker
# Markers without a length: padding, TEM, RSTn, SOI.
_BARE = {0x00, 0x01, *range(0xD0, 0xD9)}
# SOF0 to SOF15 without DHT, JPG and DAC, which share the range.
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_SEQUENTIAL = {0xC0, 0xC1, 0xC9}
_EOI, _SOS, _COMMENT = 0xD9, 0xDA, 0xFE
_ICC = b'ICC_PROFILE\0'
_EXIF = b'Exif\0\0'
_JFIF = b'\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0'  # as libjpeg writes it
_WHOLE_BLOCK = b'\0\x3f\0'  # what a scan of a sequential JPEG holds: all coefficients, all bits


@dataclasses.dataclass
class JpegHeader:
  """Size in pixels, number of colour components (1, 3 or 4), bits per sample, raw metadata.

  `several_scans`: progressive, or one component after the other. `icc`: the profile, b'' if there
  is none, None if parts of it are missing.
  """

  height: int
  width: int
  components: int
  bits: int
  several_scans: bool
  exif: bytes
  icc: bytes | None


def read_header(data: bytes) -> JpegHeader:
  """Reads the markers up to the frame header and the metadata around it.

  Raises `ValueError` if no complete frame header is found before the first scan.
  """
  frame: tuple[int, int, int, int] | None = None
  exif = b''
  several_scans = False
  parts: list[bytes] = []
  for marker, start, end in _segments(data, 2):
    if end > len(data):
      raise ValueError('header ends early')
    body = data[start + 4 : end]
    if marker in _FRAMES and len(body) >= 6:
      bits, height, width, components = struct.unpack_from('>BHHB', body)
      frame = (height, width, components, bits)
      several_scans = marker in _PROGRESSIVE
    elif marker == 0xE1 and body.startswith(_EXIF):
      exif = exif or body
    elif marker == 0xE2 and body.startswith(_ICC):
      parts.append(body[len(_ICC) :])
    elif marker == _SOS:
      several_scans |= frame is not None and body[:1] != bytes([frame[2]])
      break
  if frame is None:
    raise ValueError('no frame header')
  return JpegHeader(*frame, several_scans=several_scans, exif=exif, icc=_joined(parts))


def without_flaws(data: bytes) -> bytes:
  """The file without everything irrelevant to its pixels: metadata, bytes between the segments of
  the header, progressive parameters of a sequential scan. Raises `ValueError` if pixels may be
  missing: bytes between scans, a component without a scan.
  """
  out = [data[:2]]
  components, begun = 0, set[int]()
  sequential = scanned = False
  end = 2
  while (found := next(_segments(data, end), None)) is not None:
    marker, start, after = found
    if scanned and start > end:
      raise ValueError('bytes between scans')
    segment, end = data[start:after], after
    body = segment[4:]
    if marker == 0xE0 and body.startswith(b'JFIF\0'):
      out.append(_JFIF)
    elif 0xE0 <= marker <= 0xEF or marker == _COMMENT:
      # Adobe's says whether the colours are YCbCr; unknown values are ignored.
      if marker == 0xEE and body.startswith(b'Adobe') and len(body) >= 12 and body[11] <= 2:
        out.append(segment)
    elif marker == _SOS:
      end = _end_of_scan(data, after)
      scan, scanned = data[after:end], True
      if sequential:
        segment = segment[:-3] + _WHOLE_BLOCK
      if sequential or segment[-3] == 0:
        begun |= set(body[1 : 1 + 2 * body[0] : 2])
      out += [segment, scan]
    else:
      out.append(segment)
      if marker in _FRAMES and len(body) >= 6:
        components, sequential = body[5], marker in _SEQUENTIAL
  if len(begun) != components:
    raise ValueError('a component without a scan')
  last = data.find(b'\xff\xd9', end)
  if data[end : max(last, end)].strip(b'\xff'):
    raise ValueError('bytes between scans')
  return b''.join([*out, b'\xff\xd9' if last >= 0 else b''])


def _segments(data: bytes, at: int) -> Iterator[tuple[int, int, int]]:
  """(marker, its start, end of its segment) of each segment from `at` on, up to EOI."""
  last = len(data) - 4
  while at <= last:
    marker = data[at + 1]
    if data[at] != 0xFF or marker == 0xFF:  # a stray or fill byte
      at += 1
    elif marker in _BARE:
      at += 2
    elif marker == _EOI:
      return
    else:
      end = at + 2 + (data[at + 2] << 8 | data[at + 3])
      if end < at + 4:
        raise ValueError('a marker without a length')
      yield marker, at, end
      at = end


def _end_of_scan(data: bytes, at: int) -> int:
  """The position of the next marker other than RSTn."""
  while 0 <= (at := data.find(b'\xff', at)) < len(data) - 1:
    if data[at + 1] not in (0x00, 0xFF, *range(0xD0, 0xD8)):
      return at
    at += 1 if data[at + 1] == 0xFF else 2
  return len(data)


def _joined(parts: list[bytes]) -> bytes | None:
  """Joins a profile of numbered parts: number, count, data."""
  if not parts:
    return b''
  if any(len(part) < 2 for part in parts):
    return None
  by_number = {part[0]: part[2:] for part in parts}
  if sorted(by_number) != list(range(1, len(parts) + 1)) or {p[1] for p in parts} - {len(parts)}:
    return None
  return b''.join(by_number[i] for i in sorted(by_number))
