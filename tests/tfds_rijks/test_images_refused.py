"""Unusable pictures: refused by name, before they cost memory or time."""

from __future__ import annotations

import pickle
import resource
import struct
import tracemalloc
import zlib

import pytest
from encoded import encode, noise, picture, swapped_profile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from benchmarks.pictures import written
from benchmarks.pictures.kinds import jp2s, samples
from tfds_rijks import images
from tfds_rijks.images import ImageError


def broken(data: bytes, at: float) -> bytes:
  return data[: int(len(data) * at)]


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
  ('text', b'this is not a picture', 'unknown format'),
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
def test_unusable_pictures_are_refused_before_they_cost_memory(data, reason):
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


def test_errors_cross_process_borders():
  error = pickle.loads(pickle.dumps(ImageError('a', 'truncated', 'why')))
  assert (error.name, error.reason, str(error)) == (
    'a',
    'truncated',
    'a: truncated (why); replace the file or leave it out',
  )


SEEDS = [noise(kind) for kind in ('JPEG', 'PNG', 'GIF', 'TIFF', 'WEBP', 'BMP', 'PPM')]
SEEDS += [
  noise('JPEG', progressive=True),
  noise('TIFF', compression='tiff_lzw'),
  noise('JPEG', icc_profile=swapped_profile()),
  written.png(samples(4, 16), 6, 16),
  written.tiff(samples(3, 12), 2, 12, layout='tiled planar deflate'),
  written.tiff(samples(2, 16), 0, 16, order='>', tags=[(338, 3, (2,))]),
  *(kind.data for kind in list(jp2s())[::15]),
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
    images.look(image, bytes(seed), side=8)  # called for every picture that could be decoded
  assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB
