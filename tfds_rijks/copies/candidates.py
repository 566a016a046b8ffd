"""Which pictures of many may be copies of each other: the nearest in any of eight orientations.

Every picture is compared with every other: a hundred thousand are six thousand million pairs, eight
times over. As matrix products these are a minute; an index of buckets would miss crops.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfds_rijks.copies.sketch import LENGTH, SCALE, TURNS, turning

NEAR = 0.85  # cosine of the descriptors of two candidates
_ROWS, _COLUMNS = 256, 2048  # pictures of one task, and of one matrix product
_PER_PICTURE = (16, 64)  # candidates of one picture at least and at most
_ONE_IN = 32  # pictures; in between, the number grows with the collection
_ALL_TOGETHER = 2_000_000  # and shrinks where there would be more candidates than this


class Block(NamedTuple):
  """The pictures from `start` on, of the descriptors int8 `[N, 45]` in a file."""

  name: str
  file: str
  start: int


def blocks(file: Path, pictures: int) -> list[Block]:
  """The tasks of which `nearest` finds all candidates."""
  return [Block(f'pictures from {i:,}', str(file), i) for i in range(0, pictures, _ROWS)]


def nearest(block: Block) -> np.ndarray:
  """Candidates int32 `[M, 3]`: a picture, a later one, and the turn that lays it as the first.

  Of one picture only the nearest: where all are alike, the number would grow as their square.
  """
  every = _read(block.file)  # [45, N]
  pictures = every.shape[1]
  most = int(np.clip(min(pictures // _ONE_IN, _ALL_TOGETHER // pictures), *_PER_PICTURE))
  own = every[:, block.start : block.start + _ROWS].T
  # Turned back instead of the others: the turns are orthogonal matrices.
  own = np.stack([own @ turning(turn).T for turn in TURNS])  # [8, R, 45]
  threshold = np.full((own.shape[1], 1), NEAR * SCALE**2, np.float32)
  found, near = np.zeros((3, 0), np.int64), np.zeros(0, np.float32)
  for begin in range(block.start, pictures, _COLUMNS):
    tile = every[:, begin : begin + _COLUMNS]
    parts, values = [found], [near]
    for turn in TURNS:
      product = own[turn] @ tile
      row, column = np.nonzero(product >= threshold)
      later = column + begin > row + block.start
      row, column = row[later], column[later]
      parts.append(np.stack([row, column + begin, np.full(len(row), turn)]))
      values.append(product[row, column])
    found, near = np.concatenate(parts, axis=1), np.concatenate(values)
    kept = _best(found[0] * pictures + found[1], near, 1)  # of the turns of one pair
    kept = kept[_best(found[0][kept], near[kept], most)]
    found, near = found[:, kept], near[kept]
    full = np.bincount(found[0], minlength=len(threshold)) == most
    least = np.full(len(threshold), np.inf, np.float32)
    np.minimum.at(least, found[0], near)
    threshold[full, 0] = least[full]
  found[0] += block.start
  return found.T.astype(np.int32)


def _best(groups: np.ndarray, values: np.ndarray, most: int) -> np.ndarray:
  """Indices of the `most` largest values of each group."""
  order = np.lexsort((-values, groups))
  first = np.searchsorted(groups[order], groups[order])
  return order[np.arange(len(order)) - first < most]


@functools.lru_cache(maxsize=1)
def _read(file: str) -> np.ndarray:
  """Descriptors float32 `[45, N]`: their products are exact."""
  return np.fromfile(file, np.int8).reshape(-1, LENGTH).T.astype(np.float32, order='C')
