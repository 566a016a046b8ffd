"""Every kind of picture that can be written here, and its pixels."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from benchmarks.pictures import written
from benchmarks.pictures.written import encode, linear_grey, linear_rgb
from tfds_rijks import images

HEIGHT, WIDTH = 11, 18
DEPTHS = (1, 2, 4, 8, 10, 12, 16, 32)


class Kind(NamedTuple):
  """`wanted`: uint8 `[H, W, 3]`, or None if the picture is to be refused."""

  format: str
  what: str
  bits: int
  variant: str
  data: bytes
  wanted: np.ndarray | None
  within: int = 1


def samples(channels: int, bits: int) -> np.ndarray:
  """`[H, W, C]` with both extremes, their neighbours, a ramp, and random values."""
  most = (1 << bits) - 1
  out = np.random.default_rng(bits).integers(0, most, (HEIGHT, WIDTH, channels), endpoint=True)
  out[0] = np.linspace(0, most, WIDTH).round()[:, None]
  out[1, :4] = np.array([0, 1, most - 1, most])[:, None]
  return out


def meant(x: np.ndarray, *, alpha=None, linear: bool = False, premultiplied: bool = False):
  """Shares of full scale `[H, W, 1 or 3]` -> uint8 RGB on white; `alpha` `[H, W, 1]`."""
  if premultiplied:
    x = np.minimum(1, x / np.maximum(alpha, 1e-9))
  if linear:
    x = np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-9) ** (1 / 2.4) - 0.055)
  if alpha is not None:
    x = x * alpha + 1 - alpha
  return np.rint(np.broadcast_to(x, (*x.shape[:2], 3)) * 255).astype(np.uint8)


def tiffs() -> Iterator[Kind]:
  models = {'white is 0': (0, 1), 'grey': (1, 1), 'RGB': (2, 3), 'CMYK': (5, 4)}
  layouts = ('', 'planar deflate', 'tiled', 'tiled planar deflate', 'big')
  alphas = {'': (), ' premultiplied alpha': (1,), ' alpha': (2,), ' unspecified channel': (0,)}
  for bits, (name, (photometric, n)), layout, (over, extra), profile in itertools.product(
    DEPTHS, models.items(), layouts, alphas.items(), ('', ' linear profile')
  ):
    linear = bool(profile)
    if over == ' premultiplied alpha' and name == 'CMYK':
      continue  # of inks: readers disagree on what was multiplied
    if linear and (name == 'CMYK' or over == ' premultiplied alpha' or layout not in layouts[1:3]):
      continue
    if over and layout not in layouts[:2]:
      continue
    values = samples(n + len(extra), min(bits, 16))
    most = (1 << min(bits, 16)) - 1
    x, alpha = values[..., :n] / most, values[..., n:] / most
    premultiplied = extra == (1,)
    if premultiplied:
      values[..., :n] = np.rint(x * alpha * most)
      x = values[..., :n] / most
    if photometric == 0:
      x = 1 - x
    elif photometric == 5:
      x = (1 - x[..., :3]) * (1 - x[..., 3:])
    icc = (linear_grey() if n == 1 else linear_rgb()) if linear else b''
    tags = [(338, 3, extra), (34675, 7, icc)]
    # Refused: white is 0 with premultiplied alpha, and unsupported depths.
    unread = bits > 16 or (premultiplied and photometric == 0)
    wanted = meant(
      x,
      alpha=alpha if extra in ((1,), (2,)) else None,
      linear=linear,
      premultiplied=premultiplied,
    )
    for order in '<>':
      data = written.tiff(values, photometric, bits, order=order, layout=layout, tags=tags)
      variant = f'{layout}{over}{profile} {"little" if order == "<" else "big"}-endian'
      # Premultiplied values were rounded when they were written, and dark ones are divided.
      yield Kind('TIFF', name, bits, variant, data, None if unread else wanted, 1 + linear)
  for bits, short in itertools.product((1, 2, 4, 8), (False, True)):
    colours, index = samples(3, 8).reshape(-1, 3)[: 1 << bits], samples(1, bits)
    colours = np.resize(colours, (1 << bits, 3))
    tags = [(320, 3, (colours.T * (1 if short else 257)).ravel().tolist())]
    data = written.tiff(index, 3, bits, tags=tags)
    variant = 'map of bytes' if short else 'map of 16 bits'
    yield Kind('TIFF', 'palette', bits, variant, data, colours[index[..., 0]].astype(np.uint8))
  for bits, (kind, sample_format) in itertools.product((8, 16, 32), (('signed', 2), ('float', 3))):
    data = written.tiff(samples(1, 8), 1, bits, tags=[(339, 3, (sample_format,))])
    yield Kind('TIFF', f'{kind} numbers', bits, '', data, None)


def pngs() -> Iterator[Kind]:
  models = {'grey': (0, 1, False), 'grey with alpha': (4, 1, True), 'RGB': (2, 3, False)}
  models['RGB with alpha'] = (6, 3, True)
  for (name, (colours, n, over)), bits, how in itertools.product(
    models.items(),
    (1, 2, 4, 8, 16),
    ('', 'tRNS', 'iCCP', 'gAMA', 'cICP', 'sRGB and gAMA', 'tRNS iCCP'),
  ):
    if (bits < 8 and name != 'grey') or (over and 'tRNS' in how):
      continue
    values, most = samples(n + over, bits), (1 << bits) - 1
    x, alpha = values[..., :n] / most, values[..., n:] / most if over else None
    key = values[5, 7]
    if 'tRNS' in how:
      alpha = 1.0 - (values == key).all(axis=2, keepdims=True)
    icc = linear_grey() if n == 1 else linear_rgb()
    chunks = {
      'tRNS': [(b'tRNS', key.astype('>u2').tobytes())],
      'iCCP': [(b'iCCP', b'p\0\0' + written.zlib.compress(icc))],
      'gAMA': [(b'gAMA', (100_000).to_bytes(4, 'big'))],
      'cICP': [(b'cICP', bytes([1, 8, 0, 1]))],
      'sRGB and gAMA': [(b'sRGB', b'\0'), (b'gAMA', (100_000).to_bytes(4, 'big'))],
    }
    given = [c for part in ('iCCP', 'tRNS') if part in how for c in chunks[part]] or chunks.get(
      how, []
    )
    data = written.png(values, colours, bits, *given)
    linear = how in ('iCCP', 'gAMA', 'cICP', 'tRNS iCCP')
    yield Kind('PNG', name, bits, how, data, meant(x, alpha=alpha, linear=linear), 1 + linear)
  for bits, over, how in itertools.product((1, 2, 4, 8), (False, True), ('', 'iCCP')):
    table = np.resize(samples(3, 8).reshape(-1, 3), (1 << bits, 3))
    if how:
      table[:] = table[:, :1]  # grey, with a profile of grey
    index, opaque = samples(1, bits)[..., 0], np.resize([255, 0, 128], 1 << bits)
    given = [(b'iCCP', b'p\0\0' + written.zlib.compress(linear_grey()))] if how else []
    given += [(b'PLTE', table.astype(np.uint8).tobytes())]
    given += [(b'tRNS', opaque.astype(np.uint8).tobytes())] if over else []
    alpha = opaque[index][..., None] / 255 if over else None
    wanted = meant(table[index] / 255, alpha=alpha, linear=bool(how))
    data = written.png(index[..., None], 3, bits, *given)
    yield Kind('PNG', 'palette', bits, f'{how} {over}', data, wanted, 1 + bool(how))


def jp2s() -> Iterator[Kind]:
  import imagecodecs  # stores the values it was given

  for bits, (name, (number, n)), over, how in itertools.product(
    DEPTHS,
    {'grey': (17, 1), 'RGB': (16, 3), 'sYCC': (18, 3), 'CMYK': (12, 4)}.items(),
    (0, 1),
    ('', 'profile', 'signed'),
  ):
    if bits == 32 or (how and (number in (18, 12) or (how == 'signed' and (over or bits < 8)))):
      continue
    values, most = samples(n + over, bits), (1 << bits) - 1
    x, alpha = values[..., :n] / most, values[..., n:] / most if over else None
    if number == 18:
      y, cb, cr = (x * most)[..., 0], *((x * most)[..., i] - (1 << bits - 1) for i in (1, 2))
      x = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], -1) / most
      x = x.clip(0, 1)
    elif number == 12:
      x = (1 - x[..., :3]) * (1 - x[..., 3:])
    dtype = ('i' if how == 'signed' else 'u') + ('1' if bits <= 8 else '2')
    stored = (values - (1 << bits - 1) * (how == 'signed')).astype(dtype)
    stream = imagecodecs.jpeg2k_encode(
      np.squeeze(stored), level=0, reversible=True, codecformat='J2K', bitspersample=bits, mct=False
    )
    icc = b'\2\0\0' + (linear_grey() if n == 1 else linear_rgb())
    meanings = [written.struct.pack('>HHH', i, 0, i + 1) for i in range(n)]
    meanings += [written.struct.pack('>HHH', n, 1, 0)] * over
    cdef = (b'cdef', len(meanings).to_bytes(2, 'big') + b''.join(meanings))
    data = written.jp2(stream, icc if how == 'profile' else written.enumerated(number), cdef)
    linear = how == 'profile'
    wanted = None if how == 'signed' else meant(x, alpha=alpha, linear=linear)
    what = 'signed numbers' if how == 'signed' else name
    yield Kind('JPEG 2000', what, bits, f'{how}{" alpha" * over}', data, wanted, 1 + linear)


def jp2_boxes() -> Iterator[Kind]:
  """Palettes, channels in another order, premultiplied alpha, undeclared alpha."""
  import imagecodecs

  def stream(values: np.ndarray) -> bytes:
    return imagecodecs.jpeg2k_encode(
      np.squeeze(values).astype(np.uint8), level=0, reversible=True, codecformat='J2K', mct=False
    )

  def shorts(*numbers: int) -> bytes:
    return written.struct.pack(f'>{len(numbers)}H', *numbers)

  colours, index = samples(3, 8).reshape(-1, 3)[:180], samples(1, 8) % 180
  pclr = shorts(180) + bytes([3, 7, 7, 7]) + colours.astype(np.uint8).tobytes()
  cmap = b''.join(shorts(0) + bytes([1, i]) for i in range(3))
  data = written.jp2(stream(index), written.enumerated(16), (b'pclr', pclr), (b'cmap', cmap))
  wanted = colours[index[..., 0]].astype(np.uint8)
  yield Kind('JPEG 2000', 'palette', 8, '', data, wanted)
  rgb = samples(4, 8)
  x, alpha = rgb[..., :3] / 255, rgb[..., 3:] / 255
  cdef = shorts(4, 0, 1, 0, 1, 0, 3, 2, 0, 2, 3, 0, 1)  # alpha, blue, green, red
  data = written.jp2(stream(rgb[..., ::-1]), written.enumerated(16), (b'cdef', cdef))
  yield Kind('JPEG 2000', 'RGB', 8, 'in another order', data, meant(x, alpha=alpha))
  data = written.jp2(stream(rgb), written.enumerated(16))
  yield Kind('JPEG 2000', 'RGB', 8, 'undefined channel', data, meant(x, alpha=alpha))
  rgb[..., :3] = np.rint(x * alpha * 255)
  cdef = shorts(4, 0, 0, 1, 1, 0, 2, 2, 0, 3, 3, 2, 0)
  data = written.jp2(stream(rgb), written.enumerated(16), (b'cdef', cdef))
  wanted = meant(rgb[..., :3] / 255, alpha=alpha, premultiplied=True)
  yield Kind('JPEG 2000', 'RGB', 8, 'premultiplied', data, wanted)
  yield Kind(
    'JPEG 2000', 'RGB', 8, 'bare codestream', stream(samples(3, 8)), meant(samples(3, 8) / 255)
  )


def others() -> Iterator[Kind]:
  grey, rgb, rgba = (samples(n, 8).astype(np.uint8) for n in (1, 3, 4))
  white = meant(rgba[..., :3] / 255, alpha=rgba[..., 3:] / 255)
  plain = meant(rgb / 255)
  for kind in ('WebP', 'BMP', 'AVIF', 'GIF'):
    options = {'WebP': {'lossless': True, 'exact': True}}
    options['AVIF'] = {'quality': 100, 'subsampling': '4:4:4', 'speed': 8}
    if kind != 'GIF':
      yield Kind(kind, 'RGB', 8, '', encode(rgb, kind, **options.get(kind, {})), plain, 3)
    if kind in ('WebP', 'AVIF'):
      yield Kind(kind, 'RGB with alpha', 8, '', encode(rgba, kind, **options[kind]), white, 3)
      data = encode(rgb, kind, icc_profile=linear_rgb(), **options[kind])
      yield Kind(kind, 'RGB', 8, 'profile', data, meant(rgb / 255, linear=True), 26)
    if kind in ('BMP', 'GIF'):
      few = Image.fromarray(grey[..., 0])
      yield Kind(kind, 'palette', 8, '', encode(few, kind), meant(grey / 255))
  for bits, (mark, name, n) in itertools.product(
    (1, 2, 4, 8, 10, 12, 16), ((b'P5', 'grey', 1), (b'P6', 'RGB', 3))
  ):
    values, most = samples(n, bits), (1 << bits) - 1
    body = values.astype('u1' if bits <= 8 else '>u2').tobytes()
    data = b'%s %d %d %d\n' % (mark, WIDTH, HEIGHT, most) + body
    yield Kind('PPM', name, bits, '', data, meant(values / most))
  for space, mode in (('grey', 'L'), ('YCbCr', 'RGB'), ('CMYK', 'CMYK')):
    flat = Image.new(
      mode,
      (WIDTH, HEIGHT),
      (60, 120, 200, 30)[: len(Image.new(mode, (1, 1)).getbands())] if mode != 'L' else 60,
    )
    x = np.asarray(flat).reshape(HEIGHT, WIDTH, -1) / 255
    x = (1 - x[..., :3]) * (1 - x[..., 3:]) if mode == 'CMYK' else x
    plain = {'RGB': {'keep_rgb': True}}.get(mode, {})
    for how in ({}, {'progressive': True}, plain):
      data = encode(flat, 'JPEG', quality=100, subsampling=0, **how)
      yield Kind('JPEG', space, 8, str(how), data, meant(x), 3)
  import imagecodecs

  deep = imagecodecs.jpeg8_encode(samples(3, 12).astype(np.uint16), bitspersample=12)
  yield Kind('JPEG', 'YCbCr', 12, '', deep, None)


def all_kinds() -> list[Kind]:
  return [*tiffs(), *pngs(), *jp2s(), *jp2_boxes(), *others()]


def found(kind: Kind) -> str:
  """'' if the decoder gives what is wanted, else its result."""
  try:
    image = images.decode(kind.data, name='x')
  except images.ImageError as error:
    return '' if kind.wanted is None and error.reason == 'pixel type not supported' else str(error)
  if kind.wanted is None:
    return 'read; expected a refusal'
  if image.shape != kind.wanted.shape:
    return f'{image.shape}; expected {kind.wanted.shape}'
  off = np.abs(image.astype(int) - kind.wanted).max(axis=2)
  at = np.unravel_index(off.argmax(), off.shape)
  return '' if off.max() <= kind.within else f'{image[at]} at {at}; expected {kind.wanted[at]}'
