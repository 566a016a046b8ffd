"""Finds pictures that may be copies of each other: the nearest in any of eight orientations.

Every picture is compared with every other: a hundred thousand are six thousand million pairs, eight
times over. As matrix products this takes a minute or two; an index of buckets would miss crops.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfds_rijks.copies.sketches import LENGTH, SCALE, turning

NEAR = 0.72  # cosine of the descriptors of two candidates
MARGIN = 0.03 * SCALE**2  # by which the best turn may be nearer than another to compare
_ROWS, _COLUMNS = 256, 1024  # pictures of one task, and of one matrix product
_PER_PICTURE = (6, 64)  # candidates of one picture, at least and at most
_ALL_TOGETHER = 700_000  # candidates of a large collection, at most
_STRETCH = 0.12  # by which a crop may change the shape, as a logarithm
_DESCRIPTORS, _SHAPES = 'descriptors', 'shapes'  # files


class Block(NamedTuple):
  """The pictures from `start` on, of those in a folder; see `write`."""

  name: str
  folder: str
  start: int


def write(folder: Path, descriptors: np.ndarray, shapes: np.ndarray) -> list[Block]:
  """Writes descriptors int8 `[N, 69]` and shapes (width / height) `[N]` for `nearest`.

  Returns tasks from which `nearest` finds all candidates.
  """
  descriptors.tofile(folder / _DESCRIPTORS)
  np.log(shapes).astype(np.float32).tofile(folder / _SHAPES)
  starts = range(0, len(descriptors), _ROWS)
  return [Block(f'pictures from {i:,}', str(folder), i) for i in starts]


def nearest(block: Block) -> np.ndarray:
  """Candidates int32 `[M, 3]`: a picture, a later one, and the turn that orients it like the first.
  Only the nearest of each picture: if all are alike, the number would grow quadratically. A
  symmetric picture has several turns.
  """
  every, shapes = _read(block.folder)
  most = _most(every.shape[1])
  own = every[:, block.start : block.start + _ROWS].T
  # Turned back instead of the others, as the turns are orthogonal matrices.
  lying = [(0, own), (4, own @ turning(4).T)]
  threshold = np.full((len(own), 1), NEAR * SCALE**2, np.float32)
  found, near = np.zeros((3, 0), np.int64), np.zeros(0, np.float32)
  for begin in range(block.start, every.shape[1], _COLUMNS):
    others = slice(begin, begin + _COLUMNS)
    for lies, rows in lying:
      place, flips, product = _nearer(rows, every[:, others], threshold)
      row, column = np.divmod(place, len(shapes[others]))
      # Turned back, it is mirrored before the axes are swapped.
      turn = lies + (flips if not lies else (flips >> 1) + 2 * (flips & 1))
      ratio = -shapes[column + begin] if lies else shapes[column + begin]
      good = column + begin > row + block.start
      good &= np.abs(ratio - shapes[row + block.start]) <= _STRETCH
      found = np.concatenate([found, np.stack([row, column + begin, turn])[:, good]], axis=1)
      near = np.concatenate([near, product[good]])
    kept = _best(found, near, most=most)
    found, near = found[:, kept], near[kept]
    least = np.full(len(threshold), np.inf, np.float32)
    np.minimum.at(least, found[0], near)
    full = np.bincount(found[0], minlength=len(threshold)) >= most
    threshold[full, 0] = np.maximum(threshold, least[:, None])[full, 0]
  found[0] += block.start
  return found.T.astype(np.int32)


def _nearer(
  rows: np.ndarray, columns: np.ndarray, threshold: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """(places in `[R, C]`, mirroring (0 to 3), product) of pairs that are near enough.

  Mirroring only changes signs, so one product for each kind of number is enough for all four.
  """
  both, one, other, neither = (rows[:, kind] @ columns[kind] for kind in _kinds())
  still, down = both + one, both - one  # only changed upside down
  across, twice = other + neither, other - neither
  nearest = np.maximum(still + np.abs(across), down + np.abs(twice))
  # Sixty times as fast as `nonzero`.
  place = np.flatnonzero(nearest >= threshold)
  still, down, across, twice = (part.ravel()[place] for part in (still, down, across, twice))
  products = np.stack([still + across, down + twice, still - across, down - twice])
  flips, at = np.nonzero(products >= threshold[place // columns.shape[1], 0])
  return place[at], flips, products[flips, at]


@functools.cache
def _kinds() -> tuple[np.ndarray, ...]:
  """The numbers of a descriptor that keep their sign upside down (1) and left to right (2), only in
  the latter, only in the former, and in neither.
  """
  down, across = (turning(turn).diagonal() > 0 for turn in (1, 2))
  kinds = (across & down, across & ~down, ~across & down, ~across & ~down)
  return tuple(np.flatnonzero(kind) for kind in kinds)


def _most(pictures: int) -> int:
  """The largest number of candidates of a picture."""
  least, most = _PER_PICTURE
  return max(least, min(most, _ALL_TOGETHER // pictures))


def _best(found: np.ndarray, near: np.ndarray, *, most: int) -> np.ndarray:
  """Indices of the nearest `most` pairs of each row, with all turns that are about as near."""
  rows, columns, _ = found
  order = np.lexsort((-near, columns, rows))
  rows, columns, near = rows[order], columns[order], near[order]
  begins = np.flatnonzero(np.diff(rows, prepend=-1) | np.diff(columns, prepend=-1))
  pair = np.cumsum(np.bincount(begins, minlength=len(order))[: len(order)]) - 1
  best = near[begins]  # of each pair
  ranked = np.lexsort((-best, rows[begins]))
  row = rows[begins][ranked]
  rank = np.empty(len(begins), np.int64)
  rank[ranked] = np.arange(len(row)) - np.searchsorted(row, row)
  return order[(rank[pair] < most) & (near >= best[pair] - MARGIN)]


@functools.lru_cache(maxsize=1)
def _read(folder: str) -> tuple[np.ndarray, np.ndarray]:
  """(descriptors float32 `[69, N]`, whose products are exact; logarithms of the shapes `[N]`)."""
  found = np.fromfile(Path(folder) / _DESCRIPTORS, np.int8).reshape(-1, LENGTH)
  return found.T.astype(np.float32, order='C'), np.fromfile(Path(folder) / _SHAPES, np.float32)
