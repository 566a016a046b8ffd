"""Pictures and tables that benchmarks draw for themselves: collections for `tfds_rijks.prepare`."""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tfds_rijks import pool

LABELS = {'artist': 40, 'type': 12, 'material': 8}  # classes of each


def collection(
  folder: Path, count: int, size: tuple[int, int], *, labels: Mapping[str, int]
) -> list[Path]:
  """JPEGs of `size` (width, height) and `metadata.csv` with random labels."""
  folder.mkdir(parents=True)
  paths = [folder / f'{i:06d}.jpg' for i in range(count)]
  for _ in pool.run(_draw, [(path, i, size) for i, path in enumerate(paths)], what='drawing'):
    pass
  _label(folder, [path.name for path in paths], labels)
  return paths


def _draw(item: tuple[Path, int, tuple[int, int]]) -> None:
  """Quality 90, 4:2:0, soft shapes with grain: noise alone would not compress."""
  path, i, size = item
  rng = np.random.default_rng(i)
  coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
  picture = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), np.int16)
  picture = picture + np.roll(_grain(size), rng.integers(0, size[::-1]), (0, 1))
  Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(path, quality=90, subsampling=2)


@functools.cache
def _grain(size: tuple[int, int]) -> np.ndarray:
  """One pattern for all pictures, shifted in each: drawing it is the slowest part."""
  return np.random.default_rng(0).normal(0, 6, (size[1], size[0], 3)).astype(np.int16)


def _label(folder: Path, names: Sequence[str], labels: Mapping[str, int]) -> None:
  rng = np.random.default_rng(1)
  with (folder / 'metadata.csv').open('w', encoding='utf-8', newline='') as file:
    table = csv.writer(file)
    table.writerow(['image', *labels])
    for name in names:
      table.writerow([name, *(f'{task} {rng.integers(count)}' for task, count in labels.items())])
