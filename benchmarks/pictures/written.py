"""Files written byte by byte from known samples, so that no library's idea of a format leaks in.

`values`: unsigned integers `[H, W, C]`.
"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image


def encode(image: Image.Image | np.ndarray, kind: str, **options) -> bytes:
  """Encodes with Pillow: for formats where only the samples are tested, not the bytes."""
  stream = io.BytesIO()
  (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(stream, kind, **options)
  return stream.getvalue()


def packed(values: np.ndarray, bits: int, order: str = '>') -> bytes:
  """`[rows, samples]` -> rows of `bits` each, the highest bit first, padded to whole bytes."""
  if bits in (8, 16, 32):
    return values.astype(f'{order}u{bits // 8}').tobytes()
  shifts = np.arange(bits - 1, -1, -1)
  flat = (values.astype(np.int64)[..., None] >> shifts & 1).reshape(len(values), -1)
  return np.packbits(flat.astype(np.uint8), axis=1).tobytes()


def tiff(
  values: np.ndarray, photometric: int, bits: int, *, order: str = '<', layout: str = '', tags=()
) -> bytes:
  """A TIFF. `layout` holds words: planar, tiled, deflate, big. `tags`: more (tag, type, values)."""
  height, width, channels = values.shape
  big, tile = 'big' in layout, 16
  planes = [values[..., i : i + 1] for i in range(channels)] if 'planar' in layout else [values]
  if 'tiled' in layout:
    edge = [(0, -height % tile), (0, -width % tile), (0, 0)]
    planes = [np.pad(plane, edge) for plane in planes]
    parts = [
      plane[y : y + tile, x : x + tile]
      for plane in planes
      for y in range(0, height, tile)
      for x in range(0, width, tile)
    ]
  else:
    parts = [plane[y : y + 5] for plane in planes for y in range(0, height, 5)]
  data = [packed(part.reshape(len(part), -1), bits, order) for part in parts]
  if 'deflate' in layout:
    data = [zlib.compress(part) for part in data]
  start = 16 if big else 8
  offsets = [start + sum(map(len, data[:i])) for i in range(len(data))]
  where = ((324, 325), (322, 323)) if 'tiled' in layout else ((273, 279), (278,))
  entries = {
    256: (3, [width]),
    257: (3, [height]),
    258: (3, [bits] * channels),
    259: (3, [8 if 'deflate' in layout else 1]),
    262: (3, [photometric]),
    277: (3, [channels]),
    284: (3, [2 if 'planar' in layout else 1]),
    where[0][0]: (4, offsets),
    where[0][1]: (4, [len(part) for part in data]),
    **{tag: (3, [tile if 'tiled' in layout else 5]) for tag in where[1]},
    **{tag: (kind, list(found)) for tag, kind, found in tags},
  }
  entries = {tag: entry for tag, entry in sorted(entries.items()) if entry[1]}
  body = b''.join(data) + bytes(-sum(map(len, data)) % 8)
  return _directory(entries, body, order=order, big=big)


def _directory(entries, body: bytes, *, order: str, big: bool) -> bytes:
  size, word = (8, 'Q') if big else (4, 'I')
  mark = (b'II' if order == '<' else b'MM') + struct.pack(
    f'{order}H{"HH" if big else ""}{word}',
    *((43, 8, 0) if big else (42,)),
    (16 if big else 8) + len(body),
  )
  at = len(mark) + len(body) + (8 if big else 2) + len(entries) * (20 if big else 12) + size
  table, far = b'', b''
  for tag, (kind, found) in entries.items():
    letter = {1: 'B', 3: 'H', 4: 'I', 5: 'I', 7: 'B', 13: 'I'}[kind]
    content = struct.pack(f'{order}{len(found)}{letter}', *found)
    count = len(found) // 2 if kind == 5 else len(found)
    table += struct.pack(f'{order}HH{word}', tag, kind, count)
    if len(content) <= size:
      table += content.ljust(size, b'\0')
    else:
      table += struct.pack(f'{order}{word}', at + len(far))
      far += content + bytes(len(content) % 2)
  count = struct.pack(f'{order}{"Q" if big else "H"}', len(entries))
  return mark + body + count + table + bytes(size) + far


def chunk(name: bytes, data: bytes) -> bytes:
  return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))


def png(values: np.ndarray, colours: int, bits: int, *chunks: tuple[bytes, bytes]) -> bytes:
  """A PNG of colour type `colours`, with further chunks before the pixels."""
  height, width, _ = values.shape
  rows = packed(values.reshape(height, -1), bits)
  each = len(rows) // height
  pixels = b''.join(b'\0' + rows[i : i + each] for i in range(0, len(rows), each))
  header = struct.pack('>IIBBBBB', width, height, bits, colours, 0, 0, 0)
  return b'\x89PNG\r\n\x1a\n' + b''.join(
    chunk(*found)
    for found in ((b'IHDR', header), *chunks, (b'IDAT', zlib.compress(pixels)), (b'IEND', b''))
  )


def box(name: bytes, data: bytes) -> bytes:
  return struct.pack('>I4s', 8 + len(data), name) + data


def jp2(codestream: bytes, colr: bytes, *boxes: tuple[bytes, bytes], after: bytes = b'') -> bytes:
  """A JP2 around a codestream; `colr`: the content of that box, `boxes`: more in the header."""
  height, width = struct.unpack_from('>II', codestream, 8)[::-1]
  count, depth = struct.unpack_from('>HB', codestream, 40)
  ihdr = struct.pack('>IIHBBBB', height, width, count, depth, 7, 0, 0)
  header = box(b'ihdr', ihdr) + b''.join(box(*found) for found in boxes) + box(b'colr', colr)
  return (
    box(b'jP  ', b'\r\n\x87\n')
    + box(b'ftyp', b'jp2 \0\0\0\0jp2 ')
    + box(b'jp2h', header)
    + after
    + box(b'jp2c', codestream)
  )


def enumerated(number: int) -> bytes:
  return struct.pack('>BBBI', 1, 0, 0, number)


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
