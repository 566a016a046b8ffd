"""Resizing by Pillow and by SIMD: near the exact average, and near each other."""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tfds_rijks.errors import UserError
from tfds_rijks.images import Square, fit
from tfds_rijks.resizing import resized

# height and width: reduced, enlarged, one of each, unchanged, and the narrowest.
SIZES = [(228, 300), (61, 47), (70, 500), (112, 112), (113, 112), (1, 1), (1, 333)]
SIDE = 112


def picture(height: int, width: int) -> np.ndarray:
  return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)


def weights(n: int, m: int) -> np.ndarray:
  """`[m, n]`: what each of `n` pixels contributes to each of `m`, by the triangle's definition."""
  scale = n / m
  centres, pixels = (np.arange(m) + 0.5) * scale, np.arange(n) + 0.5
  triangle = np.maximum(0, 1 - np.abs(pixels - centres[:, None]) / max(scale, 1))
  return triangle / triangle.sum(1, keepdims=True)


@pytest.mark.parametrize(('height', 'width'), SIZES)
def test_each_value_is_the_exact_average_up_to_two_roundings(resize, height, width):
  image = picture(height, width)
  columns, rows = weights(height, SIDE), weights(width, SIDE)
  exact = np.einsum('yh,hwc,xw->yxc', columns, image.astype(float), rows, optimize=True)
  error = resized(image, (SIDE, SIDE), by=resize) - exact
  # Half a level for each axis, and a little for the digits of the weights.
  assert np.abs(error).max() < 1.05 and np.abs(error.mean()) < 0.05
  assert np.sqrt((error**2).mean()) < 0.42


def test_sides_and_parts_of_pictures(resize):
  image = picture(90, 120)
  assert resized(image, (33, 44), by=resize).shape == (44, 33, 3)
  part = image[10:70, 5:101]
  np.testing.assert_array_equal(
    resized(part, (20, 30), by=resize), resized(part.copy(), (20, 30), by=resize)
  )
  flat = np.full((50, 70, 3), (200, 100, 50), np.uint8)
  assert (resized(flat, (21, 99), by=resize) == (200, 100, 50)).all()
  padded = fit(flat, 28, how='pad', by=resize)
  assert (padded[4:-4] == (200, 100, 50)).all()
  assert (padded[:4] == 255).all() and (padded[-4:] == 255).all()


def test_simd_differs_from_pillow_by_a_level_and_not_between_threads():
  pytest.importorskip('cykooz_resizer', reason='needs extra `simd`')
  image = picture(228, 300)
  alone = resized(image, (SIDE, SIDE), by='simd')
  difference = np.abs(alone.astype(int) - resized(image, (SIDE, SIDE)))
  assert difference.max() == 1  # 0: it would be Pillow
  with ThreadPoolExecutor(4) as pool:
    several = list(pool.map(lambda _: resized(image, (SIDE, SIDE), by='simd'), range(40)))
  assert all(np.array_equal(one, alone) for one in several)


def test_simd_gives_the_same_on_older_processors():
  rust = pytest.importorskip('cykooz_resizer', reason='needs extra `simd`')
  image = picture(228, 300)
  resizer = rust.Resizer()
  resizer.cpu_extensions = rust.CpuExtensions.none
  source = rust.ImageData(300, 228, rust.PixelType.U8x3, image.tobytes())
  target = rust.ImageData(SIDE, SIDE, rust.PixelType.U8x3)
  options = rust.ResizeOptions(
    resize_alg=rust.ResizeAlg.convolution(rust.FilterType.bilinear), use_alpha=False
  )
  resizer.resize(source, target, options)
  assert target.get_buffer() == resized(image, (SIDE, SIDE), by='simd').tobytes()


def test_a_missing_library_is_named(monkeypatch):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  assert Square(SIDE).resize == 'pillow'
  with pytest.raises(
    UserError, match=r"resize: found 'simd', which needs cykooz-resizer.*extra `simd`.*pillow"
  ):
    Square(SIDE, resize='simd')
