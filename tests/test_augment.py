"""Augmentation does what its name says and depends on the example alone."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from flaxart.config import default_config
from flaxart.data.augment import augment


def pictures(n=16):
  """Smooth pictures without symmetry, so that a flip or a zoom shows."""
  y, x = np.mgrid[0:24, 0:24]
  one = np.stack([x * 9, y * 7, (x + 2 * y) * 3], axis=-1)
  return jnp.asarray(np.repeat(one[None], n, 0), jnp.uint8)


def settings(*, flip=False, zoom=0.0):
  config = default_config()
  config.augment.flip, config.augment.zoom = flip, zoom
  return config


def test_off_means_untouched():
  images = pictures()
  assert augment(images, jnp.arange(16), settings(), seed=0) is images


def test_flip_mirrors_about_half_of_the_pictures():
  images = pictures(64)
  out = np.asarray(augment(images, jnp.arange(64), settings(flip=True), seed=0))
  same = (out == np.asarray(images)).all((1, 2, 3))
  mirrored = (out == np.asarray(images)[:, :, ::-1]).all((1, 2, 3))
  assert (same ^ mirrored).all() and 16 < mirrored.sum() < 48


def test_zoom_shows_a_part_of_the_picture_and_keeps_its_orientation():
  out = np.asarray(augment(pictures(), jnp.arange(16), settings(zoom=0.5), seed=0)).astype(int)
  width = out[:, 12, -1, 0] - out[:, 12, 0, 0]  # red grows by 9 a pixel from left to right
  assert (width > 0).all() and (width <= 23 * 9).all() and width.min() < 0.8 * 23 * 9
  assert len({tuple(row) for row in out[:, :, 0, 1]}) > 8  # examples differ


def test_zoom_of_nearly_nothing_keeps_the_picture():
  out = np.asarray(augment(pictures(), jnp.arange(16), settings(zoom=1e-6), seed=0))
  np.testing.assert_allclose(out, np.asarray(pictures()), atol=1)


def test_choices_depend_on_the_example_not_on_its_place_in_the_batch():
  config = settings(flip=True, zoom=0.3)
  whole = np.asarray(augment(pictures(), jnp.arange(100, 116), config, seed=7))
  part = np.asarray(augment(pictures(4), jnp.array([103, 115, 100, 101]), config, seed=7))
  np.testing.assert_array_equal(part, whole[[3, 15, 0, 1]])
  other = np.asarray(augment(pictures(), jnp.arange(100, 116), config, seed=8))
  assert (other != whole).any()
