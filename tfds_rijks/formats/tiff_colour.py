"""Indirect colours of TIFF: colour maps, YCbCr, CIE L*a*b*."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfds_rijks.errors import ImageError

_REC601 = (0.299, 0.587, 0.114)
_FULL_RANGE = (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)


def palette(colour_map: Any, index: np.ndarray, bits: int, *, name: str) -> tuple[np.ndarray, bool]:
  """uint8 `[H, W, 3]` of indices `[H, W]`, and whether the map holds bytes instead of 16 bits.

  Bytes are recognised by libtiff's rule: no entry is above 255.
  """
  table = np.asarray(colour_map if colour_map is not None else (), np.int64).ravel()
  if len(table) != 3 << bits:
    raise ImageError(name, 'damaged', f'a colour map of {len(table)} values; expected {3 << bits}')
  small = bool(table.max() < 256) and bool(table.max() > 0)
  # Writers stretch bytes by 256 or by 257: the high byte is right for both.
  table = table if small else table >> 8
  return np.ascontiguousarray(table.astype(np.uint8).reshape(3, -1).T)[
    index.astype(np.uint16)
  ], small


def from_ycbcr(samples: np.ndarray, coefficients: Any, reference: Any) -> np.ndarray:
  """uint8 `[H, W, 3]` YCbCr -> RGB by YCbCrCoefficients and ReferenceBlackWhite (TIFF 6.0, 21)."""
  red, green, blue = _rationals(coefficients) or _REC601
  black_white = np.asarray(_rationals(reference) or _FULL_RANGE, np.float32).reshape(3, 2)
  scale = np.array([255, 127, 127], np.float32) / (black_white[:, 1] - black_white[:, 0])
  y, cb, cr = np.moveaxis((samples.astype(np.float32) - black_white[:, 0]) * scale, -1, 0)
  r = y + cr * (2 - 2 * red)
  b = y + cb * (2 - 2 * blue)
  g = (y - blue * b - red * r) / green
  return np.clip(np.rint(np.stack([r, g, b], axis=-1)), 0, 255).astype(np.uint8)


def from_cielab(samples: np.ndarray) -> np.ndarray:
  """Signed a and b of photometric 8 -> uint8 `[H, W, 3]` as ICC encodes Lab (plus 128)."""
  if samples.dtype == np.uint16:  # L from 0 to 65535, a and b in steps of 1/256
    lightness = (samples[..., :1].astype(np.uint32) + 128) // 257
    # As int16 in steps of 1/256, rounded to whole ones.
    ab = (samples[..., 1:].view(np.int16).astype(np.int32) + 128) >> 8
    return np.concatenate([lightness, np.clip(ab, -128, 127) + 128], axis=-1).astype(np.uint8)
  return samples ^ np.array([0, 128, 128], np.uint8)


def _rationals(values: Any) -> tuple[float, ...] | None:
  """A tag of fractions: numerators and denominators in turn."""
  if values is None:
    return None
  flat = np.asarray(values, np.float64).reshape(-1, 2)
  return tuple((flat[:, 0] / flat[:, 1]).tolist())
