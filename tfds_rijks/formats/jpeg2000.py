"""JPEG 2000: the codestream by OpenJPEG, everything else from the boxes (ISO 15444-1, I).

The boxes are read here because no decoder returns all of them, and some decoders wrap values deeper
than 8 bits.
"""

from __future__ import annotations

import dataclasses
import struct

import numpy as np

from tfds_rijks import profiles
from tfds_rijks.errors import ImageError
from tfds_rijks.formats.boxes import boxes
from tfds_rijks.formats.raster import CHANNELS, UNSUPPORTED, Model, Raster, check_size, full_scale
from tfds_rijks.orientation import orientation_of

MARK = b'\0\0\0\x0cjP  \r\n\x87\n'
CODESTREAM = b'\xff\x4f\xff\x51'
ASSUMED_ALPHA = 'a last channel without a meaning, treated as transparency'
_EXIF = b'JpgTiffExif->JP2'
_MODELS: dict[int, Model] = {16: 'rgb', 17: 'grey', 18: 'rgb', 12: 'cmyk'}
_SYCC = 18


@dataclasses.dataclass
class _Header:
  """The content of the boxes.

  `channels`: (channel, kind, colour) of `cdef`; `palette`: `[N, C]`.
  """

  codestream: bytes
  enumerated: int | None = None
  icc: bytes = b''
  palette: np.ndarray | None = None
  palette_bits: int = 8
  mapping: tuple[tuple[int, int, int], ...] = ()
  channels: tuple[tuple[int, int, int], ...] = ()
  exif: bytes = b''


@dataclasses.dataclass
class _Size:
  """The SIZ marker; one entry per component in `bits`, `signed` and `steps`."""

  width: int
  height: int
  bits: list[int]
  signed: list[bool]
  steps: list[tuple[int, int]]


def read(data: bytes, *, name: str, max_pixels: int) -> Raster:
  """A JP2, JPX or bare codestream; refuses all but grey, RGB, sYCC and CMYK pictures."""
  header = _Header(data) if data.startswith(CODESTREAM) else _header(data, name=name)
  size = _size(header.codestream, name=name)
  check_size(size.width, size.height, name=name, max_pixels=max_pixels)
  bits = size.bits[0]
  if any(size.signed) or max(size.bits) > 16 or len(set(size.bits)) > 1:
    depth = ', '.join(
      f'{b}{" signed" if s else ""}' for b, s in zip(size.bits, size.signed, strict=True)
    )
    raise ImageError(name, UNSUPPORTED, f'{depth} bits; expected the same 1 to 16 in each channel')
  halved = any(step != (1, 1) for step in size.steps)
  if halved and (header.enumerated != _SYCC or len(size.bits) != 3 or size.steps[0] != (1, 1)):
    raise ImageError(name, UNSUPPORTED, 'channels of different size; expected only in sYCC')
  import imagecodecs

  values = imagecodecs.jpeg2k_decode(header.codestream, numthreads=1)
  if values.ndim == 2:
    values = values[..., None]
  if header.palette is not None:
    values, bits = _coloured(values, header, name=name), header.palette_bits
  if header.enumerated == _SYCC and not halved:  # OpenJPEG converts those that it enlarges
    return _raster(_from_ycc(values, bits), header, name=name)
  return _raster(full_scale(values, bits), header, name=name)


def _raster(samples: np.ndarray, header: _Header, *, name: str) -> Raster:
  """Sorts the channels into colours and alpha."""
  count = samples.shape[2]
  model = _model(header, count, name=name)
  wanted = CHANNELS[model]
  notes: tuple[str, ...] = ()
  colours, alpha, premultiplied = list(range(wanted)), None, False
  if header.channels:
    by_colour = {colour: at for at, kind, colour in header.channels if kind == 0}
    colours = [by_colour.get(i + 1, i) for i in range(wanted)]
    over = [(at, kind) for at, kind, colour in header.channels if kind in (1, 2) and colour == 0]
    if over:
      alpha, premultiplied = over[0][0], over[0][1] == 2
  elif count == wanted + 1:
    alpha, notes = wanted, (ASSUMED_ALPHA,)
  elif count > wanted:
    raise ImageError(name, UNSUPPORTED, f'{count} channels without a declared meaning')
  if max([*colours, alpha or 0]) >= count:
    raise ImageError(name, 'damaged', f'{count} channels; expected {wanted} colours')
  return Raster(
    samples if colours == list(range(count)) else samples[..., colours],
    model,
    None if alpha is None else samples[..., alpha],
    premultiplied=premultiplied,
    icc=header.icc,
    orientation=orientation_of(header.exif),
    notes=notes,
  )


def _model(header: _Header, count: int, *, name: str) -> Model:
  if header.icc:
    space = profiles.space_of(header.icc)
    # A damaged one is noted later.
    return {'GRAY': 'grey', 'RGB': 'rgb', 'CMYK': 'cmyk', '': 'rgb' if count > 2 else 'grey'}[space]
  if header.enumerated is None:
    return 'rgb' if count > 2 else 'grey'
  if header.enumerated not in _MODELS:
    raise ImageError(name, UNSUPPORTED, f'colour space {header.enumerated} of JPEG 2000')
  return _MODELS[header.enumerated]


def _coloured(values: np.ndarray, header: _Header, *, name: str) -> np.ndarray:
  """Channels by the palette (`pclr`, `cmap`)."""
  assert header.palette is not None
  mapping = header.mapping or tuple((0, 1, i) for i in range(header.palette.shape[1]))
  if max(component for component, *_ in mapping) >= values.shape[2]:
    raise ImageError(name, 'damaged', 'a palette for a missing channel')
  out = []
  for component, kind, column in mapping:
    plane = values[..., component]
    if kind == 1:
      if column >= header.palette.shape[1]:
        raise ImageError(name, 'damaged', 'a palette with too few columns')
      plane = header.palette[np.minimum(plane, len(header.palette) - 1), column]
    out.append(plane)
  return np.stack(out, axis=-1)


def _from_ycc(values: np.ndarray, bits: int) -> np.ndarray:
  """sYCC of `bits` -> RGB over the full range (IEC 61966-2-1, annex F); others only scaled."""
  half, most = float(1 << (bits - 1)), (1 << bits) - 1
  y, cb, cr = (values[..., i].astype(np.float32) - (half if i else 0) for i in range(3))
  rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=-1)
  out = full_scale(values, bits).copy()
  full = np.iinfo(out.dtype).max
  out[..., :3] = np.clip(np.rint(rgb * (full / most)), 0, full).astype(out.dtype)
  return out


def _header(data: bytes, *, name: str) -> _Header:
  header: _Header | None = None
  exif, inner = b'', (0, 0)
  for kind, start, end in boxes(data):
    if kind == b'jp2h':
      inner = (start, end)
    elif kind == b'uuid' and data[start : start + 16] == _EXIF:
      exif = data[start + 16 : end]
    elif kind == b'jp2c' and header is None:
      header = _Header(data[start:end])
  if header is None:
    raise ImageError(name, 'truncated', 'no codestream')
  header.exif = exif
  seen = False
  for kind, start, end in boxes(data, *inner):
    body = data[start:end]
    if kind == b'colr' and not seen:  # the first supported one
      if body[0] == 1:
        header.enumerated, seen = struct.unpack_from('>I', body, 3)[0], True
      elif body[0] in (2, 3):
        header.icc, seen = body[3:], True
    elif kind == b'pclr':
      entries, columns = struct.unpack_from('>HB', body)
      depths = [(b & 0x7F) + 1 for b in body[3 : 3 + columns]]
      if len(set(depths)) != 1 or depths[0] > 16 or any(b & 0x80 for b in body[3 : 3 + columns]):
        raise ImageError(name, UNSUPPORTED, 'a palette of signed, deep or unequal channels')
      kind_of = '>u2' if depths[0] > 8 else 'u1'
      table = np.frombuffer(body, kind_of, entries * columns, 3 + columns)
      header.palette = table.reshape(entries, columns).astype(np.uint16)
      header.palette_bits = depths[0]
    elif kind == b'cmap':
      header.mapping = tuple(
        struct.unpack_from('>HBB', body, at) for at in range(0, len(body) - 3, 4)
      )
    elif kind == b'cdef':
      (count,) = struct.unpack_from('>H', body)
      header.channels = tuple(struct.unpack_from('>HHH', body, 2 + 6 * i) for i in range(count))
  return header


def _size(codestream: bytes, *, name: str) -> _Size:
  if not codestream.startswith(CODESTREAM):
    raise ImageError(name, 'damaged', 'no codestream')
  right, below, left, top = struct.unpack_from('>4I', codestream, 8)
  (count,) = struct.unpack_from('>H', codestream, 40)
  each = [struct.unpack_from('>BBB', codestream, 42 + 3 * i) for i in range(count)]
  if not each:
    raise ImageError(name, 'no pixels', 'no channel')
  return _Size(
    width=right - left,
    height=below - top,
    bits=[(depth & 0x7F) + 1 for depth, *_ in each],
    signed=[bool(depth & 0x80) for depth, *_ in each],
    steps=[(x, y) for _, x, y in each],
  )
