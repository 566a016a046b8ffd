"""Which pictures of many may be copies of each other: the nearest in any of eight orientations.

Every picture is compared with every other: a hundred thousand are six thousand million pairs, eight
times over. As matrix products these are a minute; an index of buckets would miss crops.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfds_rijks.copies.sketches import LENGTH, SCALE, TURNS, turning

NEAR = 0.72  # cosine of the descriptors of two candidates
MARGIN = 0.03 * SCALE**2  # by which the best turn may be nearer than another that is looked at
_ROWS, _COLUMNS = 256, 1024  # pictures of one task, and of one matrix product
_PER_PICTURE = (6, 64)  # candidates of one picture, at least and at most
_ALL_TOGETHER = 700_000  # candidates that a large collection may have
_STRETCH = 0.12  # by which a crop may change the shape, as a logarithm
_DESCRIPTORS, _SHAPES = 'descriptors', 'shapes'  # files


class Block(NamedTuple):
  """The pictures from `start` on, of those in a folder; see `write`."""

  name: str
  folder: str
  start: int


def write(folder: Path, descriptors: np.ndarray, shapes: np.ndarray) -> list[Block]:
  """Writes descriptors int8 `[N, 69]` and shapes (width / height) `[N]` for `nearest`.

  Returns the tasks of which `nearest` finds all candidates.
  """
  descriptors.tofile(folder / _DESCRIPTORS)
  np.log(shapes).astype(np.float32).tofile(folder / _SHAPES)
  starts = range(0, len(descriptors), _ROWS)
  return [Block(f'pictures from {i:,}', str(folder), i) for i in starts]


def nearest(block: Block) -> np.ndarray:
  """Candidates int32 `[M, 3]`: a picture, a later one, and the turn that lays it as the first.

  Of one picture only the nearest: where all are alike, the number would grow as their square. A
  symmetric picture has several turns.
  """
  every, shapes = _read(block.folder)
  most = _most(every.shape[1])
  own = every[:, block.start : block.start + _ROWS].T
  # Turned back instead of the others: the turns are orthogonal matrices.
  own = np.stack([own @ turning(turn).T for turn in TURNS])  # [8, R, 69]
  threshold = np.full((own.shape[1], 1), NEAR * SCALE**2, np.float32)
  found, near = np.zeros((3, 0), np.int64), np.zeros(0, np.float32)
  for begin in range(block.start, every.shape[1], _COLUMNS):
    products = own @ every[:, begin : begin + _COLUMNS]
    # Sixty times as fast as `nonzero` of three axes.
    near_ones = np.flatnonzero(products >= threshold)
    turn, row, column = np.unravel_index(near_ones, products.shape)
    later = column + begin > row + block.start
    lying = np.where(turn >= 4, -shapes[column + begin], shapes[column + begin])
    later &= np.abs(lying - shapes[row + block.start]) <= _STRETCH
    turn, row, column = turn[later], row[later], column[later]
    found = np.concatenate([found, [row, column + begin, turn]], axis=1)
    near = np.concatenate([near, products[turn, row, column]])
    kept = _best(found, near, most=most)
    found, near = found[:, kept], near[kept]
    least = np.full(len(threshold), np.inf, np.float32)
    np.minimum.at(least, found[0], near)
    full = np.bincount(found[0], minlength=len(threshold)) >= most
    threshold[full, 0] = np.maximum(threshold, least[:, None])[full, 0]
  found[0] += block.start
  return found.T.astype(np.int32)


def _most(pictures: int) -> int:
  """How many candidates one picture may have."""
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
