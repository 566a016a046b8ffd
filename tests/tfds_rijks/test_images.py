"""The decoder: the same upright sRGB pixels from any format, or a refusal by name."""

from __future__ import annotations

import io

import numpy as np
import pytest
import simplejpeg
from encoded import FLAT, encode, near, picture, quarters, swapped_profile
from PIL import Image, ImageCms

from tfds_rijks import colour, images


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


def test_broken_exif_only_loses_the_orientation():
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


def test_large_transparent_pictures_are_put_on_white_in_strips():
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


def test_pixel_digest_only_sees_pixels_and_shape():
  image = picture()
  bmp = images.decode(encode(image, 'BMP'), name='x')
  png = images.decode(encode(image, 'PNG', compress_level=9), name='x')
  assert images.pixel_digest(bmp) == images.pixel_digest(png) == images.pixel_digest(image)
  flat = np.zeros((4, 6, 3), np.uint8)
  assert images.pixel_digest(flat) != images.pixel_digest(flat.reshape(6, 4, 3))
  image[0, 0, 0] ^= 1
  assert images.pixel_digest(image) != images.pixel_digest(png)
