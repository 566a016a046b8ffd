"""Arithmetic on square pictures, many at once: float32 `[P, N, N]`."""

from __future__ import annotations

import functools

import numpy as np

_BORDER = (0.04, 0.16)  # of the side: where the weight of a pixel starts to rise, and is full


@functools.cache
def middles(size: int) -> np.ndarray:
  """The positions of a row of `size` pixels in (0, 1), float32 `[size]`."""
  return ((np.arange(size) + 0.5) / size).astype(np.float32)


@functools.cache
def centre_weights(size: int) -> np.ndarray:
  """The weight of a pixel by its place in a row: 0 at the border, `[size]`.

  A crop of a few per cent removes the border, where frames and mounts are.
  """
  begin, full = _BORDER
  inside = np.minimum(middles(size), 1 - middles(size))
  return ((inside - begin) / (full - begin)).clip(0, 1).astype(np.float32)


def slopes(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Grey levels a pixel (across, down), from the two neighbours; 0 at the edges."""
  across, down = np.zeros_like(image), np.zeros_like(image)
  across[:, :, 1:-1] = (image[:, :, 2:] - image[:, :, :-2]) / 2
  down[:, 1:-1] = (image[:, 2:] - image[:, :-2]) / 2
  return across, down


def halved(image: np.ndarray) -> np.ndarray:
  """`[..., N, N]` -> `[..., N/2, N/2]`, means of four."""
  rows = image[..., ::2, :] + image[..., 1::2, :]
  return (rows[..., ::2] + rows[..., 1::2]) / 4


def tiles(image: np.ndarray) -> np.ndarray:
  """`[P, N, N]` -> means `[P, 8, 8]`."""
  means = _means(image.shape[-1])[::2]
  return means @ image @ means.T


def places(image: np.ndarray) -> np.ndarray:
  """`[P, N, N]` -> means `[P, 15, 15]` over squares as of `tiles`, which overlap by half."""
  means = _means(image.shape[-1])
  return means @ image @ means.T


@functools.cache
def _means(size: int) -> np.ndarray:
  """`[15, N]`: the mean over an eighth of a row, at each sixteenth of it."""
  step = size // 16
  starts = step * np.arange(15)[:, None]
  inside = (np.arange(size) >= starts) & (np.arange(size) < starts + 2 * step)
  return (inside / np.float32(2 * step)).astype(np.float32)
