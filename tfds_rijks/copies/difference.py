"""How far two pictures differ once one is laid over the other: 0 for one picture, 1 for two.

The measure is the worst place, not the mean: two prints of one plate, two faces of one set, two
flags differ in one place and agree elsewhere. Light, contrast and tint are allowed to differ within
bounds, for the picture as a whole.
"""

from __future__ import annotations

import numpy as np

from tfds_rijks.copies.align import align, lay, likeness, matched, same
from tfds_rijks.copies.plane import halved

SIDE = 128  # pixels of the pictures that are compared at last
LIKE = 0.85  # correlation at 32 pixels below which nobody looks again
_CONTRAST = (0.6, 1 / 0.6)  # between a picture and a tinted copy, in each colour
_NOISE = 2 * 6.0**2  # variance in grey levels that two encoders and sizes may leave in a place
_PLACES = 16  # a side; each 1/8 of a side wide, so neighbours share a half
_PASSED_OVER = 2  # of the worst places: a speck lies in four of them
_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow has it


def first_look(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Grey uint8 `[P, 64, 64]` -> (placements `[P, 4]`, differences `[P]`; infinite if unlike)."""
  a, b = a.astype(np.float32), b.astype(np.float32)
  halves = halved(a), halved(b)
  placement = align(halved(halves[0]), halved(halves[1]), same(len(a)), steps=3)
  placement = align(*halves, placement, steps=3)
  laid, inside = lay(halves[0], placement)
  like = np.flatnonzero(likeness(laid, halves[1], inside) >= LIKE)
  different = np.full(len(a), np.inf, np.float32)
  if len(like):
    a, b = a[like], b[like]
    placement[like] = align(a, b, placement[like], steps=2)
    different[like] = _in_structure(a, b, placement[like])
  return placement, different


def difference(a: np.ndarray, b: np.ndarray, placement: np.ndarray) -> np.ndarray:
  """uint8 RGB `[P, 3, 128, 128]` and placements to begin with -> differences `[P]`."""
  a, b = a.astype(np.float32), b.astype(np.float32)
  grey = _grey(a), _grey(b)
  placement = align(halved(grey[0]), halved(grey[1]), placement, steps=3)
  placement = align(*grey, placement, steps=2)
  return np.maximum(_in_structure(*grey, placement), _in_colour(a, b, placement))


def _grey(image: np.ndarray) -> np.ndarray:
  return np.einsum('pcij,c->pij', image, _GREY)


def _in_structure(a: np.ndarray, b: np.ndarray, placement: np.ndarray) -> np.ndarray:
  """`[P]`: what is left in a place, as a share of what both show there."""
  laid, inside = lay(a, placement)
  laid, b, inside = halved(laid), halved(b), np.floor(halved(inside))
  left = matched(laid, b, inside, contrast=_CONTRAST)
  seen = _places(inside)
  left_there, first, second = (_variance(x, inside, seen) for x in (left, left + b, b))
  return _worst(left_there / (first + second + _NOISE), seen)


def _in_colour(a: np.ndarray, b: np.ndarray, placement: np.ndarray) -> np.ndarray:
  """`[P]`: by how much a place has another colour, squared, as a share of the variance of all."""
  left_there = variance = np.float32(0)
  for channel in range(3):
    laid, inside = lay(halved(halved(a[:, channel])), placement)
    other = halved(halved(b[:, channel]))
    left = matched(laid, other, inside, contrast=_CONTRAST)
    seen = _places(inside)
    left_there = left_there + (_places(left * inside) / np.maximum(seen, 1e-3)) ** 2
    total = inside.sum((1, 2), keepdims=True)
    for image in (left + other, other):
      mean = (image * inside).sum((1, 2), keepdims=True) / total
      variance = variance + ((image - mean) ** 2 * inside).sum((1, 2), keepdims=True) / total / 2
  return _worst(left_there / (variance + _NOISE), seen)


def _variance(image: np.ndarray, inside: np.ndarray, seen: np.ndarray) -> np.ndarray:
  """Of `[P, N, N]` in each place, `[P, 15, 15]`."""
  seen = np.maximum(seen, np.float32(1e-3))
  mean = _places(image * inside) / seen
  return np.maximum(0, _places(image * image * inside) / seen - mean * mean)


def _places(image: np.ndarray) -> np.ndarray:
  """`[P, N, N]` -> means `[P, 15, 15]` over squares of N/8 pixels that overlap by half."""
  step = image.shape[-1] // _PLACES
  small = image.reshape(len(image), _PLACES, step, _PLACES, step).mean((2, 4))
  rows = small[:, 1:] + small[:, :-1]
  return (rows[:, :, 1:] + rows[:, :, :-1]) / 4


def _worst(different: np.ndarray, seen: np.ndarray) -> np.ndarray:
  """The worst place but for a few, among those that lie mostly inside both pictures."""
  flat = np.where(seen > 0.6, different, 0).reshape(len(different), -1)
  return -np.partition(-flat, _PASSED_OVER, axis=1)[:, _PASSED_OVER]
