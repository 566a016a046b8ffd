"""PNG: up to 8 bits by Pillow, 16 by libpng; colours and transparency from the chunks."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping

import numpy as np
from PIL import Image

from tfds_rijks import profiles
from tfds_rijks.colour import DAMAGED_PROFILE
from tfds_rijks.errors import ImageError
from tfds_rijks.formats.raster import UNSUPPORTED, Raster, allow, check_size, full_scale
from tfds_rijks.orientation import orientation_of

MARK = b'\x89PNG\r\n\x1a\n'
_GREY, _PALETTE = 0, 3
_MOST = 1 << 24  # bytes of a profile or of a block of metadata, unpacked
_READ = (b'IHDR', b'tRNS', b'cICP', b'iCCP', b'sRGB', b'gAMA', b'cHRM', b'eXIf', b'zTXt', b'tEXt')


def read(data: bytes, *, name: str, max_pixels: int) -> Raster:
  """A PNG, or the default picture of an animated one."""
  chunks = _chunks(data)
  if len(chunks.get(b'IHDR', b'')) != 13:
    raise ImageError(name, 'damaged', 'no header')
  width, height, bits, colours = struct.unpack_from('>IIBB', chunks[b'IHDR'])
  check_size(width, height, name=name, max_pixels=max_pixels)
  icc, notes = _profile(chunks, name=name)
  if bits == 16:
    import imagecodecs

    # A transparent colour becomes alpha. Other chunks are dropped, as libpng writes warnings about
    # them to standard error.
    samples = imagecodecs.png_decode(_pixels_alone(data))
    if samples.ndim == 2:
      samples = samples[..., None]
    alpha = samples[..., -1] if samples.shape[2] in (2, 4) else None
    samples = samples[..., : 1 if samples.shape[2] < 3 else 3]
  else:
    allow(max_pixels)
    samples, alpha = _up_to_eight(data, bits, colours, chunks.get(b'tRNS', b''), icc=bool(icc))
  model = 'grey' if samples.shape[2] == 1 else 'rgb'
  turn = orientation_of(chunks.get(b'eXIf') or _raw_profile(chunks))
  return Raster(samples, model, alpha, icc=icc, orientation=turn, notes=notes)  # type: ignore[arg-type]


def _up_to_eight(
  data: bytes, bits: int, colours: int, key: bytes, *, icc: bool
) -> tuple[np.ndarray, np.ndarray | None]:
  """`[H, W, C]` and `[H, W]` or None, uint8.

  `key`: the content of tRNS. `icc`: there is a profile, which needs grey as grey.
  """
  with Image.open(io.BytesIO(data), formats=('PNG',)) as image:
    image.load()
    mode = image.mode
    if colours == _PALETTE:
      mode = 'RGBA' if key else 'RGB'
    elif mode == '1' or (mode == 'L' and not icc and not key):
      mode = 'L' if icc or key else 'RGB'
    found = image if mode == image.mode else image.convert(mode)
    if mode in ('LA', 'RGBA'):  # Pillow separates them faster than NumPy
      return _with_channels(found.convert(mode[:-1])), np.asarray(found.getchannel('A'))
    samples = _with_channels(found)
  if not key or colours == _PALETTE or len(key) < 2 * samples.shape[2]:
    return samples, None
  # The transparent colour, in the samples' own bits; higher ones are ignored.
  wanted = np.array(struct.unpack_from(f'>{samples.shape[2]}H', key)) & ((1 << bits) - 1)
  there = (samples == full_scale(wanted, bits)).all(axis=2)
  return samples, np.where(there, 0, 255).astype(np.uint8)


def _with_channels(image: Image.Image) -> np.ndarray:
  samples = np.asarray(image)
  return samples if samples.ndim == 3 else samples[..., None]


def _chunks(data: bytes) -> dict[bytes, bytes]:
  """The first chunk of each kind that is read here, in any place."""
  found: dict[bytes, bytes] = {}
  at = len(MARK)
  while at + 8 <= len(data):
    size, kind = struct.unpack_from('>I4s', data, at)
    if kind in (b'zTXt', b'tEXt') and data[at + 8 : at + 30] != b'Raw profile type exif\0':
      pass
    elif kind in _READ:
      found.setdefault(kind, data[at + 8 : at + 8 + size])
    at += 12 + size
  return found


def _pixels_alone(data: bytes) -> bytes:
  """The file with only the chunks that hold pixels, unchanged."""
  out, at = [data[: len(MARK)]], len(MARK)
  while at + 8 <= len(data):
    size, kind = struct.unpack_from('>I4s', data, at)
    if kind in (b'IHDR', b'PLTE', b'tRNS', b'IDAT', b'IEND'):
      out.append(data[at : at + 12 + size])
    at += 12 + size
  return b''.join(out)


def _profile(chunks: Mapping[bytes, bytes], *, name: str) -> tuple[bytes, tuple[str, ...]]:
  """The profile of the file, from the first of cICP, iCCP, sRGB, gAMA with cHRM that it has
  (PNG, third edition, 4.3); b'' is sRGB.
  """
  if len(numbers := chunks.get(b'cICP', b'')) == 4:
    if numbers[2] != 0 or numbers[3] != 1:
      raise ImageError(name, UNSUPPORTED, 'cICP of YCbCr or of a narrow range')
    try:
      return profiles.of_code_points(numbers[0], numbers[1]), ()
    except ValueError as error:
      raise ImageError(name, UNSUPPORTED, str(error)) from None
  if b'iCCP' in chunks:
    icc = _unpacked(chunks[b'iCCP'].partition(b'\0')[2][1:])
    return icc, () if icc else (DAMAGED_PROFILE,)
  gamma = int.from_bytes(chunks.get(b'gAMA', b'')[:4], 'big')
  if b'sRGB' in chunks or not gamma:
    return b'', ()
  where = chunks.get(b'cHRM', b'')
  values = tuple(v / 100_000 for v in struct.unpack('>8I', where)) if len(where) == 32 else None
  return profiles.of_gamma(gamma / 100_000, values), ()


def _raw_profile(chunks: Mapping[bytes, bytes]) -> bytes:
  """EXIF as ImageMagick wrote it before PNG had a chunk for it: as hexadecimal text."""
  if b'zTXt' in chunks:
    text = _unpacked(chunks[b'zTXt'].partition(b'\0')[2][1:])
  else:
    text = chunks.get(b'tEXt', b'').partition(b'\0')[2]
  try:
    return bytes.fromhex(''.join(text.decode('ascii').split()[2:]))
  except ValueError:
    return b''


def _unpacked(data: bytes) -> bytes:
  """b'' if it is damaged or too large."""
  try:
    unpack = zlib.decompressobj()
    out = unpack.decompress(data, _MOST)
    return out if unpack.eof else b''
  except zlib.error:
    return b''
