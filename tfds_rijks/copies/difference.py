"""The difference of two aligned pictures: 0 for one picture, 1 for two.

Two prints of one plate, two faces of one set, two medals on black velvet differ in one place, or
only in the grain, and agree elsewhere. So the measure is the difference at the worst place,
relative to its content, divided by the agreement of the fine detail where it agrees least. And a
copy is a whole or a crop: one of the two frames is inside the other, with a matching shape. Light,
contrast and tint may differ within bounds, for the picture as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfds_rijks.copies.align import align, lay, likeness, matched, same
from tfds_rijks.copies.plane import centre_weights, halved, places, tiles

SIDE = 128  # pixels of the pictures in the final comparison
_LIKE = 0.7  # correlation at 16 and at 32 pixels below which there is no second look
_LEFT = 0.6  # of a place, at the first look: above it there is no second look
NEAR, FAR = 0.04, 0.12  # how far a frame may be outside the other at the first look, in sides
_SLACK = 0.012  # and in the end: the error of the alignment
_SHAPE = 2  # slacks by which its shape may differ
_SAME_FRAME = 0.02  # scale and shift up to which nothing was cropped
_CONTRAST = (0.6, 1 / 0.6)  # between a picture and a tinted copy, in each colour
_NOISE = 2 * 6.0**2  # variance in grey levels in a place from two encoders and sizes
_PASSED_OVER = 2  # of the worst places: a speck is in four of them
_NO_DETAIL = 0.4  # grey levels of detail in a tile below which there is nothing to compare
_LEAST_TILES = 4  # with detail
_AGREE = 0.15  # agreement of detail below which two pictures differ by at least 1
_LITTLE = (0.2, 0.3)  # of a place above which they do as well; the latter for a crop
_UNCROPPED = 0.03  # scale and shift up to which the former applies
_AT_ONCE = 0.3  # correlation at 16 pixels, without alignment, below which there is no look
_BLURRED = 0.82  # share of the other's finest detail below which a picture is or was small
_COARSE = 2.3  # by how much more alike two pictures must be if compared at half the size
_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as in Pillow


def first_look(
  a: np.ndarray, b: np.ndarray, shape: np.ndarray, *, slack: float = NEAR
) -> tuple[np.ndarray, np.ndarray]:
  """Grey uint8 `[P, 64, 64]` -> (placements `[P, 4]`, difference at the worst place `[P]`).

  The latter is infinite if a second look is not needed.

  Args:
    shape: width / height of the original of `b` divided by that of `a`, `[P]`.
    slack: `FAR` for two crops of one picture, neither of which needs to be inside the other.
  """
  pyramid = [(a.astype(np.float32), b.astype(np.float32))]
  for _ in range(2):
    pyramid.append((halved(pyramid[-1][0]), halved(pyramid[-1][1])))
  placement = same(len(a))
  a, b = pyramid[2]
  weight = centre_weights(a.shape[-1])
  weight = np.broadcast_to(weight[:, None] * weight, a.shape)
  at = np.flatnonzero(likeness(a, b, weight) >= _AT_ONCE)  # the pairs that are still alike
  if len(at):
    placement[at] = _begun([(first[at], second[at]) for first, second in pyramid])
    at = at[_alike(a[at], b[at], placement[at]) >= _LIKE]
  left = np.full(len(a), np.inf, np.float32)
  for level, steps in ((1, 3), (0, 2)):
    if not len(at):
      break
    first, second = (plane[at] for plane in pyramid[level])
    found = placement[at] = align(first, second, placement[at], steps=steps)
    alike = outside(found, shape[at]) <= slack
    if level:
      alike &= _alike(first, second, found) >= _LIKE
    else:
      worst = _in_structure(first, second, found)
      left[at] = np.where(alike & (worst <= _LEFT), worst, np.inf)
    at = at[alike]
  return placement, left


def _begun(pyramid: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
  """Placements at 16 pixels, of the first on the second or the other way round, as one may go
  astray in a pattern.
  """
  a, b = pyramid[2]
  placement, back = (align(*pair, same(len(a)), steps=3) for pair in ((a, b), (b, a)))
  scale, shift = back[:, ::2], back[:, 1::2]
  back = np.stack([1 / scale, -shift / scale], axis=2).reshape(len(a), 4)
  better = _alike(*pyramid[1], back) > _alike(*pyramid[1], placement)
  return np.where(better[:, None], back, placement)


def _alike(a: np.ndarray, b: np.ndarray, placement: np.ndarray) -> np.ndarray:
  laid, inside = lay(a, placement)
  return likeness(laid, b, inside)


def difference(
  a: np.ndarray, b: np.ndarray, placement: np.ndarray, shape: np.ndarray
) -> np.ndarray:
  """uint8 RGB `[P, 3, 128, 128]` and initial placements -> differences `[P]`.

  At least 1 if neither frame is inside the other, and infinite if they are far apart. See
  `first_look` for `shape`.
  """
  a, b = a.astype(np.float32), b.astype(np.float32)
  half = halved(a), halved(b)
  placement = align(_grey(half[0]), _grey(half[1]), placement, steps=3)
  placement = align(_grey(a), _grey(b), placement, steps=2)
  found = _compared(a, b, placement)
  whole = np.abs(placement - same(1)).max(axis=1) <= _SAME_FRAME
  small = whole | _blurred(a, b)
  if small.any():  # a picture that is or was small has no fine detail
    again = _COARSE * _compared(half[0][small], half[1][small], placement[small])
    # Without its grain, another print that is laid out a little differently looks like a crop.
    least, most = np.minimum(found[small], again), np.maximum(found[small], again)
    found[small] = np.where(whole[small], least, most)
  beyond = outside(placement, shape)
  found = np.where(beyond <= _SLACK, found, np.maximum(found, 1))
  return np.where(beyond <= FAR, found, np.inf)


def outside(placement: np.ndarray, shape: np.ndarray) -> np.ndarray:
  """How far one frame is outside the other, in sides, or has another shape, `[P]`.

  The better of the two ways. See `first_look` for `shape`.
  """
  scale, shift = placement[:, ::2], placement[:, 1::2]
  edges = np.abs(shift) - (1 - scale) / 2, np.abs(shift) - (scale - 1) / 2  # b in a, a in b
  least = np.minimum(edges[0].max(axis=1), edges[1].max(axis=1))
  other = np.abs(np.log(scale[:, 0] / scale[:, 1] / shape))
  return np.maximum(np.maximum(least, other / _SHAPE), 0)


def _compared(a: np.ndarray, b: np.ndarray, placement: np.ndarray) -> np.ndarray:
  """`[P]`: the difference at the worst place, over the agreement of the detail."""
  grey = _grey(a), _grey(b)
  left = np.maximum(_in_structure(*grey, placement), _in_colour(a, b, placement))
  agree = _in_detail(*grey, placement)
  moved = np.abs(placement - same(1)).max(axis=1)
  much = left > np.where(moved <= _UNCROPPED, *_LITTLE)
  found = left / np.maximum(agree, _AGREE / 2)
  return np.where((agree < _AGREE) | much, np.maximum(found, 1), found)


def _in_structure(a: np.ndarray, b: np.ndarray, placement: np.ndarray) -> np.ndarray:
  """`[P]`: the difference in a place, as a share of the content of both."""
  laid, inside = lay(a, placement)
  laid, b, inside = halved(laid), halved(b), np.floor(halved(inside))
  left = matched(laid, b, inside, contrast=_CONTRAST)
  seen = places(inside)
  left_there, first, second = (_variance(x, inside, seen) for x in (left, left + b, b))
  return _worst(left_there / (first + second + _NOISE), seen)


def _in_colour(a: np.ndarray, b: np.ndarray, placement: np.ndarray) -> np.ndarray:
  """`[P]`: the squared colour difference of a place, as a share of the variance of all."""
  a, b = halved(halved(a)), halved(halved(b))
  left_there, variance = np.zeros(1, np.float32), np.zeros(1, np.float32)
  for channel in range(3):
    laid, inside = lay(a[:, channel], placement)
    left = matched(laid, b[:, channel], inside, contrast=_CONTRAST)
    seen = places(inside)
    left_there = left_there + (places(left * inside) / np.maximum(seen, 1e-3)) ** 2
    total = inside.sum((1, 2), keepdims=True)
    for image in (left + b[:, channel], b[:, channel]):
      mean = (image * inside).sum((1, 2), keepdims=True) / total
      variance = variance + ((image - mean) ** 2 * inside).sum((1, 2), keepdims=True) / total / 2
  return _worst(left_there / (variance + _NOISE), seen)


def _in_detail(a: np.ndarray, b: np.ndarray, placement: np.ndarray) -> np.ndarray:
  """`[P]`: correlation of the finest detail, grain included, in the tenth of tiles with least."""
  laid, inside = lay(a, placement)
  first, second = _detail(laid) * inside, _detail(b) * inside
  own, other, both = tiles(first * first), tiles(second * second), tiles(first * second)
  there = (tiles(inside) > 0.6) & (np.minimum(own, other) > _NO_DETAIL**2)
  agree = np.where(there, both / np.sqrt(own * other + np.float32(1e-6)), np.inf)
  agree = np.sort(agree.reshape(len(a), -1), axis=1)
  number = there.sum((1, 2))
  tenth = agree[np.arange(len(a)), np.maximum(number - 1, 0) // 10]
  return np.where(number >= _LEAST_TILES, tenth, 0)


def _blurred(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  """`[P]`: whether one of them shows much less of the finest detail than the other."""
  own, other = (_detail(_grey(x)).std((1, 2)) for x in (a, b))
  return np.minimum(own, other) < _BLURRED * np.maximum(own, other)


def _detail(image: np.ndarray) -> np.ndarray:
  """`[P, N, N]` without its means over 3 x 3 pixels, weighted 1, 2, 1."""
  smooth = image.copy()
  smooth[:, 1:-1] = (image[:, :-2] + 2 * image[:, 1:-1] + image[:, 2:]) / 4
  rows = smooth.copy()
  smooth[:, :, 1:-1] = (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 4
  return image - smooth


def _grey(image: np.ndarray) -> np.ndarray:
  """RGB `[P, 3, N, N]` -> `[P, N, N]`."""
  return np.einsum('pcij,c->pij', image, _GREY)


def _variance(image: np.ndarray, inside: np.ndarray, seen: np.ndarray) -> np.ndarray:
  """The variance of `[P, N, N]` in each place, `[P, 15, 15]`."""
  seen = np.maximum(seen, np.float32(1e-3))
  mean = places(image * inside) / seen
  return np.maximum(0, places(image * image * inside) / seen - mean * mean)


def _worst(different: np.ndarray, seen: np.ndarray) -> np.ndarray:
  """The worst place except a few, among those mostly inside both pictures."""
  flat = np.where(seen > 0.6, different, 0).reshape(len(different), -1)
  return -np.partition(-flat, _PASSED_OVER, axis=1)[:, _PASSED_OVER]
