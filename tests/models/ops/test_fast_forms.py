"""Winograd's 3x3 convolution and those by spectra against XLA's own: values and gradients."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from test_convolution import assert_float32_loses_no_more, assert_same, theirs, value_and_gradients

from flaxart.machine.target import use_target
from flaxart.models.ops import spectral, winograd
from flaxart.models.ops.convolution import convolve

INPUTS, OUTPUTS = winograd.CHANNELS, winograd.CHANNELS + 1
ONE = ((1, 1), (1, 1))
SAME = {(1, 7): ((0, 0), (3, 3)), (7, 1): ((3, 3), (0, 0)), (5, 5): ((2, 2), (2, 2))}
PADS = [  # padding of each side, (height, width): even, odd and both
  (ONE, (8, 10)),
  (ONE, (9, 7)),
  (((0, 0), (0, 0)), (11, 8)),
  (((2, 0), (0, 1)), (8, 9)),
]
CASES = [(winograd, (3, *size, INPUTS), (3, 3, INPUTS, OUTPUTS), pads) for pads, size in PADS]
CASES += [
  (spectral, (16, *size, 100), (*window, 100, 101), pads)
  for window, pads, size in [  # even and odd lengths of the transform
    ((1, 7), SAME[1, 7], (6, 11)),
    ((1, 7), SAME[1, 7], (6, 12)),
    ((7, 1), SAME[7, 1], (11, 6)),
    ((5, 5), SAME[5, 5], (11, 12)),
    ((4, 6), ((0, 0), (0, 0)), (7, 19)),
    ((1, 7), ((0, 0), (5, 1)), (6, 11)),
    ((7, 2), ((0, 6), (1, 0)), (11, 7)),
  ]
]


@pytest.mark.parametrize(('form', 'x', 'kernel', 'pads'), CASES)
def test_it_equals_the_convolution(form, x, kernel, pads):
  rng = np.random.default_rng(0)
  with jax.enable_x64(True), use_target('cpu'):
    assert form.worth_while(x, kernel, 1, pads)
    x, kernel = rng.normal(size=x), rng.normal(size=kernel)
    ours = value_and_gradients(lambda *a: convolve(*a, padding=pads), x, kernel)
    assert_same(ours, value_and_gradients(theirs(pads), x, kernel))


@pytest.mark.parametrize(
  ('size', 'window', 'pads'), [(16, (3, 3), ONE), *((17, w, SAME[w]) for w in SAME)]
)
def test_float32_loses_no_more_than_the_definition(size, window, pads):
  rng = np.random.default_rng(0)
  x, kernel = rng.normal(size=(4, size, size, 64)), rng.normal(size=(*window, 64, 64))
  assert_float32_loses_no_more(x, kernel, pads)


@pytest.mark.parametrize(('pads', 'size'), PADS)
def test_a_large_batch_in_parts_gives_the_same(pads, size, monkeypatch):
  rng = np.random.default_rng(0)
  x, kernel = rng.normal(size=(6, *size, INPUTS)), rng.normal(size=(3, 3, INPUTS, OUTPUTS))
  monkeypatch.setattr(winograd, 'LARGE', x.size - 1)
  monkeypatch.setattr(winograd, 'NARROW', 0)
  with jax.enable_x64(True), use_target('cpu'):
    for part, parts in ((x.size // 2, 3), (1, 6)):
      monkeypatch.setattr(winograd, 'PART', part)
      assert winograd._parts(x, OUTPUTS) == parts
      program = str(jax.make_jaxpr(lambda *a: winograd.convolve(*a, pads))(x, kernel))
      assert 'scan' in program
      ours = value_and_gradients(lambda *a: convolve(*a, padding=pads), x, kernel)
      assert_same(ours, value_and_gradients(theirs(pads), x, kernel))


def test_points_larger_than_the_cache_are_only_used_for_the_kernels_gradient():
  x, narrow, wide = (16, 128, 128, 64), (3, 3, 64, 64), (3, 3, 64, 96)
  assert winograd.fits(x, narrow, 1, ONE) and not winograd.worth_while(x, narrow, 1, ONE)
  assert winograd.worth_while((4, *x[1:]), narrow, 1, ONE)
  assert winograd.worth_while((*x[:3], 96), (3, 3, 96, 96), 1, ONE)
  assert not winograd.worth_while(x, wide, 1, ONE)


@pytest.mark.parametrize(
  ('form', 'x', 'kernel', 'stride', 'pads'),
  [
    (winograd, (3, 8, 8, 32), (3, 3, 32, 32), 2, ONE),
    (winograd, (3, 8, 8, 32), (1, 3, 32, 32), 1, ONE),
    (winograd, (3, 8, 8, 31), (3, 3, 31, 32), 1, ONE),
    (winograd, (1, 8, 8, 32), (3, 3, 32, 32), 1, ONE),
    (spectral, (16, 17, 17, 192), (1, 7, 192, 192), 2, SAME[1, 7]),
    (spectral, (16, 17, 17, 192), (1, 1, 192, 192), 1, ((0, 0), (0, 0))),
    (spectral, (16, 35, 35, 96), (3, 3, 96, 96), 1, ONE),  # six tenths and more
    (spectral, (16, 17, 17, 8), (1, 7, 8, 8), 1, SAME[1, 7]),  # transforms cost more than they save
    (spectral, (1, 17, 17, 192), (1, 7, 192, 192), 1, SAME[1, 7]),  # too few rows
  ],
)
def test_impossible_or_slower_convolutions_are_left_to_xla(form, x, kernel, stride, pads):
  assert not form.worth_while(x, kernel, stride, pads)


def test_inception_v3_takes_spectra_at_both_of_its_usual_sizes():
  for size in (7, 17):  # of the maps between its two last reductions, at 139 and 299 px
    for window in ((1, 7), (7, 1)):
      assert spectral.worth_while((16, size, size, 128), (*window, 128, 128), 1, SAME[window])
  for size in (15, 35):
    assert spectral.worth_while((16, size, size, 48), (5, 5, 48, 64), 1, SAME[5, 5])


@pytest.mark.parametrize(
  ('x', 'kernel', 'pads', 'products'),
  [
    ((3, 8, 8, 32), (3, 3, 32, 32), ONE, 16),
    ((8, 17, 17, 64), (1, 7, 64, 64), SAME[1, 7], 4),
  ],
)
def test_a_program_of_it_has_no_convolution(x, kernel, pads, products):
  x, kernel = np.ones(x, np.float32), np.ones(kernel, np.float32)
  with use_target('cpu'):
    text = str(jax.make_jaxpr(lambda *a: convolve(*a, padding=pads))(x, kernel))
  assert 'conv_general_dilated' not in text and text.count('dot_general') == products
