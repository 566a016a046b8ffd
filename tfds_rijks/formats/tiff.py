"""TIFF: the samples by tifffile, their meaning from the tags (TIFF 6.0 and its supplements).

Every tag about the samples is checked: bits, sample format, photometric interpretation, planes,
extra samples, colour map. A picture with an unknown value of one, or without a required one, is
refused.
"""

from __future__ import annotations

import io
import logging
import math
from typing import Any

import numpy as np

from tfds_rijks.errors import ImageError
from tfds_rijks.formats.jpeg import strict
from tfds_rijks.formats.raster import CHANNELS, UNSUPPORTED, Model, Raster, check_size, full_scale
from tfds_rijks.formats.tiff_colour import from_cielab, from_ycbcr, palette
from tfds_rijks.jpeg_header import MARK as JPEG_MARK
from tfds_rijks.jpeg_header import read_header
from tfds_rijks.orientation import known

MARKS = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')  # the last two: BigTIFF
SMALL_MAP = 'colour map of 8 bits instead of 16'
UNDECLARED_ALPHA = 'a fourth or second channel without a meaning, treated as transparency'
_MODELS: dict[int, Model] = {
  0: 'grey',
  1: 'grey',
  2: 'rgb',
  3: 'rgb',
  5: 'cmyk',
  6: 'rgb',
  8: 'lab',
  9: 'lab',
}
_WHITE_IS_ZERO, _PALETTE, _CMYK, _YCBCR, _CIELAB = 0, 3, 5, 6, 8
_RAW = (32803, 34892)  # of a camera's sensor
_OLD_JPEG = 6
_JPEG = (_OLD_JPEG, 7)
_INTEGERS = {8: np.uint8, 16: np.uint16}
_DEEPEST = 8  # bytes per pixel, above which a file with many channels is not decoded
_PAGES = 64  # directories searched for the picture
_DNG_VERSION, _SUBFILE, _OLD_SUBFILE, _INK_SET = 50706, 254, 255, 332

logging.getLogger('tifffile').setLevel(
  logging.CRITICAL
)  # its warnings are about things checked here


def read(data: bytes, *, name: str, max_pixels: int) -> Raster:
  """The first picture that is not a reduced copy of another."""
  import tifffile

  if data[8:10] == b'CR' or data[:4] == b'IIU\0':
    raise ImageError(name, UNSUPPORTED, 'a raw file of a camera')
  with tifffile.TiffFile(io.BytesIO(data)) as file:
    page = _picture(file, name=name)
    check_size(page.imagewidth, page.imagelength, name=name, max_pixels=max_pixels)
    return _raster(page, data, name=name, max_pixels=max_pixels)


def _raster(page: Any, data: bytes, *, name: str, max_pixels: int) -> Raster:
  model, bits = _kind(page, name=name)
  photometric = int(page.photometric)
  samples = _samples(page, data, name=name, max_pixels=max_pixels)
  notes: tuple[str, ...] = ()
  count = 1 if photometric == _PALETTE else CHANNELS[model]
  if samples.shape[2] < count:
    raise ImageError(name, 'damaged', f'{samples.shape[2]} channels; expected {count}')
  alpha, premultiplied = None, False
  meanings = (
    [int(meaning) for meaning in page.tags.valueof(338, ()) or ()] if 338 in page.tags else None
  )
  if meanings is None and samples.shape[2] == count + 1:
    meanings, notes = [2], (UNDECLARED_ALPHA,)
  elif meanings is None and samples.shape[2] > count:
    raise ImageError(name, UNSUPPORTED, f'{samples.shape[2]} channels without a declared meaning')
  for at, meaning in enumerate(meanings or ()):
    if meaning in (1, 2) and count + at < samples.shape[2]:
      alpha, premultiplied = full_scale(samples[..., count + at], bits), meaning == 1
      break
  colours = samples[..., :count]
  if photometric == _PALETTE:
    colours, small = palette(page.tags.valueof(320), colours[..., 0], bits, name=name)
    notes += (SMALL_MAP,) if small else ()
    if alpha is not None:
      alpha = full_scale(alpha, alpha.dtype.itemsize * 8)
  elif photometric == _YCBCR and page.compression not in _JPEG:
    colours = from_ycbcr(colours, page.tags.valueof(529), page.tags.valueof(532))
  elif photometric == _CIELAB:
    colours = from_cielab(colours)
  else:
    colours = full_scale(colours, bits)
  if photometric == _WHITE_IS_ZERO:
    if premultiplied:
      raise ImageError(name, UNSUPPORTED, 'premultiplied transparency where white is 0')
    colours = ~colours
  if alpha is not None and alpha.dtype != colours.dtype:  # beside a palette
    alpha = (alpha >> 8).astype(np.uint8) if alpha.dtype == np.uint16 else alpha
  return Raster(
    colours,
    model,
    alpha,
    premultiplied=premultiplied,
    icc=bytes(page.tags.valueof(34675) or b''),
    orientation=known(page.tags.valueof(274, 1)),
    notes=notes,
  )


def _picture(file: Any, *, name: str) -> Any:
  """The directory to decode: not a thumbnail, mask or preview of a raw file."""
  pages = [page for page, _ in zip(file.pages, range(_PAGES), strict=False)]
  if not pages:
    raise ImageError(name, 'damaged', 'no directory')
  below = [page for first in pages[:4] for page in _below(first)]
  if any(_DNG_VERSION in p.tags or p.tags.valueof(262) in _RAW for p in [*pages, *below]):
    raise ImageError(name, UNSUPPORTED, 'a raw file of a camera')
  for page in [*pages, *below]:
    kind = page.tags.valueof(_SUBFILE, 0) or 0
    if not kind & 5 and page.tags.valueof(_OLD_SUBFILE, 1) != 2:
      return page
  raise ImageError(name, UNSUPPORTED, 'a TIFF with only reduced copies and masks')


def _below(page: Any) -> list[Any]:
  if not page.subifds:
    return []
  return [p for p, _ in zip(page.pages, range(_PAGES), strict=False)]


def _kind(page: Any, *, name: str) -> tuple[Model, int]:
  """The meaning of the samples, and their bits."""

  def refused(found: str, expected: str) -> ImageError:
    return ImageError(name, UNSUPPORTED, f'{found}; expected {expected}')

  photometric = page.tags.valueof(262)
  if photometric is None:
    raise refused('a TIFF that does not say what its values mean', 'PhotometricInterpretation')
  if photometric not in _MODELS:
    raise refused(f'photometric interpretation {int(photometric)}', 'grey, RGB, palette, CMYK, Lab')
  if photometric == _CMYK and page.tags.valueof(_INK_SET, 1) != 1:
    raise refused('special inks', 'cyan, magenta, yellow and black')
  bits, kind = page.bitspersample, page.sampleformat or 1
  if kind not in (1, 4):  # or a different one for each channel
    names = {2: 'signed integers', 3: 'floating point'}
    raise refused(f'{bits} bits, {names.get(kind, f"sample format {kind}")}', 'unsigned integers')
  if not isinstance(bits, int) or not 1 <= bits <= 16:
    raise refused(f'{bits} bits', 'the same 1 to 16 in each channel')
  only = {6: (8,), 8: (8, 16), 9: (8, 16)}.get(photometric)
  if (only and bits not in only) or (page.compression in _JPEG and bits != 8):
    raise refused(f'{bits} bits of photometric interpretation {int(photometric)}', '8')
  return _MODELS[photometric], bits


def _samples(page: Any, data: bytes, *, name: str, max_pixels: int) -> np.ndarray:
  """`[H, W, C]` as stored; refuses a file with missing parts."""
  if page.compression == _OLD_JPEG:
    return _old_jpeg(page, data, name=name)
  planes, depth, height, width, each = page.shaped
  if depth != 1:
    raise ImageError(name, UNSUPPORTED, f'a volume of {depth} slices')
  across, down = (page.tilewidth, page.tilelength) if page.is_tiled else (width, height)
  if page.is_tiled and (not across or not down or across * down > max(max_pixels, 1 << 20)):
    raise ImageError(name, 'damaged', f'tiles of {across} x {down}')
  if planes * each * page.dtype.itemsize > _DEEPEST and width * height * planes * each > max_pixels:
    raise ImageError(name, UNSUPPORTED, f'{planes * each} channels')
  rows = down if page.is_tiled else max(1, min(int(page.rowsperstrip), height))
  parts = math.ceil(height / rows) * math.ceil(width / across) * planes
  stored = page.tags.get(324) or page.tags.get(273)
  if stored is None or stored.count < parts:
    raise ImageError(name, 'truncated', f'expected {parts} strips or tiles')
  for start, size in zip(page.dataoffsets, page.databytecounts, strict=False):
    if size <= 0 or start <= 0 or start + size > len(data):
      raise ImageError(name, 'truncated', 'a strip or tile is beyond the end of the file')
    if page.compression in _JPEG:
      _check_jpeg(page, data[start : start + size])
  try:
    values = page.asarray(squeeze=False, maxworkers=1)
  except (NotImplementedError, KeyError) as error:
    raise ImageError(name, UNSUPPORTED, f'{_compression(page)}: {error}') from error
  except (ValueError, ImportError) as error:
    if 'not supported' in str(error) or 'not a known' in str(error) or 'requires' in str(error):
      raise ImageError(name, UNSUPPORTED, f'{_compression(page)}: {error}') from error
    raise
  if values.dtype not in (np.uint8, np.uint16, np.bool_):
    raise ImageError(name, UNSUPPORTED, f'{values.dtype}')
  values = values[:, 0]
  return np.moveaxis(values[..., 0], 0, -1) if planes > 1 else values[0]


def _old_jpeg(page: Any, data: bytes, *, name: str) -> np.ndarray:
  """JPEG of TIFF 6.0, section 22, if it is a whole file (JPEGInterchangeFormat), as it mostly
  is."""
  (start,), (size,) = (page.tags.valueof(tag, (0,)) for tag in (513, 514))
  part = data[start : start + size]
  header = read_header(part) if part.startswith(JPEG_MARK) else None
  if header is None or (header.width, header.height) != (page.imagewidth, page.imagelength):
    raise ImageError(name, UNSUPPORTED, 'JPEG of TIFF 6.0 in pieces')
  return strict(part, 'RGB' if header.components == 3 else 'GRAY')


def _check_jpeg(page: Any, part: bytes) -> None:
  """Checks a strip strictly: of a truncated one libjpeg, as used by tifffile, only warns."""
  tables = page.jpegtables or b''
  whole = tables[:-2] + part[2:] if tables else part
  strict(whole, 'CMYK' if page.samplesperpixel == 4 else 'RGB', least=(1, 1))


def _compression(page: Any) -> str:
  name = getattr(page.compression, 'name', str(page.compression))
  return f'compression {name}'
