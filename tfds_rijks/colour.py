"""From samples to uint8 sRGB on a white ground: colour profiles, transparency, depth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from tfds_rijks import profiles
from tfds_rijks.formats.raster import Model, Raster
from tfds_rijks.profiles import eight_bits

EMPTY_ALPHA = 'transparent everywhere, treated as opaque'
NOTHING = 'transparent everywhere and zero below, left white'
DAMAGED_PROFILE = 'damaged colour profile, not applied'
OTHER_PROFILE = 'colour profile of another kind of picture, not applied'
_STRIP = 1024  # rows at a time, to avoid copying a large picture as a whole

Convert = Callable[[np.ndarray], np.ndarray]


def to_rgb(raster: Raster) -> tuple[np.ndarray, tuple[str, ...]]:
  """uint8 `[H, W, 3]`, not yet upright, and the notes on it."""
  samples, alpha, notes = raster.samples, raster.alpha, raster.notes
  if raster.model == 'rgb' and alpha is None and not raster.icc and samples.dtype == np.uint8:
    return samples, notes  # most pictures
  if alpha is not None and not alpha.any():
    # Where there is nothing below either: the white ground.
    notes = (*notes, EMPTY_ALPHA if samples.any() else NOTHING)
    alpha = None if samples.any() else alpha
  convert, said = _conversion(raster)
  notes += said
  if convert is None and alpha is None and samples.dtype == np.uint8:
    return _three(samples), notes
  out = np.empty((*samples.shape[:2], 3), np.uint8)
  for top in range(0, len(out), _STRIP):
    rows = slice(top, top + _STRIP)
    strip, over = samples[rows], None if alpha is None else alpha[rows]
    premultiplied = raster.premultiplied
    if premultiplied and over is not None and convert is not None:
      strip, over = _divided(strip, over)
      premultiplied = False
    rgb = _three(strip) if convert is None else convert(strip)
    if over is not None:
      rgb = _on_white(rgb, over, premultiplied=premultiplied)
    out[rows] = eight_bits(rgb)
  return out, notes


def _three(samples: np.ndarray) -> np.ndarray:
  return samples if samples.shape[2] == 3 else samples.repeat(3, axis=2)


def _conversion(raster: Raster) -> tuple[Convert | None, tuple[str, ...]]:
  """The conversion to RGB (None: they are RGB or grey), and notes."""
  plain: Convert | None = _PLAIN.get(raster.model)
  icc = raster.icc
  if not icc or raster.model == 'lab':  # Lab does not need a profile
    return plain, ()
  space = profiles.space_of(icc)
  if not space:
    return plain, (DAMAGED_PROFILE,)
  if (space == 'CMYK') == (raster.model == 'cmyk') and profiles.is_srgb(icc):
    return plain, ()
  if (raster.model, space) in (('grey', 'GRAY'), ('rgb', 'RGB'), ('cmyk', 'CMYK')):
    return lambda samples: profiles.to_srgb(samples, icc), ()
  if raster.model == 'grey' and space == 'RGB':
    return lambda samples: profiles.to_srgb(_three(samples), icc), ()
  if raster.model == 'rgb' and space == 'GRAY' and _is_grey(raster.samples):
    return lambda samples: profiles.to_srgb(samples[..., :1], icc), ()
  return plain, (OTHER_PROFILE,)


def _is_grey(samples: np.ndarray) -> bool:
  return bool((samples[..., :1] == samples[..., 1:]).all())


def _from_cmyk(samples: np.ndarray) -> np.ndarray:
  """RGB of CMYK without a profile: each ink takes its share of the light that black leaves."""
  if samples.dtype == np.uint8:
    return np.asarray(Image.fromarray(np.ascontiguousarray(samples), 'CMYK').convert('RGB'))
  light = 65535 - samples.astype(np.uint32)
  return ((light[..., :3] * light[..., 3:] + 32767) // 65535).astype(np.uint16)


def _from_lab(samples: np.ndarray) -> np.ndarray:
  return profiles.lab_to_srgb(eight_bits(samples))


_PLAIN: dict[Model, Convert] = {'cmyk': _from_cmyk, 'lab': _from_lab}


def _divided(samples: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Premultiplied samples and their alpha -> the colours themselves and alpha, uint16."""
  wide = [
    a.astype(np.uint32) * (257 if a.dtype == np.uint8 else 1) for a in (samples, alpha[..., None])
  ]
  colour = np.minimum(wide[0] * 65535 // np.maximum(wide[1], 1), 65535)
  return colour.astype(np.uint16), wide[1][..., 0].astype(np.uint16)


def _on_white(rgb: np.ndarray, alpha: np.ndarray, *, premultiplied: bool) -> np.ndarray:
  """`[H, W, 3]` on white by `alpha` `[H, W]`, of the same dtype, which is kept."""
  if rgb.dtype != alpha.dtype:  # converted to 8 bits on the way
    rgb, alpha = eight_bits(rgb), eight_bits(alpha)
  if rgb.dtype == np.uint8 and not premultiplied:
    ground = Image.new('RGB', rgb.shape[1::-1], (255, 255, 255))
    colour, mask = (Image.fromarray(np.ascontiguousarray(a)) for a in (rgb, alpha))
    ground.paste(colour, (0, 0), mask)
    return np.asarray(ground)
  full = np.iinfo(rgb.dtype).max
  wide, share = rgb.astype(np.uint32), alpha[..., None].astype(np.uint32)
  light = wide if premultiplied else (wide * share + full // 2) // full
  return np.minimum(light + full - share, full).astype(rgb.dtype)
