"""The picture decoder of the project: prepare, train, eval and predict see the same pixels.

Every picture becomes uint8 RGB, upright (EXIF orientation applied), in sRGB (embedded profiles
applied), on a white ground (transparency), 16 bits scaled to 8. A file that cannot be read in full,
or does not declare what its values mean, is refused with an `ImageError`; nothing is guessed or
replaced. Sizes are read from the header before any pixel is allocated. The work is done in C
without the GIL, so threads help. Formats: docs/pictures.md.
"""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from typing import Literal, NamedTuple

import numpy as np
import simplejpeg
from PIL import Image

from tfds_rijks import formats
from tfds_rijks.colour import to_rgb
from tfds_rijks.errors import ImageError as ImageError
from tfds_rijks.formats.heif import INSTALLED as HEIC
from tfds_rijks.formats.raster import TooManyPixelsError
from tfds_rijks.jpeg_header import MARK as JPEG_MARK
from tfds_rijks.jpeg_header import read_header
from tfds_rijks.orientation import FROM_BELOW, FROM_THE_RIGHT, orientation_of, upright
from tfds_rijks.resizing import Resize, check_resize, resized

DECODER = 2  # increased whenever a file may give other pixels, which makes decoded pictures stale
MAX_PIXELS = 100_000_000
BYTES_PER_PIXEL = 32  # that decoding takes
LONGEST_JPEG = 65_500  # pixels of a side that libjpeg can write
HEIC_SUFFIXES = frozenset({'.heic', '.heif', '.hif'})
SUFFIXES = frozenset(
  {
    '.jpg',
    '.jpeg',
    '.jpe',
    '.jfif',
    '.png',
    '.gif',
    '.tif',
    '.tiff',
    '.webp',
    '.bmp',
    '.jp2',
    '.j2k',
    '.jpf',
    '.jpx',
    '.ppm',
    '.pgm',
    '.pbm',
    '.pnm',
    '.avif',
    *(HEIC_SUFFIXES if HEIC else ()),  # the extra `heic`
  }
)

# Sizes are checked here, against the caller's limit, before Pillow allocates anything.
warnings.filterwarnings('ignore', category=Image.DecompressionBombWarning)

Fit = Literal['crop', 'squash', 'pad']


class Decoded(NamedTuple):
  """uint8 `[H, W, 3]` RGB, and tolerated flaws of the file as short phrases."""

  pixels: np.ndarray
  notes: tuple[str, ...]


def decode(
  data: bytes, *, name: str, short_side: int | None = None, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
  """Decodes an encoded picture to uint8 `[H, W, 3]` RGB.

  Args:
    data: the file's bytes; the format is found from them, never from the name.
    name: record id or path, for messages.
    short_side: needed size, in pixels. A larger JPEG is decoded at some eighths of its size (DCT
      scaling), never below this; other formats are always decoded in full.
    max_pixels: largest height times width.

  Raises:
    ImageError: the reasons are 'empty file', 'an HTML page, not a picture', 'unknown format',
      'truncated', 'damaged', 'too many pixels', 'too many scans', 'no pixels',
      'pixel type not supported', 'HEIC, which needs pi-heif'.
  """
  return read(data, name=name, short_side=short_side, max_pixels=max_pixels).pixels


def decoding_bytes(data: bytes, *, name: str, short_side: int | None = None) -> int:
  """About the most memory that `decode` takes, by the size that the header declares; 0 if none.

  Measured with 12 megapixels of every format: 29 bytes a pixel at most (a TIFF of 16 bits), a
  progressive JPEG 3, for its coefficients, any other JPEG that of the pixels after scaling.
  """
  try:
    if data[:2] == JPEG_MARK:
      header = read_header(data)
      pixels, least = header.height * header.width, min(header.height, header.width)
      eighths = min(8, -(-8 * (short_side or least) // max(1, least)))
      coefficients = 2 * header.components * pixels if header.several_scans else 0
      return coefficients + BYTES_PER_PIXEL * pixels * eighths**2 // 64
    formats.read(data, name=name, short_side=short_side, max_pixels=0)
  except TooManyPixelsError as error:
    return BYTES_PER_PIXEL * error.pixels
  except Exception:  # decoders raise nearly anything for arbitrary bytes; `decode` says what
    pass
  return 0


def read(
  data: bytes, *, name: str, short_side: int | None = None, max_pixels: int = MAX_PIXELS
) -> Decoded:
  """As `decode`, with notes."""
  if not data:
    raise ImageError(name, 'empty file')
  try:
    raster = formats.read(data, name=name, short_side=short_side, max_pixels=max_pixels)
    pixels, notes = to_rgb(raster)
    return Decoded(upright(pixels, raster.orientation), notes)
  except (ImageError, MemoryError):
    raise
  except Exception as error:  # decoders raise nearly anything for arbitrary bytes
    raise ImageError(name, _reason(error), _first_line(error)) from error


def _reason(error: Exception) -> str:
  text = str(error).lower()
  if isinstance(error, Image.DecompressionBombError):
    return 'too many pixels'
  if isinstance(error, Image.UnidentifiedImageError):
    return 'unknown format'
  if isinstance(error, EOFError) or any(
    word in text for word in ('truncated', 'premature', 'ends early', 'not enough', 'too small')
  ):
    return 'truncated'
  return 'damaged'


def _first_line(error: Exception) -> str:
  text = str(error).strip().split('\n')[0]
  # Pillow names the buffer by its address, which differs between runs.
  return '' if 'BytesIO' in text else text[:200]


def fit(image: np.ndarray, size: int, *, how: Fit = 'crop', by: Resize = 'pillow') -> np.ndarray:
  """Resizes uint8 `[H, W, 3]` to `[size, size, 3]`, antialiased.

  `how`: 'crop' takes the largest centred square, 'squash' ignores the aspect ratio, 'pad' keeps the
  whole picture on a white square. `by`: see `tfds_rijks.resizing`.
  """
  height, width = image.shape[:2]
  if how == 'pad':
    scale = size / max(height, width)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    ground = np.full((size, size, 3), 255, np.uint8)
    left, top = (size - inner[0]) // 2, (size - inner[1]) // 2
    ground[top : top + inner[1], left : left + inner[0]] = resized(image, inner, by=by)
    return ground
  if how == 'crop':
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    image = image[top : top + side, left : left + side]
  elif how != 'squash':
    raise ValueError(f'how is {how!r}; expected crop, squash or pad')
  if image.shape[:2] == (size, size):
    return np.ascontiguousarray(image)
  return resized(image, (size, size), by=by)


@dataclasses.dataclass(frozen=True)
class Square:
  """Turns a picture into a network's input: `size` pixels a side, made square as `fit` says (see
  `fit`), resized by `resize` (see `tfds_rijks.resizing`).

  Training, evaluation and prediction share one, so that they see the same pixels. Raises
  `UserError` if `resize` needs a library that is not installed.
  """

  size: int
  fit: Fit = 'crop'
  resize: Resize = 'pillow'

  def __post_init__(self) -> None:
    check_resize(self.resize)

  def __call__(self, data: bytes, *, name: str) -> np.ndarray:
    """An encoded picture -> uint8 `[size, size, 3]`; `ImageError` as of `decode`."""
    picture = decode(data, name=name, short_side=self.size)
    return fit(picture, self.size, how=self.fit, by=self.resize)


def encode_jpeg(image: np.ndarray, quality: int = 95) -> bytes:
  """uint8 `[H, W, 3]` RGB -> JPEG without chroma subsampling (4:4:4)."""
  return simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, 'RGB', '444')


def shrink(data: bytes, *, name: str, image_size: int, max_pixels: int = MAX_PIXELS) -> bytes:
  """Encoded picture -> encoded picture whose short side is at most `image_size` pixels.

  A plain JPEG (RGB or grey, upright, no colour profile) that is small enough is kept unchanged;
  everything else is decoded, reduced if larger, and written as JPEG of quality 95, 4:4:4.
  """
  image, notes = read(data, name=name, short_side=image_size, max_pixels=max_pixels)
  return store(reduce(image, image_size), data=data, image_size=image_size, flawed=bool(notes))


def reduce(image: np.ndarray, image_size: int) -> np.ndarray:
  """uint8 `[H, W, 3]` -> the same with a short side of at most `image_size`, antialiased."""
  height, width = image.shape[:2]
  if min(height, width) <= image_size:
    return image
  scale = image_size / min(height, width)
  return resized(image, (max(1, round(width * scale)), max(1, round(height * scale))))


def store(image: np.ndarray, *, data: bytes, image_size: int, flawed: bool = False) -> bytes:
  """As `shrink`, for a picture already decoded from `data` and reduced.

  `flawed`: it had notes, and is therefore also written again.
  """
  size = jpeg_size(data)  # of the file: a scaled decode may have met `image_size` exactly
  small = size is not None and min(size) <= image_size
  return data if small and not flawed and _is_plain_jpeg(data) else encode_jpeg(image)


def jpeg_size(data: bytes) -> tuple[int, int] | None:
  """Full (height, width) of an upright JPEG, which a scaled decode does not return; else None."""
  if data[:2] != JPEG_MARK:
    return None
  header = read_header(data)
  size = (header.height, header.width)
  return size[::-1] if orientation_of(header.exif) >= 5 else size


def look(image: np.ndarray, data: bytes, *, side: int) -> bytes:
  """A tiny version of decoded `data`, `side` x `side`, to find candidates for equal pictures: it is
  nearly the same whatever scale `image` was decoded at.
  """
  height, width = image.shape[:2]
  box = (0.0, 0.0, float(width), float(height))
  if (size := jpeg_size(data)) not in (None, (height, width)):
    # A scaled decode rounds its size up: its last row and column, as stored, hold less of the
    # picture than the others.
    eighths = next(
      n
      for n in range(1, 9)
      if all(-(-a * n // 8) == b for a, b in zip(size, (height, width), strict=True))
    )
    below, beside = height - size[0] * eighths / 8, width - size[1] * eighths / 8
    turn = orientation_of(read_header(data).exif)
    left, top = beside * (turn in FROM_THE_RIGHT), below * (turn in FROM_BELOW)
    box = (left, top, width - beside + left, height - below + top)
  return Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR, box).tobytes()


def _is_plain_jpeg(data: bytes) -> bool:
  if data[:2] != JPEG_MARK:
    return False
  header = read_header(data)
  return (
    header.components != 4
    and header.bits == 8
    and not header.icc
    and orientation_of(header.exif) == 1
  )


def pixel_digest(image: np.ndarray) -> str:
  """SHA-256 of shape and pixels: equal digests are equal pictures, however they were encoded."""
  digest = hashlib.sha256(repr(image.shape).encode())
  digest.update(np.ascontiguousarray(image).data)
  return digest.hexdigest()
