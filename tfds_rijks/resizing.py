"""Resizing of pictures by Pillow or by SIMD instructions; uint8, antialiased.

Both average with a triangle as wide as the reduction, and round after each axis. They round in
different order (Pillow the rows first) and to different digits: values differ by 1 (by 2 once in
many enlarged pictures), and both are equally near the exact ones
(tests/tfds_rijks/test_resizing.py). So the choice is a setting of a run, and does not depend on
what happens to be installed.
"""

from __future__ import annotations

import functools
import importlib.util
import threading
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from PIL import Image

from tfds_rijks.errors import UserError

Resize = Literal['pillow', 'simd']


def check_resize(by: Resize, *, field: str = 'resize') -> None:
  """Raises `UserError` if this machine cannot resize this way; `field` names the setting."""
  if by == 'simd' and importlib.util.find_spec('cykooz_resizer') is None:
    raise UserError(
      f"{field}: found 'simd', which needs cykooz-resizer, and it is not installed; "
      'pip install cykooz-resizer (extra `simd`), or begin a run with pillow'
    )


def resized(image: np.ndarray, size: tuple[int, int], *, by: Resize = 'pillow') -> np.ndarray:
  """uint8 `[H, W, 3]` -> `[height, width, 3]` of `size` (width, height, as Pillow has it)."""
  if by == 'pillow':
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
  return _by_simd()(image, size)


@functools.cache
def _by_simd() -> Callable[[np.ndarray, tuple[int, int]], np.ndarray]:
  """By cykooz-resizer (Rust, fast_image_resize): 0.12 ms against 0.44 from 300 to 224 px."""
  import cykooz_resizer as rust

  triangle = rust.ResizeAlg.convolution(rust.FilterType.bilinear)
  options = rust.ResizeOptions(resize_alg=triangle, use_alpha=False)
  local = threading.local()  # threads sharing a resizer would wait for each other

  def by_simd(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    resizer: Any = getattr(local, 'resizer', None)
    if resizer is None:
      resizer = local.resizer = rust.Resizer()
    height, width = image.shape[:2]
    source = rust.ImageData(width, height, rust.PixelType.U8x3, image.tobytes())
    target = rust.ImageData(*size, rust.PixelType.U8x3)
    resizer.resize(source, target, options)
    return np.frombuffer(target.get_buffer(), np.uint8).reshape(size[1], size[0], 3)

  return by_simd
