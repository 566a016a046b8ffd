"""Every supported format, by its first bytes, never by its name."""

from __future__ import annotations

from tfds_rijks.errors import ImageError
from tfds_rijks.formats import heif, jpeg, jpeg2000, plain, png, tiff
from tfds_rijks.formats.raster import Raster
from tfds_rijks.formats.unread import kind_of
from tfds_rijks.jpeg_header import MARK as JPEG_MARK


def is_known(head: bytes) -> bool:
  """Whether a file that starts with these bytes is of a supported format."""
  marks = (JPEG_MARK + b'\xff', png.MARK, *tiff.MARKS, jpeg2000.MARK, jpeg2000.CODESTREAM)
  return head.startswith((*marks, b'GIF8', b'BM')) or head[8:12] in (b'WEBP', b'avif', *heif.BRANDS)


def read(data: bytes, *, name: str, short_side: int | None, max_pixels: int) -> Raster:
  """An encoded picture as a raster; raises `ImageError`, or whatever a decoder raises."""
  if data[:2] == JPEG_MARK and data[2:4] != b'\xff\xf7':  # JPEG-LS starts like this
    return jpeg.read(data, name=name, short_side=short_side, max_pixels=max_pixels)
  if data[:8] == png.MARK:
    return png.read(data, name=name, max_pixels=max_pixels)
  if data[:4] in tiff.MARKS:
    return tiff.read(data, name=name, max_pixels=max_pixels)
  if data.startswith((jpeg2000.MARK, jpeg2000.CODESTREAM)):
    return jpeg2000.read(data, name=name, max_pixels=max_pixels)
  if heif.is_heic(data):
    return heif.read(data, name=name, max_pixels=max_pixels)
  if data[:4096].lstrip(b'\xef\xbb\xbf \t\r\n')[:9].lower() in (b'<!doctype', b'<html') or (
    b'<html' in data[:1024].lower()
  ):
    raise ImageError(name, 'an HTML page, not a picture')
  if kind := kind_of(data):
    raise ImageError(name, 'unknown format', kind)
  return plain.read(data, name=name, max_pixels=max_pixels)
