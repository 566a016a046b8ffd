"""Colour profiles by their content: their colour space, and conversion to sRGB.

A profile is judged by its effect, never by its name: "sRGB-elle-V2-g10" is linear. One that moves
no colour by more than one level is sRGB, and is not applied.
"""

from __future__ import annotations

import functools
import io
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageCms

Space = Literal['GRAY', 'RGB', 'CMYK', '']
_SPACES = ('GRAY', 'RGB', 'CMYK')
_NO_OPTIMISATION = 0x0100  # cmsFLAGS_NOOPTIMIZE
_GREYS = np.arange(256, dtype=np.uint8)
_CLASSES = ('scnr', 'mntr', 'prtr', 'spac')  # of devices: not links, abstract or named colours


@functools.lru_cache(maxsize=64)
def space_of(icc: bytes) -> Space:
  """The colour space of a profile; '' for a damaged or unsupported one."""
  try:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc)).profile
    space = str(profile.xcolor_space).strip()
    if space not in _SPACES or str(profile.device_class).strip() not in _CLASSES:
      return ''
    if space == 'GRAY':
      _grey_table(icc)
    else:
      _transform(icc, space)
  except (ImageCms.PyCMSError, OSError, ValueError):
    return ''
  return space  # type: ignore[return-value]


def is_srgb(icc: bytes) -> bool:
  """Whether a profile moves no colour by more than one level."""
  if space_of(icc) == 'GRAY':
    return (
      int(np.abs(_grey_table(icc)[::257] - _GREYS[:, None].astype(np.int64) * 257).max()) <= 257
    )
  return _transform(icc, space_of(icc)) is None


def to_srgb(samples: np.ndarray, icc: bytes) -> np.ndarray:
  """`[H, W, C]` uint8 or uint16 in the colours of `icc` -> `[H, W, 3]` of the same type in sRGB."""
  space = space_of(icc)
  if space == 'GRAY':
    table = _grey_table(icc)
    return (eight_bits(table[::257]) if samples.dtype == np.uint8 else table)[samples[..., 0]]
  transform = _transform(icc, space)
  assert transform is not None, 'check is_srgb first'
  if samples.dtype == np.uint8:
    image = Image.fromarray(np.ascontiguousarray(samples), space)
    return np.asarray(transform.apply(image))
  return _deep_transform(samples, icc, space=space)


def _deep_transform(samples: np.ndarray, icc: bytes, *, space: str, flags: int = 0) -> np.ndarray:
  """Converts in 16 bits: in the 8 of Pillow's transforms, linear light would have few levels."""
  import imagecodecs

  return imagecodecs.cms_transform(
    np.ascontiguousarray(samples),
    icc,
    _srgb().tobytes(),
    colorspace=space.lower(),
    outcolorspace='rgb',
    outdtype='uint16',
    flags=flags,
  )


@functools.lru_cache(maxsize=16)
def _grey_table(icc: bytes) -> np.ndarray:
  """uint16 `[65536, 3]`: the colour of each grey.

  Evaluated curve by curve: by default lcms replaces the curves by a coarse table, off by ten levels
  in the shadows of a linear profile.
  """
  ramp = np.arange(65536, dtype=np.uint16)[None]
  try:
    return _deep_transform(ramp, icc, space='GRAY', flags=_NO_OPTIMISATION)[0]
  except RuntimeError as error:
    raise ValueError(str(error)) from error


def eight_bits(values: np.ndarray) -> np.ndarray:
  """uint16 over its full range -> uint8, rounded; uint8 unchanged."""
  if values.dtype == np.uint8:
    return values
  return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


@functools.lru_cache(maxsize=64)
def _transform(icc: bytes, space: str) -> ImageCms.ImageCmsTransform | None:
  """The transform of RGB or CMYK to sRGB; None if it changes nothing."""
  profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
  transform = ImageCms.buildTransform(profile, _srgb(), space, 'RGB')
  if space == 'CMYK':
    return transform
  found = np.asarray(transform.apply(Image.fromarray(_probe())), np.int16)
  return transform if np.abs(found - _probe()).max() > 1 else None


@functools.cache
def _probe() -> np.ndarray:
  """`[1, N, 3]`: every grey and a grid of colours."""
  steps = np.arange(0, 256, 15, dtype=np.uint8)
  grid = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3)
  return np.concatenate([_GREYS[:, None].repeat(3, 1), grid])[None]


@functools.lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
  return ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB'))


def lab_to_srgb(samples: np.ndarray) -> np.ndarray:
  """uint8 `[H, W, 3]` Lab as ICC encodes it (a and b plus 128) -> uint8 `[H, W, 3]`."""
  # Pillow holds a and b as signed bytes.
  image = Image.frombytes(
    'LAB', samples.shape[1::-1], (samples ^ [0, 128, 128]).astype(np.uint8).tobytes()
  )
  return np.asarray(_lab().apply(image))


@functools.lru_cache(maxsize=1)
def _lab() -> ImageCms.ImageCmsTransform:
  lab = ImageCms.ImageCmsProfile(ImageCms.createProfile('LAB'))
  return ImageCms.buildTransform(lab, _srgb(), 'LAB', 'RGB')


# ITU-T H.273: the white point and the primaries of a code, x and y.
_D65 = (0.3127, 0.3290)
_BT709 = (0.640, 0.330, 0.300, 0.600, 0.150, 0.060)
_PRIMARIES: dict[int, tuple[tuple[float, float], tuple[float, ...]]] = {
  1: (_D65, _BT709),
  2: (_D65, _BT709),  # unspecified
  4: ((0.310, 0.316), (0.67, 0.33, 0.21, 0.71, 0.14, 0.08)),
  5: (_D65, (0.64, 0.33, 0.29, 0.60, 0.15, 0.06)),
  6: (_D65, (0.630, 0.340, 0.310, 0.595, 0.155, 0.070)),
  7: (_D65, (0.630, 0.340, 0.310, 0.595, 0.155, 0.070)),
  9: (_D65, (0.708, 0.292, 0.170, 0.797, 0.131, 0.046)),
  11: ((0.314, 0.351), (0.680, 0.320, 0.265, 0.690, 0.150, 0.060)),
  12: (_D65, (0.680, 0.320, 0.265, 0.690, 0.150, 0.060)),
}
# The curves of video are shown as sRGB's, as browsers do. Not here: PQ (16), HLG (18), logarithms.
_SRGB_CURVES = (1, 2, 6, 13, 14, 15)
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}


def of_code_points(primaries: int, transfer: int) -> bytes:
  """The profile of code points (H.273); b'' if they are sRGB's.

  Raises `ValueError` for unsupported ones, such as those of high dynamic range.
  """
  if primaries not in _PRIMARIES:
    raise ValueError(f'colour primaries {primaries}')
  if transfer not in _SRGB_CURVES and transfer not in _GAMMAS:
    high = ', high dynamic range' if transfer in (16, 18) else ''
    raise ValueError(f'transfer characteristics {transfer}{high}')
  return _matrix_profile(*_PRIMARIES[primaries], gamma=_GAMMAS.get(transfer))


def of_gamma(exponent: float, chromaticities: tuple[float, ...] | None) -> bytes:
  """The profile of PNG's gAMA and cHRM; b'' if they are sRGB's.

  `exponent`: of gAMA, 0.45455 for sRGB. `chromaticities`: x and y of white, red, green, blue, or
  None for those of sRGB.
  """
  srgb = (*_D65, *_BT709)
  values = chromaticities or srgb
  if max(abs(a - b) for a, b in zip(values, srgb, strict=True)) < 0.002:
    values = srgb
  # libpng's threshold for equal gammas
  near = abs(exponent * 2.2 - 1) < 0.05
  if near and values is srgb:
    return b''
  return _matrix_profile(values[:2], values[2:], gamma=None if near else 1 / exponent)


@functools.lru_cache(maxsize=64)
def _matrix_profile(
  white: tuple[float, float], primaries: tuple[float, ...], *, gamma: float | None
) -> bytes:
  if gamma is None and white == _D65 and primaries == _BT709:
    return b''
  import imagecodecs

  curve: dict[str, Any] = {'gamma': gamma}
  if gamma is None:
    x = np.linspace(0, 1, 4096)
    linear = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    curve = {'transferfunction': linear.astype(np.float32)}
  return bytes(imagecodecs.cms_profile('rgb', whitepoint=white, primaries=primaries, **curve))
