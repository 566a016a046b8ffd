"""A picture as 64 x 64 grey values, and as 69 numbers for finding copies.

The first 45 describe where edges of each direction are strong. A histogram of gradients, as of SIFT
(Lowe 2004), in 4 x 4 cells and 8 directions, softly counted, changes little with a crop of a few
per cent, another size, encoder or tint; only its slow changes between cells and directions are
kept, which change least. The others describe where the picture is dark, also in slow waves. The
border does not count. A quarter turn or a mirror image swaps the numbers and changes signs, so a
turned copy is found without rendering it.
"""

from __future__ import annotations

import functools

import numpy as np
from PIL import Image

from tfds_rijks.copies.plane import centre_weights, halved, middles, slopes

SIDE = 64  # pixels of a sketch
TURNS = range(8)  # the orientations of a picture: see `turned`
FLAT = 4.0  # standard deviation in grey levels below which a picture is blank and matches no other
LENGTH, SCALE = 69, 127  # of a descriptor: how many numbers, and its length as a vector
_CELLS, _BINS = 4, 8  # of the histogram
_WAVES, _TURNS = 3, 2  # kept of it: half waves along a side below, whole ones around up to these
_HALF, _QUARTER = SIDE // 2, SIDE // 4
_TONES = 5  # half waves along a side of the light and dark, below this
_TONE = 0.5  # weight of light and dark in a product of descriptors, where edges have 1


def sketch(image: np.ndarray) -> bytes:
  """uint8 `[H, W, 3]` RGB -> grey uint8 `[64, 64]` as bytes, whatever the aspect ratio."""
  height, width = image.shape[:2]
  picture = Image.fromarray(image)
  # Whole pixels first: a third of the time of one antialiased reduction.
  factor = (max(1, width // (2 * SIDE)), max(1, height // (2 * SIDE)))
  picture = picture.reduce(factor) if factor != (1, 1) else picture
  return picture.convert('L').resize((SIDE, SIDE), Image.Resampling.BILINEAR).tobytes()


def turned(image: np.ndarray, turn: int) -> np.ndarray:
  """`[..., N, N]` mirrored at its diagonal (4), from left to right (2) and upside down (1)."""
  if turn & 4:
    image = image.swapaxes(-1, -2)
  if turn & 2:
    image = image[..., ::-1]
  if turn & 1:
    image = image[..., ::-1, :]
  return image


def descriptors(sketches: np.ndarray) -> np.ndarray:
  """Sketches uint8 `[N, 64, 64]` -> int8 `[N, 69]`, vectors of length 127; zeros for a flat one.

  Whole numbers, so that the sums of their products are exact and the same on every machine.
  """
  grey = halved(sketches.astype(np.float32))  # [N, 32, 32]
  across, down = slopes(grey)
  weight, cells = centre_weights(_HALF), _cells()
  strength = np.hypot(across, down) * (weight[:, None] * weight)
  direction = np.arctan2(down, across) * np.float32(_BINS / (2 * np.pi))
  pooled = np.stack(
    [cells @ (strength * _near(direction, k)) @ cells.T for k in range(_BINS)], axis=1
  )
  histogram = _unit(np.sqrt(pooled).reshape(len(grey), -1))  # [N, 128]
  # Without the values of a picture without any structure.
  even = np.sqrt(np.outer(cells @ weight, cells @ weight)).ravel()
  edges = _unit((histogram - _unit(np.tile(even, (1, _BINS)))) @ _waves())
  found = np.concatenate([edges, np.sqrt(np.float32(_TONE)) * _unit(_tone(grey))], axis=1)
  found /= np.sqrt(np.float32(1 + _TONE))
  found[grey.std((1, 2)) < FLAT] = 0
  return np.rint(found * SCALE).clip(-127, 127).astype(np.int8)


def _tone(grey: np.ndarray) -> np.ndarray:
  """`[N, 32, 32]` -> `[N, 24]`: where it is light and dark."""
  weight = centre_weights(_QUARTER)
  weight = np.outer(weight, weight).ravel()
  tones = halved(grey).reshape(len(grey), -1)
  return ((tones - (tones @ weight)[:, None] / weight.sum()) * weight) @ _tones()


@functools.cache
def turning(turn: int) -> np.ndarray:
  """`[69, 69]` of 0, 1 and -1: `descriptors(turned(s, turn))` is `descriptors(s) @ turning(turn)`.

  Where rounding does not differ.
  """
  place = np.arange(_BINS * _CELLS * _CELLS).reshape(_BINS, _CELLS, _CELLS)
  bins = np.arange(_BINS)
  if turn & 4:
    place = place.swapaxes(1, 2)[(_BINS // 4 - bins) % _BINS]
  if turn & 2:
    place = place[:, :, ::-1][(_BINS // 2 - bins) % _BINS]
  if turn & 1:
    place = place[:, ::-1][-bins % _BINS]
  there = np.argsort(place, axis=None)
  matrix = np.zeros((LENGTH, LENGTH), np.float32)
  edges = slice(_waves().shape[1])
  matrix[edges, edges] = np.rint(_waves().T @ _waves()[there])
  pixels = turned(np.arange(_QUARTER**2).reshape(_QUARTER, _QUARTER), turn)
  tones = slice(edges.stop, None)
  matrix[tones, tones] = np.rint(_tones().T @ _tones()[np.argsort(pixels, axis=None)])
  return matrix


@functools.cache
def _waves() -> np.ndarray:
  """float32 `[128, 45]`, orthonormal: the slow changes of a histogram."""
  at, angle = (np.arange(_CELLS) + 0.5) / _CELLS, 2 * np.pi * np.arange(_BINS) / _BINS
  along = [np.cos(np.pi * k * at) for k in range(_WAVES)]
  around = [np.ones(_BINS)]
  around += [f((k + 1) * angle) for k in range(_TURNS) for f in (np.cos, np.sin)]
  every = [np.einsum('b,i,j->bij', b, i, j).ravel() for b in around for i in along for j in along]
  return _unit(np.stack(every)).T.astype(np.float32)


@functools.cache
def _tones() -> np.ndarray:
  """float32 `[256, 24]`, orthonormal: slow changes of light and dark."""
  along = [np.cos(np.pi * k * middles(_QUARTER)) for k in range(_TONES)]
  every = [np.outer(i, j).ravel() for i in along for j in along]
  return _unit(np.stack(every[1:])).T.astype(np.float32)


def _near(direction: np.ndarray, k: int) -> np.ndarray:
  """The share of bin `k` in a direction, given in bins: 1 at its middle, 0 at its neighbours'."""
  away = np.abs(direction - k) % _BINS
  return np.maximum(0, 1 - np.minimum(away, _BINS - away))


@functools.cache
def _cells() -> np.ndarray:
  """`[4, 32]`: how much of a row of pixels belongs to each cell."""
  at = (middles(_HALF) * _CELLS - 0.5).clip(0, _CELLS - 1)
  return np.maximum(0, 1 - np.abs(at - np.arange(_CELLS, dtype=np.float32)[:, None]))


def _unit(vectors: np.ndarray) -> np.ndarray:
  return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
