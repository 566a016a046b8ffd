"""Augmentation does what its name says and depends on the example alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from flaxart.config import default_config
from flaxart.data import randaugment
from flaxart.data.augment import augment, mixup


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


def test_every_operation_of_randaugment_changes_pictures_and_stays_in_range():
  x = pictures(2).astype(jnp.float32)
  for name in randaugment.OPERATIONS:
    out = np.asarray(randaugment.apply(x, name, sign=1.0, magnitude=8.0))
    assert out.shape == x.shape and out.min() >= 0 and out.max() <= 255
    assert (name == 'identity') == bool(np.array_equal(out, x)), name
    still = np.asarray(randaugment.apply(x, name, sign=1.0, magnitude=0.0))
    np.testing.assert_array_equal(still, x)


def test_operations_agree_with_pillow():
  x = np.asarray(pictures(1))
  picture = Image.fromarray(x[0])

  def ours(name, sign):
    return np.asarray(
      randaugment.apply(jnp.asarray(x, jnp.float32), name, sign=sign, magnitude=5.0)
    )[0]

  for name, enhance in (
    ('brightness', ImageEnhance.Brightness),
    ('color', ImageEnhance.Color),
    ('contrast', ImageEnhance.Contrast),
    ('sharpness', ImageEnhance.Sharpness),
  ):
    for sign in (1.0, -1.0):
      theirs = np.asarray(enhance(picture).enhance(1 + sign * 0.45), int)
      inner = (slice(1, -1), slice(1, -1))  # Pillow leaves the border of a filtered picture alone
      assert np.abs(ours(name, sign)[inner] - theirs[inner]).max() <= 2.5, (name, sign)
  np.testing.assert_array_equal(ours('solarize', 1.0), np.where(x[0] >= 127.5, 255 - x[0], x[0]))
  np.testing.assert_array_equal(ours('posterize', 1.0), np.asarray(ImageOps.posterize(picture, 6)))
  turned = np.asarray(picture.rotate(15, Image.Resampling.BILINEAR), int)
  middle = (slice(7, 17), slice(7, 17))
  assert (
    min(np.abs(ours('rotate', sign)[middle] - turned[middle]).max() for sign in (1.0, -1.0)) <= 3
  )


def test_translation_moves_by_its_share_and_repeats_the_border():
  x = pictures(1).astype(jnp.float32)
  moved = np.asarray(randaugment.apply(x, 'translate_x', sign=1.0, magnitude=10 * 6 / (0.45 * 24)))
  np.testing.assert_allclose(moved[0, :, :18], x[0, :, 6:], atol=1e-3)
  np.testing.assert_allclose(moved[0, :, 18:], np.repeat(x[0, :, -1:], 6, 1), atol=1e-3)


def test_randaugment_draws_other_operations_for_other_examples():
  config = settings()
  config.augment.randaugment, config.augment.magnitude = 2, 9.0
  out = np.asarray(augment(pictures(32), jnp.arange(32), config, seed=0))
  assert len({picture.tobytes() for picture in out}) > 16
  again = np.asarray(augment(pictures(4), jnp.array([3, 9, 1, 31]), config, seed=0))
  np.testing.assert_array_equal(again, out[[3, 9, 1, 31]])


def test_several_operations_follow_one_another():
  images = pictures(6).astype(jnp.float32)
  keys = jax.random.split(jax.random.key(3), 6)
  found = randaugment.randaugment(images, keys, operations=3, magnitude=7.0)
  for picture, key, result in zip(images, keys, found, strict=True):
    expected = picture[None]
    for i in range(3):
      choice, sign = randaugment._draw(jax.random.fold_in(key, 2 + i))
      name = randaugment.OPERATIONS[int(choice)]
      expected = randaugment.apply(expected, name, sign=float(sign), magnitude=7.0)
    np.testing.assert_allclose(result, expected[0], atol=1e-2)


def test_mixup_mixes_each_picture_with_its_neighbour():
  rng = np.random.default_rng(0)
  images = jnp.asarray(rng.integers(0, 256, (6, 8, 8, 3), np.uint8))
  labels = {'artist': jnp.arange(6)}
  mixed, share, partner = mixup(images, labels, jnp.arange(6), alpha=0.4, seed=0)
  assert partner['artist'].tolist() == [5, 0, 1, 2, 3, 4]
  share = np.asarray(share)
  assert (share >= 0.5).all() and (share <= 1).all() and len(set(share.tolist())) == 6
  x = np.asarray(images, np.float32)
  expected = share[:, None, None, None] * x + (1 - share)[:, None, None, None] * np.roll(x, 1, 0)
  np.testing.assert_allclose(mixed, expected, rtol=1e-5)
