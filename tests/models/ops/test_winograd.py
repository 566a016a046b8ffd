"""Winograd's 3x3 convolution against XLA's own: values and gradients, in float64 and float32."""

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
from flaxart.models.ops import winograd
from flaxart.models.ops.convolution import convolve

INPUTS, OUTPUTS = winograd.CHANNELS, winograd.CHANNELS + 1
CASES = [  # padding of each side, (height, width): even, odd and both
  (((1, 1), (1, 1)), (8, 10)),
  (((1, 1), (1, 1)), (9, 7)),
  (((0, 0), (0, 0)), (11, 8)),
  (((2, 0), (0, 1)), (8, 9)),
]


@pytest.mark.parametrize(('pads', 'size'), CASES)
def test_it_equals_the_convolution(pads, size):
  rng = np.random.default_rng(0)
  with jax.enable_x64(True), use_target('cpu'):
    x, kernel = rng.normal(size=(3, *size, INPUTS)), rng.normal(size=(3, 3, INPUTS, OUTPUTS))
    assert winograd.worth_while(x.shape, kernel.shape, 1, pads)
    ours = value_and_gradients(lambda *a: convolve(*a, padding=pads), x, kernel)
    assert_same(ours, value_and_gradients(theirs(pads), x, kernel))


def test_float32_loses_no_more_than_the_definition():
  rng = np.random.default_rng(0)
  pads = ((1, 1), (1, 1))
  x, kernel = rng.normal(size=(4, 16, 16, 64)), rng.normal(size=(3, 3, 64, 64))
  assert_float32_loses_no_more(x, kernel, pads)


@pytest.mark.parametrize(('pads', 'size'), CASES)
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


def test_where_points_outgrow_the_cache_only_the_kernels_gradient_is_left():
  pads = ((1, 1), (1, 1))
  x, narrow, wide = (16, 128, 128, 64), (3, 3, 64, 64), (3, 3, 64, 96)
  assert winograd.fits(x, narrow, 1, pads) and not winograd.worth_while(x, narrow, 1, pads)
  assert winograd.worth_while((4, *x[1:]), narrow, 1, pads)
  assert winograd.worth_while((*x[:3], 96), (3, 3, 96, 96), 1, pads)
  assert not winograd.worth_while(x, wide, 1, pads)


@pytest.mark.parametrize(
  ('x', 'kernel', 'stride'),
  [
    ((3, 8, 8, 32), (3, 3, 32, 32), 2),
    ((3, 8, 8, 32), (1, 3, 32, 32), 1),
    ((3, 8, 8, 31), (3, 3, 31, 32), 1),
    ((1, 8, 8, 32), (3, 3, 32, 32), 1),
  ],
)
def test_what_it_cannot_do_or_not_faster_is_left_alone(x, kernel, stride):
  assert not winograd.worth_while(x, kernel, stride, ((1, 1), (1, 1)))


def test_a_program_of_it_has_no_convolution():
  x, kernel = np.ones((3, 8, 8, 32), np.float32), np.ones((3, 3, 32, 32), np.float32)
  pads = ((1, 1), (1, 1))
  with use_target('cpu'):
    text = str(jax.make_jaxpr(lambda *a: convolve(*a, padding=pads))(x, kernel))
  assert 'conv_general_dilated' not in text and text.count('dot_general') == 16
