"""Convolutions by spectra against XLA's own: values and gradients, in float64 and float32."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from test_convolution import (
  assert_float32_loses_no_more,
  assert_same,
  theirs,
  value_and_gradients,
)

from flaxart.machine.target import use_target
from flaxart.models.ops import spectral
from flaxart.models.ops.convolution import convolve

SAME = {(1, 7): ((0, 0), (3, 3)), (7, 1): ((3, 3), (0, 0)), (5, 5): ((2, 2), (2, 2))}
CASES = [  # window, padding of each side, (height, width): even and odd lengths of the transform
  ((1, 7), SAME[1, 7], (6, 11)),
  ((1, 7), SAME[1, 7], (6, 12)),
  ((7, 1), SAME[7, 1], (11, 6)),
  ((5, 5), SAME[5, 5], (11, 12)),
  ((4, 6), ((0, 0), (0, 0)), (7, 19)),
  ((1, 7), ((0, 0), (5, 1)), (6, 11)),
  ((7, 2), ((0, 6), (1, 0)), (11, 7)),
]


@pytest.mark.parametrize(('window', 'pads', 'size'), CASES)
def test_it_equals_the_convolution(window, pads, size):
  rng = np.random.default_rng(0)
  with jax.enable_x64(True), use_target('cpu'):
    x, kernel = rng.normal(size=(16, *size, 100)), rng.normal(size=(*window, 100, 101))
    assert spectral.worth_while(x.shape, kernel.shape, 1, pads)
    ours = value_and_gradients(lambda *a: convolve(*a, padding=pads), x, kernel)
    assert_same(ours, value_and_gradients(theirs(pads), x, kernel))


@pytest.mark.parametrize('window', list(SAME))
def test_float32_loses_no_more_than_the_definition(window):
  rng = np.random.default_rng(0)
  pads = SAME[window]
  x, kernel = rng.normal(size=(4, 17, 17, 64)), rng.normal(size=(*window, 64, 64))
  assert_float32_loses_no_more(x, kernel, pads)


@pytest.mark.parametrize(
  ('x', 'kernel', 'stride', 'pads'),
  [
    ((16, 17, 17, 192), (1, 7, 192, 192), 2, SAME[1, 7]),
    ((16, 17, 17, 192), (1, 1, 192, 192), 1, ((0, 0), (0, 0))),
    ((16, 35, 35, 96), (3, 3, 96, 96), 1, ((1, 1), (1, 1))),  # six tenths and more
    ((16, 17, 17, 8), (1, 7, 8, 8), 1, SAME[1, 7]),  # the transforms cost more than they save
    ((1, 17, 17, 192), (1, 7, 192, 192), 1, SAME[1, 7]),  # too few rows
  ],
)
def test_what_it_cannot_do_or_not_faster_is_left_alone(x, kernel, stride, pads):
  assert not spectral.worth_while(x, kernel, stride, pads)


def test_inception_v3_takes_it_at_both_of_its_usual_sizes():
  for size in (7, 17):  # of the maps between its two last reductions, at 139 and 299 px
    for window in ((1, 7), (7, 1)):
      assert spectral.worth_while((16, size, size, 128), (*window, 128, 128), 1, SAME[window])
  for size in (15, 35):
    assert spectral.worth_while((16, size, size, 48), (5, 5, 48, 64), 1, SAME[5, 5])


def test_a_program_of_it_has_no_convolution():
  x, kernel = np.ones((8, 17, 17, 64), np.float32), np.ones((1, 7, 64, 64), np.float32)
  with use_target('cpu'):
    text = str(jax.make_jaxpr(lambda *a: convolve(*a, padding=SAME[1, 7]))(x, kernel))
  assert 'conv_general_dilated' not in text and text.count('dot_general') == 4
