"""Preprocessing: constants by hand, every fit, and JSON."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from flaxart.models.preprocess import Preprocess, caffe, imagenet_statistics, plus_minus_one
from tfds_rijks.errors import UserError

PIXEL = jnp.array([[[[255, 0, 51]]]], jnp.uint8)  # [1, 1, 1, 3] RGB


@pytest.mark.parametrize(
  ('preprocess', 'expected'),
  [
    (caffe(), [51 - 103.939, 0 - 116.779, 255 - 123.68]),
    (plus_minus_one(), [1, -1, -0.6]),
    (imagenet_statistics(), [(1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225]),
  ],
)
def test_constants(preprocess, expected):
  np.testing.assert_allclose(preprocess.apply(PIXEL)[0, 0, 0], expected, rtol=1e-6, atol=1e-6)


def test_any_size_and_dtype():
  x = plus_minus_one().apply(jnp.zeros((2, 5, 7, 3), jnp.uint8), dtype=jnp.bfloat16)
  assert x.shape == (2, 5, 7, 3) and x.dtype == jnp.bfloat16


def ramp(width: int, height: int) -> Image.Image:
  """Red grows to the right, green downwards."""
  y, x = np.mgrid[0:height, 0:width]
  return Image.fromarray(np.stack([255 * x / width, 255 * y / height, 0 * x], -1).astype(np.uint8))


@pytest.mark.parametrize(('width', 'height'), [(300, 200), (200, 300), (250, 250), (30, 20)])
@pytest.mark.parametrize('fit', ['crop', 'squash', 'pad'])
def test_every_fit_gives_the_square(width, height, fit):
  square = Preprocess(100, fit=fit).square(ramp(width, height))
  assert square.shape == (100, 100, 3) and square.dtype == np.uint8


def test_fits_keep_different_parts():
  wide = ramp(400, 200)
  crop, squash, pad = (Preprocess(100, fit=f).square(wide) for f in ('crop', 'squash', 'pad'))
  assert 55 < crop[50, 0, 0] < 75 and 180 < crop[50, -1, 0] < 200  # the middle half of the width
  assert squash[50, 0, 0] < 5 and squash[50, -1, 0] > 250  # all of it
  assert (pad[:25] == 255).all() and (pad[75:] == 255).all() and pad[50, 0, 0] < 5
  tight = Preprocess(100, fit='crop', resize=200).square(wide)
  assert 90 < tight[50, 0, 0] < 102 and tight[0, 50, 1] > 50  # a quarter of the width


def test_json_round_trip():
  for preprocess in (caffe(), plus_minus_one(fit='crop', resize=342), imagenet_statistics()):
    assert Preprocess.from_json(preprocess.to_json()) == preprocess
    assert hash(Preprocess.from_json(preprocess.to_json())) == hash(preprocess)


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('{', 'cannot be read'),
    ('[1]', 'expected fields'),
    ('{"size": 224}', 'expected fields'),
    (caffe().to_json().replace('bgr', 'hsv'), "found 'hsv', expected one of rgb, bgr"),
    (caffe().to_json().replace('103.939', 'NaN'), r'cannot be read \(NaN is '),
    (caffe().to_json().replace('103.939, ', ''), 'three finite numbers'),
    (caffe().to_json().replace('224', '-1'), 'positive size'),
    (caffe().to_json().replace('bilinear', 'best'), "found 'best'"),
  ],
)
def test_bad_json_is_refused_in_one_line(text, message):
  with pytest.raises(UserError, match=message):
    Preprocess.from_json(text)
