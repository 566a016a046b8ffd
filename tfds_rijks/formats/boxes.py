"""Boxes of the ISO base media format, of which JPEG 2000, AVIF and HEIC files are made."""

from __future__ import annotations

import struct
from collections.abc import Iterator


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
  """(type, start of its content, end) of each box between `start` and `end`."""
  end = len(data) if end is None else min(end, len(data))
  while start + 8 <= end:
    size, kind = struct.unpack_from('>I4s', data, start)
    head = 8
    if size == 1 and start + 16 <= end:
      (size,) = struct.unpack_from('>Q', data, start + 8)
      head = 16
    size = size or end - start  # 0: to the end
    if size < head:
      return
    yield kind, start + head, min(start + size, end)
    start += size


def code_points(data: bytes) -> tuple[int, int] | None:
  """Primaries and transfer characteristics (H.273) of the first `colr` box with code points in an
  AVIF or HEIC file; None if there is none.
  """
  at = (0, len(data))
  for wanted, skip in ((b'meta', 4), (b'iprp', 0), (b'ipco', 0)):
    inner = next(((a + skip, b) for kind, a, b in boxes(data, *at) if kind == wanted), None)
    if inner is None:
      return None
    at = inner
  for kind, a, b in boxes(data, *at):
    if kind == b'colr' and data[a : a + 4] == b'nclx' and b - a >= 10:
      primaries, transfer = struct.unpack_from('>HH', data, a + 4)
      return primaries, transfer
  return None
