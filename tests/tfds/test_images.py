"""The one decoder: the same upright sRGB pixels from any format, or a refusal by name."""

from __future__ import annotations

import io
import pickle
import resource
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import simplejpeg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from tfds_rijks import colour, images
from tfds_rijks.images import ImageError

# Four flat quarters: red, green / blue, yellow; 64 x 48, so that height and width differ.
COLOURS = [[(220, 30, 30), (30, 200, 40)], [(30, 40, 210), (230, 220, 40)]]


def picture(height: int = 48, width: int = 64) -> np.ndarray:
  out = np.empty((height, width, 3), np.uint8)
  for i in range(2):
    for j in range(2):
      out[i * height // 2 : (i + 1) * height // 2, j * width // 2 : (j + 1) * width // 2] = COLOURS[
        i
      ][j]
  return out


def encode(image: Image.Image | np.ndarray, kind: str, **options) -> bytes:
  stream = io.BytesIO()
  (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(stream, kind, **options)
  return stream.getvalue()


def quarters(image: np.ndarray) -> list[tuple[int, int, int]]:
  """The colours in the middle of the quarters, row by row."""
  h, w = image.shape[:2]
  return [
    tuple(int(v) for v in image[y, x]) for y in (h // 4, 3 * h // 4) for x in (w // 4, 3 * w // 4)
  ]


def near(found, wanted, within: int = 6) -> bool:
  return bool(np.abs(np.asarray(found, int) - np.asarray(wanted, int)).max() <= within)


FLAT = [colour for row in COLOURS for colour in row]


@pytest.mark.parametrize(
  ('kind', 'options'),
  [
    ('JPEG', {'quality': 95, 'subsampling': 0}),
    ('JPEG', {'quality': 95, 'subsampling': 2}),
    ('JPEG', {'quality': 95, 'progressive': True}),
    ('PNG', {}),
    ('GIF', {}),
    ('TIFF', {'compression': 'tiff_lzw'}),
    ('TIFF', {'compression': 'raw'}),
    ('TIFF', {'compression': 'tiff_adobe_deflate'}),
    ('WEBP', {'lossless': True}),
    ('BMP', {}),
    ('PPM', {}),
    ('JPEG2000', {'irreversible': False}),
    ('AVIF', {'quality': 95}),
  ],
  ids=lambda value: value if isinstance(value, str) else '-'.join(map(str, value.values())),
)
def test_every_format_gives_the_same_picture(kind, options):
  image = images.decode(encode(picture(), kind, **options), name='x')
  assert image.shape == (48, 64, 3)
  assert image.dtype == np.uint8
  assert near(quarters(image), FLAT)


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'TIFF', 'WEBP'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_exif_orientation_is_applied(kind, orientation):
  stored = {  # how a camera stores the upright picture under each orientation (CIPA DC-008)
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a.transpose(1, 0, 2)[::-1],
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: a.transpose(1, 0, 2)[:, ::-1],
  }
  exif = Image.Exif()
  exif[0x0112] = orientation
  options = {'quality': 95, 'subsampling': 0} if kind == 'JPEG' else {}
  if kind == 'WEBP':
    options = {'lossless': True}
  data = encode(np.ascontiguousarray(stored[orientation](picture())), kind, exif=exif, **options)
  image = images.decode(data, name='x')
  assert image.shape == (48, 64, 3)
  assert near(quarters(image), FLAT)
  if kind == 'JPEG':
    assert images.jpeg_size(data) == (48, 64)


def test_broken_exif_costs_the_orientation_only():
  data = encode(picture(), 'JPEG', exif=b'Exif\0\0MM\0*\xff\xff\xff\xff')
  assert images.decode(data, name='x').shape == (48, 64, 3)


@pytest.mark.parametrize('kind', ['PNG', 'TIFF'])
def test_sixteen_bit_grey_is_scaled(kind):
  ramp = np.linspace(0, 65535, 64).astype(np.uint16)[None].repeat(48, 0)
  image = images.decode(encode(ramp, kind), name='x')
  assert near(image[0, :, 0], np.round(ramp[0] / 257), within=1)
  assert (image[..., 0] == image[..., 2]).all()


def png16(pixels: np.ndarray, colour_type: int) -> bytes:
  """A 16-bit PNG of 2 (RGB), 4 (LA) or 6 (RGBA); Pillow writes none."""

  def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))

  height, width = pixels.shape[:2]
  rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in pixels)
  return (
    b'\x89PNG\r\n\x1a\n'
    + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 16, colour_type, 0, 0, 0))
    + chunk(b'IDAT', zlib.compress(rows))
    + chunk(b'IEND', b'')
  )


def test_sixteen_bit_colour_is_scaled():
  pixels = picture().astype(np.uint16) * 257
  assert near(quarters(images.decode(png16(pixels, 2), name='x')), FLAT, within=1)


def test_sixteen_bit_with_alpha_lies_on_white():
  pixels = np.zeros((8, 8, 4), np.uint16)
  pixels[:, :4, 3] = 65535  # left black and opaque, right transparent
  image = images.decode(png16(pixels, 6), name='x')
  assert near(image[0, 0], (0, 0, 0), within=0)
  assert near(image[0, 7], (255, 255, 255), within=0)


def tiff16(pixels: np.ndarray, order: str) -> bytes:
  """An uncompressed TIFF of three 16-bit channels, '<' or '>'; Pillow writes none."""
  height, width = pixels.shape[:2]
  entries = [
    (256, 4, 1, width),
    (257, 4, 1, height),
    (258, 3, 3, 8),
    (259, 3, 1, 1),
    (262, 3, 1, 2),
    (273, 4, 1, 14),
    (277, 3, 1, 3),
    (278, 4, 1, height),
    (279, 4, 1, pixels.size * 2),
  ]
  body = struct.pack(f'{order}HHH', 16, 16, 16) + pixels.astype(f'{order}u2').tobytes()
  out = (b'II*\0' if order == '<' else b'MM\0*') + struct.pack(f'{order}I', 8 + len(body)) + body
  out += struct.pack(f'{order}H', len(entries))
  for tag, kind, count, value in entries:
    short = kind == 3 and count == 1
    out += struct.pack(f'{order}HHI', tag, kind, count)
    out += struct.pack(f'{order}HH' if short else f'{order}I', *((value, 0) if short else (value,)))
  return out + struct.pack(f'{order}I', 0)


@pytest.mark.parametrize('order', ['<', '>'])
def test_sixteen_bit_rgb_tiff(order):
  data = tiff16(picture().astype(np.uint16) * 257, order)
  assert near(quarters(images.decode(data, name='x')), FLAT, within=1)


@pytest.mark.parametrize('mode', ['RGBA', 'LA', 'P'])
def test_transparency_lies_on_white(mode):
  image = Image.new('RGBA', (8, 6), (0, 0, 0, 0))
  image.paste((0, 0, 0, 255), (0, 0, 4, 6))
  image.putpixel((7, 5), (0, 0, 0, 128))
  if mode == 'P':
    palette = Image.new('P', (8, 6), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.paste(0, (0, 0, 4, 6))
    data = encode(palette, 'PNG', transparency=1)
  else:
    data = encode(image.convert(mode), 'PNG')
  out = images.decode(data, name='x')
  assert near(out[0, 0], (0, 0, 0), within=0)
  assert near(out[0, 5], (255, 255, 255), within=0)
  if mode != 'P':
    assert near(out[5, 7], (127, 127, 127), within=1)


def test_large_transparent_pictures_are_laid_on_white_in_strips():
  image = Image.new('RGBA', (3, colour._STRIP * 2 + 5), (10, 20, 30, 255))
  image.putpixel((1, colour._STRIP * 2 + 4), (0, 0, 0, 0))
  out = images.decode(encode(image, 'PNG'), name='x')
  assert near(out[colour._STRIP], [(10, 20, 30)] * 3, within=0)
  assert near(out[-1, 1], (255, 255, 255), within=0)


@pytest.mark.parametrize('mode', ['1', 'L', 'P', 'YCbCr', 'LAB'])
def test_other_modes_become_rgb(mode):
  grey = Image.fromarray(picture()[..., 0])
  source = Image.fromarray(picture())
  if mode == 'LAB':
    lab = ImageCms.createProfile('LAB')
    source = ImageCms.profileToProfile(
      source, ImageCms.createProfile('sRGB'), lab, outputMode='LAB'
    )
  else:
    source = (grey if mode in ('1', 'L') else source).convert(mode, palette=Image.Palette.ADAPTIVE)
  image = images.decode(encode(source, 'TIFF'), name='x')
  assert image.shape == (48, 64, 3)
  if mode == 'L':
    assert near(image[..., 1], picture()[..., 0], within=0)
  elif mode != '1':
    assert near(quarters(image), FLAT, within=8)


def test_cmyk_jpeg_is_not_inverted():
  image = Image.fromarray(picture()).convert('CMYK')
  assert near(quarters(images.decode(encode(image, 'JPEG', quality=95), name='x')), FLAT, within=8)


def test_grey_jpeg():
  image = images.decode(encode(picture()[..., 0], 'JPEG', quality=95), name='x')
  assert near(image[10, 10], (220, 220, 220))


def swapped_profile() -> bytes:
  """An ICC profile that exchanges red and green: what it does cannot be overlooked."""
  profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes())
  tags = {
    bytes(profile[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i
    for i in range(struct.unpack_from('>I', profile, 128)[0])
  }
  red, green = tags[b'rXYZ'], tags[b'gXYZ']
  profile[red : red + 4], profile[green : green + 4] = b'gXYZ', b'rXYZ'
  return bytes(profile).replace('sRGB'.encode('utf-16-be'), 'swap'.encode('utf-16-be'))


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'TIFF'])
def test_embedded_profiles_are_applied(kind):
  options = {'quality': 95, 'subsampling': 0} if kind == 'JPEG' else {}
  data = encode(picture(), kind, icc_profile=swapped_profile(), **options)
  wanted = [(g, r, b) for r, g, b in FLAT]
  assert near(quarters(images.decode(data, name='x')), wanted, within=10)


def test_srgb_and_damaged_profiles_change_nothing():
  srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
  for icc in (srgb, b'no profile at all', srgb[:200]):
    data = encode(picture(), 'PNG', icc_profile=icc)
    assert near(quarters(images.decode(data, name='x')), FLAT, within=0)


def test_profile_survives_transparency():
  image = Image.fromarray(picture()).convert('RGBA')
  data = encode(image, 'PNG', icc_profile=swapped_profile())
  assert near(images.decode(data, name='x')[5, 5], (30, 220, 30), within=10)


def test_first_frame_and_first_page():
  first, second = Image.fromarray(picture()), Image.new('RGB', (64, 48), (9, 9, 9))
  for kind in ('GIF', 'TIFF', 'PNG', 'WEBP'):
    options = {'lossless': True} if kind == 'WEBP' else {}
    data = encode(first, kind, save_all=True, append_images=[second], **options)
    assert near(quarters(images.decode(data, name=kind)), FLAT)


def broken(data: bytes, at: float) -> bytes:
  return data[: int(len(data) * at)]


def noise(kind: str, **options) -> bytes:
  return encode(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8), kind, **options)


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'GIF', 'TIFF', 'WEBP', 'BMP', 'PPM', 'JPEG2000'])
@pytest.mark.parametrize('at', [0.3, 0.7, 0.95])
def test_truncated_pictures_are_refused(kind, at):
  with pytest.raises(ImageError, match=r'^here/x') as error:
    images.decode(broken(noise(kind), at), name='here/x')
  assert error.value.reason in ('truncated', 'damaged', 'unknown format')


def jpeg_claiming(width: int, height: int) -> bytes:
  data = bytearray(encode(picture(), 'JPEG'))
  at = data.index(b'\xff\xc0')
  struct.pack_into('>HH', data, at + 5, height, width)
  return bytes(data)


def png_claiming(width: int, height: int) -> bytes:
  header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
  return (
    b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR'
    + header
    + struct.pack('>I', zlib.crc32(b'IHDR' + header))
    + b'\0\0\0\0IEND\xaeB`\x82'
  )


TEXT_BOMB = PngImagePlugin.PngInfo()
TEXT_BOMB.add_text('Comment', 'x' * 100_000_000, zip=True)

REFUSED = [
  ('empty', b'', 'empty file'),
  ('html', b'<!DOCTYPE html><html><body>404</body></html>', 'an HTML page, not a picture'),
  ('html after blanks', b'\n\n  <html lang="nl"><head>', 'an HTML page, not a picture'),
  ('html with a mark', b'\xef\xbb\xbf<!doctype html>', 'an HTML page, not a picture'),
  ('text', b'this is no picture', 'unknown format'),
  ('zeros', bytes(1000), 'unknown format'),
  ('only a JPEG mark', b'\xff\xd8\xff', 'damaged'),
  ('JPEG mark and zeros', b'\xff\xd8\xff' + bytes(500), 'damaged'),
  ('JPEG of 65500 squared', jpeg_claiming(65500, 65500), 'too many pixels'),
  ('JPEG without height', jpeg_claiming(64, 0), 'no pixels'),
  ('PNG of 400 Mpx', png_claiming(20_000, 20_000), 'too many pixels'),
  ('PNG of 120 Mpx', png_claiming(12_000, 10_000), 'too many pixels'),
  ('PNG without width', png_claiming(0, 8), None),
  ('PNG without pixels', png_claiming(8, 8), None),
  ('PNG with a text bomb', encode(picture(), 'PNG', pnginfo=TEXT_BOMB), None),
  ('float TIFF', encode(Image.new('F', (8, 8), 0.5), 'TIFF'), 'pixel type not supported'),
  ('32-bit TIFF', encode(Image.new('I', (8, 8), 100_000), 'TIFF'), 'pixel type not supported'),
  (
    'PostScript',
    b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n',
    'unknown format',
  ),
  ('PDF', b'%PDF-1.7\n', 'unknown format'),
  ('SVG', b'<svg xmlns="http://www.w3.org/2000/svg"/>', 'unknown format'),
  ('zip', b'PK\3\4' + bytes(100), 'unknown format'),
]


@pytest.mark.parametrize(
  ('data', 'reason'), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_what_is_no_usable_picture_is_refused_before_it_costs_memory(data, reason):
  tracemalloc.start()
  with pytest.raises(ImageError) as error:
    images.decode(data, name='SK-A-1')
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert error.value.name == 'SK-A-1'
  assert str(error.value).startswith('SK-A-1: ')
  assert '\n' not in str(error.value)
  assert reason is None or error.value.reason == reason
  assert peak < 80e6


def test_a_progressive_bomb_is_refused_at_once():
  data = noise('JPEG', progressive=True)
  last = data.rindex(b'\xff\xda')
  with pytest.raises(ImageError, match='too many scans') as error:
    images.decode(data[:-2] + data[last:-2] * 1000 + data[-2:], name='x')
  assert error.value.reason == 'too many scans'


def test_the_limit_can_be_moved(monkeypatch):
  data = encode(picture(), 'PNG')
  with pytest.raises(ImageError, match=r'64 x 48; expected at most 3,000'):
    images.decode(data, name='x', max_pixels=3000)
  monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 1000)  # Pillow refuses from twice its own limit
  assert images.decode(data, name='x', max_pixels=4000).shape == (48, 64, 3)


def test_a_flipped_file_name_does_not_matter():
  assert images.decode(encode(picture(), 'PNG'), name='really.jpg').shape == (48, 64, 3)


def test_errors_cross_process_borders():
  error = pickle.loads(pickle.dumps(ImageError('a', 'truncated', 'why')))
  assert (error.name, error.reason, str(error)) == (
    'a',
    'truncated',
    'a: truncated (why); replace the file or leave it out',
  )


@pytest.mark.parametrize(
  ('short_side', 'wanted'), [(None, 480), (480, 480), (500, 480), (60, 60), (100, 120), (15, 60)]
)
def test_scaled_decoding_never_goes_below_what_is_needed(short_side, wanted):
  data = encode(picture(480, 640), 'JPEG', quality=95)
  image = images.decode(data, name='x', short_side=short_side)
  assert min(image.shape[:2]) >= min(480, short_side or 480)
  assert min(image.shape[:2]) <= max(wanted, short_side or 0) or short_side == 15
  assert near(quarters(image), FLAT)


def test_fit_crop_squash_pad():
  wide = np.zeros((40, 80, 3), np.uint8)
  wide[:, 20:60] = (200, 100, 50)  # the centred square
  assert (images.fit(wide, 20, how='crop') == (200, 100, 50)).all()
  squashed = images.fit(wide, 20, how='squash')
  assert near(squashed[10, 10], (200, 100, 50))
  assert near(squashed[10, 1], (0, 0, 0))
  padded = images.fit(wide, 20, how='pad')
  assert padded.shape == (20, 20, 3)
  assert near(padded[1, 10], (255, 255, 255), within=0)
  assert near(padded[10, 10], (200, 100, 50))
  assert images.fit(wide[:1, :7], 20, how='crop').shape == (20, 20, 3)
  with pytest.raises(ValueError, match='stretch'):
    images.fit(wide, 20, how='stretch')


def test_fit_averages_over_all_pixels():
  stripes = np.zeros((64, 64, 3), np.uint8)
  stripes[:, ::2] = 254
  assert near(images.fit(stripes, 8), np.full((8, 8, 3), 127), within=6)


def test_shrink_keeps_small_plain_jpegs_and_rewrites_the_rest():
  small = encode(picture(), 'JPEG', quality=90)
  assert images.shrink(small, name='x', image_size=48) is small
  for size in (48, 60, 240):  # 60 and 240 are met by scaled decoding alone
    large = images.shrink(encode(picture(480, 640), 'JPEG'), name='x', image_size=size)
    assert images.decode(large, name='x').shape == (size, size * 4 // 3, 3)
  assert simplejpeg.decode_jpeg_header(large)[3] == '444'
  exif = Image.Exif()
  exif[0x0112] = 6
  turned = encode(
    np.ascontiguousarray(picture().transpose(1, 0, 2)[::-1]),
    'JPEG',
    exif=exif,
    quality=95,
    subsampling=0,
  )
  stored = images.shrink(turned, name='x', image_size=48)
  assert not Image.open(io.BytesIO(stored)).getexif()
  assert near(quarters(np.asarray(Image.open(io.BytesIO(stored)))), FLAT)
  png = images.shrink(encode(picture(), 'PNG'), name='x', image_size=48)
  assert png[:2] == b'\xff\xd8'


def test_pixel_digest_sees_pixels_and_shape_only():
  image = picture()
  bmp = images.decode(encode(image, 'BMP'), name='x')
  png = images.decode(encode(image, 'PNG', compress_level=9), name='x')
  assert images.pixel_digest(bmp) == images.pixel_digest(png) == images.pixel_digest(image)
  flat = np.zeros((4, 6, 3), np.uint8)
  assert images.pixel_digest(flat) != images.pixel_digest(flat.reshape(6, 4, 3))
  image[0, 0, 0] ^= 1
  assert images.pixel_digest(image) != images.pixel_digest(png)


SEEDS = [noise(kind) for kind in ('JPEG', 'PNG', 'GIF', 'TIFF', 'WEBP', 'BMP', 'PPM')]
SEEDS += [
  noise('JPEG', progressive=True),
  noise('TIFF', compression='tiff_lzw'),
  noise('JPEG', icc_profile=swapped_profile()),
  png16(np.ones((9, 9, 4), np.uint16), 6),
]


@pytest.mark.filterwarnings('ignore::UserWarning:PIL')
@settings(
  max_examples=400, deadline=2000, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(st.data())
def test_mutated_files_give_a_picture_or_an_image_error(data):
  seed = bytearray(data.draw(st.sampled_from(SEEDS)))
  for _ in range(data.draw(st.integers(1, 8))):
    at = data.draw(st.integers(0, len(seed) - 1))
    how = data.draw(st.sampled_from(['flip', 'byte', 'cut', 'insert', 'header']))
    if how == 'flip':
      seed[at] ^= 1 << data.draw(st.integers(0, 7))
    elif how == 'byte':
      seed[at] = data.draw(st.sampled_from([0, 1, 127, 128, 255]))
    elif how == 'header':
      seed[min(at, len(seed) - 1) % min(64, len(seed))] = data.draw(st.integers(0, 255))
    elif how == 'cut':
      del seed[at : at + data.draw(st.integers(1, 64))]
    else:
      seed[at:at] = data.draw(st.binary(min_size=1, max_size=16))
    if not seed:
      break
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  try:
    image = images.decode(bytes(seed), name='fuzz', max_pixels=1_000_000)
  except ImageError as error:
    assert error.name == 'fuzz'
  else:
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.shape[0] * image.shape[1] <= 1_000_000
  assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB
