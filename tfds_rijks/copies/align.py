"""Aligns one picture with another that may be a crop of it: scale and shift along both axes.

By the inverse compositional algorithm of Lucas and Kanade (Baker and Matthews 2004), for many pairs
at once: each step solves for the four numbers, and for light and contrast, that explain the
remaining difference. The border does not count: a cropped frame would pull the rest along.
"""

from __future__ import annotations

import numpy as np

from tfds_rijks.copies.plane import centre_weights, middles, slopes

_FARTHEST = (0.13, 0.07)  # of scale and shift, in sides; 5 % less at each edge is 0.1 and 0
_CONTRAST = (0.2, 5.0)  # between two pictures, on the way


def same(pairs: int) -> np.ndarray:
  """Initial placements `[P, 4]`: scale and shift across, scale and shift down."""
  return np.tile(np.array([1, 0, 1, 0], np.float32), (pairs, 1))


def align(a: np.ndarray, b: np.ndarray, placement: np.ndarray, *, steps: int) -> np.ndarray:
  """Placements float32 `[P, 4]` at which float32 `a` `[P, N, N]` looks like `b` `[P, N, N]`."""
  pairs, size = len(a), a.shape[-1]
  x, weight = middles(size) - np.float32(0.5), centre_weights(size)
  weight = weight[:, None] * weight
  across, down = slopes(b)
  change = np.stack([across * x, across, down * x[:, None], down, b, np.ones_like(b)], axis=1)
  change[:, :4] *= size
  change = (change * weight).reshape(pairs, 6, size * size)
  curvature = change @ change.swapaxes(1, 2)  # [P, 6, 6]
  own = np.einsum('pii->pi', curvature)
  curvature += np.eye(6, dtype=np.float32) * (np.float32(1e-4) * own[:, None] + np.float32(1e-3))
  solution = np.linalg.inv(curvature)[:, :4]
  for _ in range(steps):
    laid, inside = lay(a, placement)
    inside = inside * weight
    left = matched(laid, b, inside, contrast=_CONTRAST) * inside
    step = (solution @ (change @ left.reshape(pairs, size * size, 1)))[:, :, 0]
    scale = placement[:, ::2] / (1 + step[:, ::2])
    shift = placement[:, 1::2] - scale * step[:, 1::2]
    scale = scale.clip(1 - _FARTHEST[0], 1 + _FARTHEST[0])
    shift = shift.clip(-_FARTHEST[1], _FARTHEST[1])
    placement = np.stack([scale[:, 0], shift[:, 0], scale[:, 1], shift[:, 1]], axis=1)
  return placement


def lay(a: np.ndarray, placement: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """(`a` `[P, N, N]` resampled as placed, 1 where that is inside `a` and 0 elsewhere)."""
  columns, in_columns = _resampling(a.shape[-1], placement[:, 0], placement[:, 1])
  rows, in_rows = _resampling(a.shape[-1], placement[:, 2], placement[:, 3])
  return rows @ a @ columns.swapaxes(1, 2), in_rows[:, :, None] * in_columns[:, None]


def matched(
  a: np.ndarray, b: np.ndarray, weight: np.ndarray, *, contrast: tuple[float, float]
) -> np.ndarray:
  """`a - b` `[P, N, N]` after matching the light of `b`, and its contrast within these factors."""
  total = weight.sum((1, 2), keepdims=True) + np.float32(1e-6)
  a = a - (a * weight).sum((1, 2), keepdims=True) / total
  b = b - (b * weight).sum((1, 2), keepdims=True) / total
  weighted = a * weight
  gain = (weighted * b).sum((1, 2)) / ((weighted * a).sum((1, 2)) + np.float32(1e-3))
  return gain.clip(*contrast)[:, None, None] * a - b


def likeness(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> np.ndarray:
  """The weighted correlation of `a` and `b` `[P, N, N]`: -1 to 1, `[P]`."""
  total = weight.sum((1, 2), keepdims=True) + np.float32(1e-6)
  a = a - (a * weight).sum((1, 2), keepdims=True) / total
  b = b - (b * weight).sum((1, 2), keepdims=True) / total
  both, own, other = ((weight * x * y).sum((1, 2)) for x, y in ((a, b), (a, a), (b, b)))
  return both / np.sqrt(np.maximum(own * other, np.float32(1e-6)))


def _resampling(size: int, scale: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """(rows `[P, N, N]` of a linear interpolation, 1 where it is inside `[P, N]`)."""
  middle = middles(size) - np.float32(0.5)
  at = (scale[:, None] * middle + shift[:, None] + np.float32(0.5)) * size - np.float32(0.5)
  inside = (at > -0.75) & (at < size - 0.25)
  near = np.abs(at.clip(0, size - 1)[:, :, None] - np.arange(size, dtype=np.float32))
  return np.maximum(0, 1 - near), inside.astype(np.float32)
