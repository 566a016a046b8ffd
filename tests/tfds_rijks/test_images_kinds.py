"""Every kind of picture is decoded as declared, compared with known samples and libvips."""

from __future__ import annotations

import base64
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from collections_on_disk import build, simple
from encoded import FLAT, encode, near, picture, quarters
from PIL import Image, PngImagePlugin

from benchmarks.pictures import __main__ as page
from benchmarks.pictures import kinds, written
from benchmarks.pictures.written import linear_grey
from tfds_rijks import build_report, colour, images, listing
from tfds_rijks.formats import heif, jpeg

SHARED = Path(__file__).parents[2] / '../shared/cases'
UNSUPPORTED = 'pixel type not supported'
KINDS = kinds.all_kinds()


def srgb(x: np.ndarray) -> np.ndarray:
  return np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-9) ** (1 / 2.4) - 0.055)


def levels(x: np.ndarray) -> np.ndarray:
  return np.rint(255 * x).astype(int)


RAMP = np.arange(64) / 63
LINEAR = levels(srgb(RAMP))


@pytest.mark.parametrize('name', sorted({kind.format for kind in KINDS}))
def test_every_kind_is_decoded_as_written(name):
  wrong = [
    f'{kind.what}, {kind.bits} bits, {kind.variant}: {said}'
    for kind in KINDS
    if kind.format == name and (said := kinds.found(kind))
  ]
  assert not wrong, f'{len(wrong)} of {len(KINDS)}:\n' + '\n'.join(wrong[:20])


def test_the_table_in_the_docs_is_current():
  written_table = page.DOCS.read_text(encoding='utf-8').split(page.BEGIN)[1].split(page.END)[0]
  assert written_table == page.table(KINDS), 'run python -m benchmarks.pictures'


@pytest.mark.skipif(not shutil.which('vips'), reason="needs Debian's libvips-tools")
def test_libvips_agrees(tmp_path):
  seen = 0
  layouts = (' big-endian', 'planar deflate big-endian', 'tiled little-endian', '')
  for i, kind in enumerate(KINDS):
    if kind.variant not in layouts or kind.format not in ('TIFF', 'PNG', 'JPEG 2000'):
      continue
    if kind.wanted is None or kind.bits not in (1, 4, 8, 16) or kind.what in ('CMYK', 'sYCC'):
      continue
    if 'alpha' in kind.what or (
      kind.bits < 8 and (kind.format == 'JPEG 2000' or 'planar' in kind.variant)
    ):
      continue  # where libvips 8.14 neither scales nor inverts planes
    (tmp_path / f'{i}').write_bytes(kind.data)
    command = ['vips', 'colourspace', f'{tmp_path}/{i}', f'{tmp_path}/{i}.png', 'srgb']
    if subprocess.run(command, capture_output=True).returncode:
      continue  # a kind it does not read
    theirs = np.asarray(Image.open(tmp_path / f'{i}.png').convert('RGB')).astype(int)
    off = np.abs(images.decode(kind.data, name='x') - theirs).max()
    assert off <= 1, (kind.format, kind.what, kind.bits, kind.variant)
    seen += 1
  assert seen > 30


# Case, file -> levels of the first row in the first channel, or the reason of the refusal.
WHITE, DOTS = [255] * 64, [255, 255, 117, 255] * 2
CASES = {
  ('01', 'jp2_la16.jp2'): WHITE,
  ('01', 'jp2_rgb10_object_on_white.jp2'): WHITE,
  ('01', 'jp2_rgb12_object_on_white.jp2'): WHITE,
  ('01', 'jp2_rgb16_object_on_white.jp2'): WHITE,
  ('01', 'jp2_rgba16.jp2'): WHITE,
  ('03', '16bit_whiteiszero.tif'): levels(1 - RAMP),
  ('03', 'grey16_lzw_miniswhite_le.tif'): levels(1 - RAMP),
  ('04', '12bit_grey.tif'): levels(RAMP),
  ('05', '16bit_signed_positive.tif'): UNSUPPORTED,
  ('05', '32bit_8bitvalues.tif'): UNSUPPORTED,
  ('05', '32bit_pillow_int32.tif'): UNSUPPORTED,
  ('06', 'palette_8bit_in_16.tif'): levels(RAMP),
  ('07', 'thumb_first.tif'): levels(RAMP),
  ('08', 'L_png_grayicc_linear.png'): LINEAR,
  ('08', 'LA_png_grayicc_linear.png'): LINEAR,
  ('08', 'LA_tiff_grayicc.tif'): LINEAR,
  ('08', 'L_tRNS_png_grayicc.png'): LINEAR,
  ('08', 'P_grey_png_grayicc.png'): LINEAR,
  ('09', 'rgb_linear_linear_RGB_test.png'): LINEAR,
  ('09', 'rgb_linear_sRGB-elle-V2-g10.png'): LINEAR,
  ('09', 'rgb_linear_jpg_Linear_sRGB.jpg'): LINEAR,
  ('10', 'adobergb_jp2.jp2'): [231] * 8,
  ('10', 'adobergb_png.png'): [231] * 8,
  ('11', 'png_grey16_trns0.png'): DOTS,
  ('11', 'png_grey8_trns0.png'): DOTS,
  ('11', 'png_grey2_trns1.png'): [0, 255, 170, 255] * 2,
  ('12', 'bmp_bitfields_alpha0.bmp'): levels(RAMP),
  ('12', 'bmp_bitfields_alpha255.bmp'): levels(RAMP),
  ('13', 'jpeg_xmp_orientation.jpg'): levels(RAMP),
  ('13', 'png_xmp_orientation.png'): levels(RAMP),
  ('13', 'webp_xmp_orientation.webp'): levels(RAMP),
  ('25', 'jpeg_extraneous_between_markers.jpg'): levels(RAMP),
  ('25', 'jpeg_samsung_sos.jpg'): levels(RAMP),
}


def case(number: str, name: str) -> bytes:
  path = next(SHARED.glob(f'{number}-*/{name}'), None)
  if path is None:
    pytest.skip(f'{SHARED}/{number}-*/{name} is not there')
  return path.read_bytes()


@pytest.mark.parametrize(('number', 'name'), CASES)
def test_cases_from_the_field(number, name):
  wanted = CASES[number, name]
  data = case(number, name)
  if isinstance(wanted, str):
    with pytest.raises(images.ImageError) as error:
      images.decode(data, name=name)
    assert error.value.reason == wanted
    return
  image, notes = images.read(data, name=name)
  assert (
    np.abs(image[0, : len(wanted), 0].astype(int) - wanted).max() <= 3 * name.endswith('jpg') + 1
  )
  assert (colour.EMPTY_ALPHA in notes) == (name == 'bmp_bitfields_alpha0.bmp')
  assert (jpeg.FLAWED in notes) == (number == '25')


def test_planes_of_a_tiff_are_those_of_the_same_picture_as_jp2():
  wanted = images.decode(case('01', 'jp2_rgb16_noisy_white.jp2'), name='x')
  for order in ('be', 'le'):
    data = case('02', f'tiff_rgb16_planar_{order}.tif')
    assert (images.decode(data, name='x') == wanted).all()


def directories(*files: bytes) -> bytes:
  """Little-endian TIFFs as the directories of one: offsets moved, chained one behind the other."""
  out, last = b'', 4
  for data in files:
    shift = len(out)
    moved = bytearray(data)
    (at,) = struct.unpack_from('<I', data, 4)
    (count,) = struct.unpack_from('<H', data, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
      tag, kind, n, value = struct.unpack_from('<HHII', data, entry)
      size = {3: 2, 4: 4, 7: 1}[kind] * n
      places = [entry + 8] if size > 4 or tag == 273 else []
      if tag == 273 and size > 4:
        places += list(range(value, value + size, 4))
      for place in places:
        struct.pack_into('<I', moved, place, struct.unpack_from('<I', data, place)[0] + shift)
    out = bytearray(out + moved)
    struct.pack_into('<I', out, last, at + shift)
    last = shift + at + 2 + 12 * count
  return bytes(out)


def test_the_picture_of_a_tiff_is_not_a_thumbnail_or_mask():
  full, small = kinds.samples(1, 8), kinds.samples(1, 8)[:3, :4]
  reduced = written.tiff(small, 1, 8, tags=[(254, 4, (1,))])
  mask = written.tiff(full, 4, 1, tags=[(254, 4, (4,))])
  for first in (reduced, mask):
    image = images.decode(directories(first, written.tiff(full, 1, 8)), name='x')
    assert (image == full).all()
    with pytest.raises(images.ImageError, match='only reduced copies and masks'):
      images.decode(first, name='x')
  raw = written.tiff(full, 32803, 8)
  with pytest.raises(images.ImageError, match='raw file of a camera'):
    images.decode(directories(reduced, raw), name='x')


@pytest.mark.parametrize(
  ('compression', 'mode'),
  [
    *((c, m) for c in ('raw', 'tiff_lzw', 'packbits', 'zstd', 'lzma') for m in ('1', 'L', 'RGB')),
    *((c, '1') for c in ('group3', 'group4', 'tiff_ccitt')),
    ('jpeg', 'RGB'),
    ('jpeg', 'CMYK'),
  ],
)
def test_compressions_of_tiff(compression, mode):
  image = Image.fromarray(picture()).convert(mode)
  options = {'quality': 100} if compression == 'jpeg' else {}
  data = encode(image, 'TIFF', compression=compression, **options)
  wanted = np.asarray(image.convert('RGB')).astype(int)
  assert np.abs(images.decode(data, name='x') - wanted).max() <= 4 * (compression == 'jpeg')
  with pytest.raises(images.ImageError):
    images.decode(data[: len(data) * 2 // 3], name='x')


def test_exif_turns_a_jp2_too():
  exif = Image.Exif()
  exif[0x0112] = 6
  block = written.box(b'uuid', b'JpgTiffExif->JP2' + exif.tobytes()[6:])
  (plain,) = (kind.data for kind in KINDS if kind.variant == 'bare codestream')
  data = written.jp2(plain, written.enumerated(16), after=block)
  assert images.decode(data, name='x').shape == (kinds.WIDTH, kinds.HEIGHT, 3)


def refusals():
  values = kinds.samples(3, 8)
  without = written.tiff(values, 2, 8).replace(
    struct.pack('<HHI', 262, 3, 1), b'\x05\x08' + b'\3\0\1\0\0\0'
  )
  yield 'PhotometricInterpretation', without
  yield 'special inks', written.tiff(kinds.samples(4, 8), 5, 8, tags=[(332, 3, (2,))])
  yield 'photometric interpretation 32845', written.tiff(values, 32845, 8)
  yield (
    'compression',
    written.tiff(values, 2, 8).replace(
      struct.pack('<HHIHH', 259, 3, 1, 1, 0), struct.pack('<HHIHH', 259, 3, 1, 32766, 0)
    ),
  )
  yield 'high dynamic range', written.png(values, 2, 8, (b'cICP', bytes([9, 16, 0, 1])))
  stream = struct.pack('>HHHHIIIIIIIIH', 0xFF4F, 0xFF51, 47, 0, 8, 8, 0, 0, 8, 8, 0, 0, 3)
  stream += bytes([7, 1, 1, 7, 2, 2, 7, 2, 2])
  yield 'channels of different size', written.jp2(stream, written.enumerated(16))
  rgb = next(kind.data for kind in KINDS if kind[:4] == ('JPEG 2000', 'RGB', 8, ''))
  yield 'colour space 14', rgb.replace(*(b'colr' + written.enumerated(n) for n in (16, 14)))


@pytest.mark.parametrize(('match', 'data'), list(refusals()))
def test_unknown_kinds_are_refused_by_name(match, data):
  with pytest.raises(images.ImageError, match=match) as error:
    images.decode(data, name='x')
  assert error.value.reason == UNSUPPORTED


def bmp(alpha: int, *, profile: bytes = b'') -> bytes:
  """A 32-bit BMP with masks, version 5, whose alpha is the same everywhere."""
  rgb = kinds.samples(3, 8)[::-1]
  rows = np.concatenate([rgb[..., ::-1], np.full_like(rgb[..., :1], alpha)], 2).astype(np.uint8)
  size = rows.nbytes
  masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
  header = struct.pack('<IiiHHIIiiII', 124, kinds.WIDTH, kinds.HEIGHT, 1, 32, 3, size, 0, 0, 0, 0)
  header += struct.pack('<4I', *masks) + (b'DEBM' if profile else b'BGRs')
  header = header.ljust(112, b'\0') + struct.pack('<III', 124 + size, len(profile), 0)
  start = 14 + len(header)
  return (
    b'BM'
    + struct.pack('<IHHI', start + size + len(profile), 0, 0, start)
    + header
    + rows.tobytes()
    + profile
  )


def test_transparency_everywhere_is_ignored():
  rgb = kinds.samples(3, 8).astype(np.uint8)
  empty = np.concatenate([rgb, np.zeros_like(rgb[..., :1])], 2)
  for data in (bmp(0), encode(empty, 'PNG'), written.tiff(empty, 2, 8, tags=[(338, 3, (2,))])):
    image, notes = images.read(data, name='x')
    assert (image == rgb).all() and notes == (colour.EMPTY_ALPHA,)
  image, notes = images.read(bmp(255), name='x')
  assert (image == rgb).all() and notes == ()
  image, notes = images.read(encode(empty * 0, 'PNG'), name='x')  # an empty sheet stays white
  assert (image == 255).all() and notes == (colour.NOTHING,)


def test_a_profile_in_a_bmp_is_applied_and_one_that_does_not_fit_is_noted():
  rgb = kinds.samples(3, 8)
  image = images.decode(bmp(255, profile=kinds.linear_rgb()), name='x')
  assert np.abs(image - levels(srgb(rgb / 255))).max() <= 2
  for profile, note in (
    (linear_grey(), colour.OTHER_PROFILE),
    (b'x' * 200, colour.DAMAGED_PROFILE),
  ):
    image, notes = images.read(encode(rgb.astype(np.uint8), 'PNG', icc_profile=profile), name='x')
    assert (image == rgb).all() and notes == (note,)


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP', 'TIFF'])
def test_xmp_turns_nothing(kind):
  xmp = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
  options = {'xmp': xmp.encode()}
  if kind == 'PNG':
    options = {'pnginfo': PngImagePlugin.PngInfo()}
    options['pnginfo'].add_itxt('XML:com.adobe.xmp', xmp)
  elif kind == 'TIFF':
    options = {'tiffinfo': {700: xmp.encode()}}
  assert images.decode(encode(picture(), kind, **options), name='x').shape == (48, 64, 3)


def flaws():
  def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, 'big') + body

  def scan_parameters(data: bytes) -> bytes:
    at = data.index(b'\xff\xda')
    end = at + 2 + int.from_bytes(data[at + 2 : at + 4], 'big')
    return data[: end - 3] + bytes(3) + data[end:]

  def behind(*what: bytes):
    return lambda data: data[:2] + b''.join(what) + data[2:]

  yield 'scan parameters', scan_parameters
  yield 'bytes before the first segment', behind(b'abc')
  yield 'bytes between segments', lambda data: data.replace(b'\xff\xdb', b'\0\1\xff\xdb', 1)
  yield 'FF00 in the header', behind(b'\xff\0')
  yield 'half a profile', behind(segment(0xE2, b'ICC_PROFILE\0\5\2xxxx'))
  yield 'unknown JFIF', lambda data: data.replace(b'JFIF\0\1', b'JFIF\0\7', 1)


@pytest.mark.parametrize('mode', ['RGB', 'L', 'CMYK'])
@pytest.mark.parametrize(
  ('name', 'flaw'), list(flaws()), ids=lambda value: value if isinstance(value, str) else ''
)
def test_flawed_metadata_around_intact_pixels_is_tolerated(mode, name, flaw):
  data = encode(Image.fromarray(picture()).convert(mode), 'JPEG')
  flawed = flaw(data)
  assert flawed != data or (mode, name) == ('CMYK', 'unknown JFIF')
  image, notes = images.read(flawed, name='x')
  assert (image == images.decode(data, name='x')).all()
  # libjpeg does not even warn of all of them for all kinds of colours.
  assert set(notes) <= {jpeg.FLAWED, colour.DAMAGED_PROFILE}
  assert jpeg.FLAWED in notes or mode == 'CMYK'
  small = images.shrink(flawed, name='x', image_size=500)
  assert small == flawed or not images.read(small, name='x').notes
  for at in (0.5, 0.8, 0.97):
    with pytest.raises(images.ImageError):
      images.decode(flawed[: int(len(flawed) * at)], name='x')


def test_damage_does_not_pass_for_flawed_metadata():
  rng = np.random.default_rng(0)
  pixels = rng.integers(0, 256, (64, 64, 3), np.uint8)
  for options in ({}, {'progressive': True}):
    data = encode(pixels, 'JPEG', **options)
    # Scans that are lost as a whole, as if they were bytes between segments.
    scans = [i for i in range(len(data) - 1) if data[i : i + 2] == b'\xff\xda']
    for at in scans:
      for broken in (
        data[:at] + b'\0' + data[at + 1 :],
        data[:at] + bytes(len(data) - at - 2) + data[-2:],
      ):
        with pytest.raises(images.ImageError):
          images.decode(broken, name='x')


# `picture()` as libheif and x265 wrote it; nothing here can.
HEIC = zlib.decompress(
  base64.b85decode(
    b'c-muNV30{GsVvAy%}izhg51nBLl8SRGck>UfpKkaYDppk1Sn>t<P<^K3<a6VB@AeQuOPD|7tCS;Vu8$*M2Hdx1_K~zk(ra'
    b'9%m`$-H~{4tAzBzO!dMKS5u$LK1FSDIFAZ+0D3FuN1X2N1lTnsz$bcjWR+3(nnF3<o$Sf!-0Mgqs3zGAJbQw^!Gb3{W+_`'
    b'ce82<eI@q>YZpIHHDnuG%*599y;AO*|}6F>wI$?altPy|Y9IWaP#$t+N4WS#cv$+De01OyBeKtf<bQ3<G=&4uw`@qtdDB_'
    b'f%{1*uRA9iSLp3=}#71(_9@AOU6$4v?><G7EBH0S^oprbZ?PCMM<<uuM^E8Z5+9GIP_x;RXt^-?@+wf3Lx~p5@2e$`bGBz'
    b'h4~w|2<=0|2unU?y*akHy&^N^72#sTDkgvMhm}u{rtx5fbg<)Y?m&6{Mz~I;BO_*^~x7H91`t<Gyd<mSpW0={!dFpcW?eI'
    b'{Qpno{lAkh`@hYY`O7orcZWNJX_dgg^Ia#reJ+T!yszq#I%+WIwY2x_yyy>Gbo;z4LeH%B5bLadt(SUdw_u}W>5s|Ro;_V'
    b'?IfehG1e>f+z+FbMKgwGhjgD<osS03P7TF|X=&$hP$+1^ATGAzDH{W!X`)}iLRk5DS&1XjS)x8%T&b)VeHB0#2;;X0r$ZX'
    b'!f$a{6ovuEdAc67b|;C=QE05+u0)B'
  )
)


def test_heic_is_read_with_its_extra_and_named_without(monkeypatch):
  with monkeypatch.context() as patch:
    patch.setattr(heif, 'INSTALLED', False)
    with pytest.raises(images.ImageError, match=r'HEIC, which needs pi-heif \(.*extra `heic`\)'):
      images.decode(HEIC, name='x')
  pytest.importorskip('pi_heif', reason='needs pi-heif (extra `heic`)')
  assert near(quarters(images.decode(HEIC, name='x')), FLAT)
  with pytest.raises(images.ImageError):
    images.decode(HEIC[:600], name='x')


def test_colours_given_by_numbers_are_followed_in_avif():
  data = encode(picture(), 'AVIF', quality=100, subsampling='4:4:4')
  at = data.index(b'nclx') + 4
  as_written = images.decode(data, name='x')
  linear = images.decode(data[: at + 2] + b'\0\x08' + data[at + 4 :], name='x')
  assert np.abs(linear - levels(srgb(as_written / 255))).max() <= 2
  wide = images.decode(data[:at] + b'\0\x0c' + data[at + 2 :], name='x')  # Display P3
  # By the matrix of SMPTE EG 432-1 to BT.709.
  p3 = [(240, 0, 0), (0, 204, 0), (27, 40, 219), (232, 220, 0)]
  assert near(quarters(wide), p3, within=4)
  with pytest.raises(images.ImageError, match='high dynamic range'):
    images.decode(data[: at + 2] + b'\0\x10' + data[at + 4 :], name='x')


def test_the_report_names_tolerated_flaws_and_skipped_files(tmp_path, monkeypatch):
  monkeypatch.setattr(heif, 'INSTALLED', False)
  monkeypatch.setattr(listing, 'SUFFIXES', images.SUFFIXES - images.HEIC_SUFFIXES)
  source = simple(tmp_path / 'source')
  first = next(source.glob('**/*.png'))
  rgba = Image.open(first).convert('RGBA')
  rgba.putalpha(0)
  rgba.save(first)
  for name, data in {
    'a.heic': HEIC,
    'b.pdf': b'%PDF-1.7',
    'Thumbs.db': b'\xd0\xcf',
    'c': HEIC,
  }.items():
    (source / name).write_bytes(data)
  (source / 'alone.png').write_bytes(encode(picture(), 'PNG'))
  report = build_report.read(build(source))
  assert report['picture_notes'] == {colour.EMPTY_ALPHA: [first.relative_to(source).as_posix()]}
  heic = 'HEIC, which needs pi-heif; pip install pi-heif (extra `heic`)'
  assert report['passed_over'] == {
    heic: ['a.heic', 'c'],
    'not a picture (.db)': ['Thumbs.db'],
    'a picture that belongs to no row': ['alone.png'],
    'not a supported picture: a PDF document': ['b.pdf'],
  }
  assert heic in build_report.text(report)
