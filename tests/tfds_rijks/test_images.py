"""The one decoder: the same upright sRGB pixels from any format, or a refusal by name."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import simplejpeg
from encoded import FLAT, encode, linear_grey, near, picture, png16, quarters, swapped_profile
from PIL import Image, ImageCms

from tfds_rijks import colour, images


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


@pytest.mark.parametrize('orientation', [0, 9, 90, 65535])
@pytest.mark.parametrize('mode', ['RGB', 'CMYK'])
def test_an_orientation_that_does_not_exist_turns_nothing(mode, orientation):
  exif = Image.Exif()
  exif[0x0112] = orientation
  data = encode(Image.fromarray(picture()).convert(mode), 'JPEG', exif=exif)
  image = images.decode(data, name='x')
  assert image.shape == (48, 64, 3) and images.jpeg_size(data) == (48, 64)
  assert len(images.look(image, data, side=8)) == 8 * 8 * 3


@pytest.mark.parametrize('mode', ['RGB', 'CMYK'])
def test_exif_alone_says_how_a_jpeg_is_turned(mode):
  xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
  data = encode(Image.fromarray(picture()).convert(mode), 'JPEG', xmp=xmp)
  assert images.decode(data, name='x').shape == (48, 64, 3)


def test_a_profile_of_grey_is_applied_in_every_format():
  grey = Image.new('L', (16, 16), 128)
  values = {
    kind: images.decode(encode(grey, kind, icc_profile=linear_grey()), name='x')[8, 8].tolist()
    for kind in ('PNG', 'TIFF', 'JPEG')
  }
  assert values['PNG'] == values['TIFF'] == values['JPEG'] == [188] * 3


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('short_side', [64, 100, 300])
def test_a_look_does_not_depend_on_the_scale(orientation, short_side):
  soft = Image.fromarray(np.random.default_rng(1).integers(0, 256, (6, 8, 3), np.uint8))
  exif = Image.Exif()
  exif[0x0112] = orientation
  data = encode(soft.resize((1063, 769), Image.Resampling.BICUBIC), 'JPEG', quality=90, exif=exif)
  looks = [
    np.frombuffer(
      images.look(images.decode(data, name='x', short_side=size), data, side=8), np.uint8
    )
    for size in (None, short_side)
  ]
  assert near(*looks, within=2)
  assert np.ptp(looks[0]) > 100


@pytest.mark.parametrize('kind', ['PNG', 'TIFF'])
def test_sixteen_bit_grey_is_scaled(kind):
  ramp = np.linspace(0, 65535, 64).astype(np.uint16)[None].repeat(48, 0)
  image = images.decode(encode(ramp, kind), name='x')
  assert near(image[0, :, 0], np.round(ramp[0] / 257), within=1)
  assert (image[..., 0] == image[..., 2]).all()


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


def test_a_flipped_file_name_does_not_matter():
  assert images.decode(encode(picture(), 'PNG'), name='really.jpg').shape == (48, 64, 3)


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
