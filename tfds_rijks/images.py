"""The one image decoder of the project: prepare, train, eval and predict see the same pixels.

Every picture becomes uint8 RGB, upright (EXIF orientation applied), in sRGB (embedded profiles
applied), on a white ground (transparency), 16 bits scaled to 8. What cannot be read in full is
refused with an `ImageError`; nothing is guessed and nothing is replaced. Sizes are read from the
header before any pixel is allocated. The work is done in C without the GIL, so threads help.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import warnings
from typing import Any, Literal

import numpy as np
import simplejpeg
from PIL import Image

from tfds_rijks.colour import to_rgb, to_srgb
from tfds_rijks.errors import ImageError as ImageError
from tfds_rijks.jpeg_header import JpegHeader, read_header
from tfds_rijks.resizing import Resize, check_resize, resized

MAX_PIXELS = 100_000_000
LONGEST_JPEG = 65_500  # pixels of a side that libjpeg writes
# Of a progressive JPEG; encoders write about ten, and each costs a pass over all coefficients, so
# that a small file with thousands would keep a core busy for hours.
MAX_SCANS = 200
# Pictures only: no format that runs a program (EPS) or is a document (PDF), and none that needs a
# guess. JPEG stands here for CMYK, which simplejpeg does not turn into RGB.
FORMATS = ('PNG', 'GIF', 'TIFF', 'WEBP', 'BMP', 'JPEG', 'JPEG2000', 'PPM', 'AVIF')
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
  }
)
_ORIENTATION = 0x0112
_FROM_THE_RIGHT, _FROM_BELOW = (2, 3, 6, 7), (3, 4, 7, 8)  # orientations that are read so

# Sizes are checked here, against the caller's limit, before Pillow allocates anything.
warnings.filterwarnings('ignore', category=Image.DecompressionBombWarning)

Fit = Literal['crop', 'squash', 'pad']


def decode(
  data: bytes, *, name: str, short_side: int | None = None, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
  """Decodes an encoded picture to uint8 `[H, W, 3]` RGB.

  Args:
    data: the file's bytes; the format is found from them, never from the name.
    name: record id or path, for messages.
    short_side: what is needed, in pixels. A larger JPEG is then decoded at so many eighths of its
      size (DCT scaling), never below this; other formats always come in full.
    max_pixels: height times width that is accepted.

  Raises:
    ImageError: the reasons are 'empty file', 'an HTML page, not a picture', 'unknown format',
      'truncated', 'damaged', 'too many pixels', 'too many scans', 'no pixels',
      'pixel type not supported'.
  """
  if not data:
    raise ImageError(name, 'empty file')
  try:
    if data[:3] == b'\xff\xd8\xff':
      return _decode_jpeg(data, name=name, short_side=short_side, max_pixels=max_pixels)
    return _decode_other(data, name=name, max_pixels=max_pixels)
  except (ImageError, MemoryError):
    raise
  except Exception as error:  # decoders fed with arbitrary bytes raise nearly anything
    raise ImageError(name, _reason(error), _first_line(error)) from error


def _decode_jpeg(data: bytes, *, name: str, short_side: int | None, max_pixels: int) -> np.ndarray:
  header = read_header(data)
  _check_size(header.width, header.height, name=name, max_pixels=max_pixels)
  if header.components == 4 or header.bits != 8:
    # Its own EXIF decides: Pillow also looks into XMP, which nobody else here does.
    turn = _orientation(header.exif)
    return _decode_other(data, name=name, max_pixels=max_pixels, orientation=turn)
  if header.several_scans and (scans := data.count(b'\xff\xda')) > MAX_SCANS:
    raise ImageError(name, 'too many scans', f'{scans}; expected at most {MAX_SCANS}')
  least = _scaled_minimum(header, short_side)
  # Strict: a file that ends early would otherwise come back in full size, grey below.
  space = 'GRAY' if header.components == 1 and header.icc else 'RGB'  # what the profile is about
  image = simplejpeg.decode_jpeg(data, space, min_height=least[0], min_width=least[1], strict=True)
  if header.icc:
    plain = Image.fromarray(image[..., 0] if space == 'GRAY' else image)
    image = to_srgb(plain, header.icc).convert('RGB')
  return _upright(np.asarray(image), _orientation(header.exif))


def _scaled_minimum(header: JpegHeader, short_side: int | None) -> tuple[int, int]:
  """(height, width) that simplejpeg must not go below; (0, 0) means the full size."""
  if short_side is None or min(header.height, header.width) <= short_side:
    return 0, 0
  scale = short_side / min(header.height, header.width)
  return int(np.ceil(header.height * scale)), int(np.ceil(header.width * scale))


def _decode_other(
  data: bytes, *, name: str, max_pixels: int, orientation: int | None = None
) -> np.ndarray:
  """By Pillow, turned by `orientation`, or by the one that the file says."""
  if max_pixels > (Image.MAX_IMAGE_PIXELS or max_pixels):
    Image.MAX_IMAGE_PIXELS = max_pixels  # else Pillow warns, and from twice its limit refuses
  if data[:4096].lstrip(b'\xef\xbb\xbf \t\r\n')[:9].lower() in (b'<!doctype', b'<html') or (
    b'<html' in data[:1024].lower()
  ):
    raise ImageError(name, 'an HTML page, not a picture')
  with Image.open(io.BytesIO(data), formats=FORMATS) as image:
    _check_size(*image.size, name=name, max_pixels=max_pixels)
    icc = image.info.get('icc_profile') or b''
    image.load()  # an animated picture or a TIFF of several pages: the first
    # Asked after loading: Pillow has turned a TIFF by then and taken its tag off.
    turn = _orientation_of(image) if orientation is None else orientation
    return _upright(to_rgb(image, icc, name=name), turn)


def _check_size(width: int, height: int, *, name: str, max_pixels: int) -> None:
  if width * height > max_pixels:
    raise ImageError(
      name, 'too many pixels', f'{width} x {height}; expected at most {max_pixels:,} (--max_pixels)'
    )
  if width * height == 0:
    raise ImageError(name, 'no pixels', f'{width} x {height}')


def _orientation(exif: bytes) -> int:
  """The EXIF orientation 1 to 8 of an APP1 block; 1 where there is none or it cannot be read."""
  if not exif:
    return 1
  entry = Image.Exif()
  try:
    entry.load(exif)
    return _known(entry.get(_ORIENTATION, 1))
  except Exception:  # broken metadata around a sound picture: the pixels stand as they are
    return 1


def _orientation_of(image: Image.Image) -> int:
  try:
    return _known(image.getexif().get(_ORIENTATION, 1))
  except Exception:  # as above
    return 1


def _known(orientation: Any) -> int:
  return int(orientation) if orientation in range(1, 9) else 1  # some programs write degrees


def _upright(image: np.ndarray, orientation: int) -> np.ndarray:
  """Applies an EXIF orientation (CIPA DC-008, tag 0x0112): the picture as it was meant."""
  if orientation in (5, 6, 7, 8):
    image = image.transpose(1, 0, 2)
  if orientation in _FROM_THE_RIGHT:
    image = image[:, ::-1]
  if orientation in _FROM_BELOW:
    image = image[::-1]
  return np.ascontiguousarray(image)


def _reason(error: Exception) -> str:
  text = str(error).lower()
  if isinstance(error, Image.DecompressionBombError):
    return 'too many pixels'
  if isinstance(error, Image.UnidentifiedImageError):
    return 'unknown format'
  if isinstance(error, EOFError) or any(
    word in text for word in ('truncated', 'premature', 'ends early', 'not enough')
  ):
    return 'truncated'
  return 'damaged'


def _first_line(error: Exception) -> str:
  text = str(error).strip().split('\n')[0]
  # Pillow names the buffer by its address, which differs from run to run.
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
  """What a network sees of a picture: `size` pixels a side, made square as `fit` says (see `fit`),
  resized by `resize` (see `tfds_rijks.resizing`).

  Training, evaluation and prediction share one, so that they see the same pixels. Raises
  `UserError` where `resize` needs a library that is not there.
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

  A plain JPEG (RGB or grey, upright, no colour profile) that is small enough is kept as it came;
  all else is decoded, reduced if it is larger, and written as JPEG of quality 95, 4:4:4.
  """
  image = decode(data, name=name, short_side=image_size, max_pixels=max_pixels)
  return store(reduce(image, image_size), data=data, image_size=image_size)


def reduce(image: np.ndarray, image_size: int) -> np.ndarray:
  """uint8 `[H, W, 3]` -> the same with a short side of at most `image_size`, antialiased."""
  height, width = image.shape[:2]
  if min(height, width) <= image_size:
    return image
  scale = image_size / min(height, width)
  return resized(image, (max(1, round(width * scale)), max(1, round(height * scale))))


def store(image: np.ndarray, *, data: bytes, image_size: int) -> bytes:
  """As `shrink`, for a picture that has been decoded and reduced (`data` is what it came from)."""
  size = jpeg_size(data)  # of the file: a scaled decode may have met `image_size` exactly
  small = size is not None and min(size) <= image_size
  return data if small and _is_plain_jpeg(data) else encode_jpeg(image)


def jpeg_size(data: bytes) -> tuple[int, int] | None:
  """(height, width) of an upright JPEG in full, which a scaled decode does not tell; else None."""
  if data[:3] != b'\xff\xd8\xff':
    return None
  header = read_header(data)
  size = (header.height, header.width)
  return size[::-1] if _orientation(header.exif) >= 5 else size


def look(image: np.ndarray, data: bytes, *, side: int) -> bytes:
  """A tiny version of decoded `data`, `side` x `side`, that finds candidates for equal pictures: it
  is nearly the same at whatever scale `image` was decoded.
  """
  height, width = image.shape[:2]
  box = (0.0, 0.0, float(width), float(height))
  if (size := jpeg_size(data)) not in (None, (height, width)):
    # A scaled decode rounds its size up: its last row and column, those of the file as it lies,
    # hold less of the picture than the others.
    eighths = next(
      n
      for n in range(1, 9)
      if all(-(-a * n // 8) == b for a, b in zip(size, (height, width), strict=True))
    )
    below, beside = height - size[0] * eighths / 8, width - size[1] * eighths / 8
    turn = _orientation(read_header(data).exif)
    left, top = beside * (turn in _FROM_THE_RIGHT), below * (turn in _FROM_BELOW)
    box = (left, top, width - beside + left, height - below + top)
  return Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR, box).tobytes()


def _is_plain_jpeg(data: bytes) -> bool:
  if data[:3] != b'\xff\xd8\xff':
    return False
  header = read_header(data)
  return (
    header.components != 4
    and header.bits == 8
    and not header.icc
    and _orientation(header.exif) == 1
  )


def pixel_digest(image: np.ndarray) -> str:
  """SHA-256 of shape and pixels: equal digests are equal pictures, however they were encoded."""
  digest = hashlib.sha256(repr(image.shape).encode())
  digest.update(np.ascontiguousarray(image).data)
  return digest.hexdigest()
