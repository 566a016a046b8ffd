"""Transformed kernels: equal results, made once for a shape, and really used."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from flax import nnx

from flaxart.machine.target import use_target
from flaxart.models.layers import Conv, Window, pointwise
from flaxart.models.ops import winograd
from flaxart.models.ops.convolution import convolve
from flaxart.models.ops.kernel_forms import Inference, kernel_form

WINDOWS = [(3, 3), (7, 1), (1, 7)]  # Winograd's, and two by spectra, one of them rotated


def two_layers(arrays, x):
  return convolve(convolve(x, arrays['first']), arrays['second'])


def network(window):
  rng = np.random.default_rng(0)
  kernels = {k: rng.normal(size=(*window, 64, 64)).astype(np.float32) for k in ('first', 'second')}
  return kernels, rng.normal(size=(8, 11, 11, 64)).astype(np.float32)


@pytest.mark.parametrize('window', WINDOWS)
def test_results_are_those_without(window):
  arrays, x = network(window)
  with use_target('cpu'):
    inference = Inference(two_layers, arrays)
    for batch in (x, x[::-1], x[:, :, :9]):  # the last one has another shape
      expected = np.asarray(jax.jit(two_layers)(arrays, batch))
      found = np.asarray(inference(batch))
      np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize('window', WINDOWS)
def test_forms_made_before_are_used(window):
  arrays, x = network(window)
  with use_target('cpu'):
    inference = Inference(two_layers, arrays)
    once = np.asarray(inference(x))
    shape, forms = inference._made
    assert len(forms) == 2
    inference._made = shape, jax.tree.map(lambda form: 2 * form, forms)
    np.testing.assert_allclose(
      np.asarray(inference(x)), 4 * once, rtol=0, atol=1e-5 * np.abs(once).max()
    )


def test_kernels_that_are_joined_have_one_form():
  convs = [Conv(64, n, Window(1), rngs=nnx.Rngs(n)) for n in (64, 32)]
  arrays, x = network((3, 3))
  graph, kernels = nnx.split(convs)

  def branches(arrays, x):
    convs = nnx.merge(graph, arrays['convs'], copy=True)
    wide, narrow = pointwise(convs, convolve(x, arrays['first']))
    return convolve(wide, arrays['second']), narrow

  with use_target('cpu'):
    inference = Inference(branches, {**arrays, 'convs': kernels})
    found, expected = inference(x), jax.jit(branches)(inference.arrays, x)
  assert len(inference._made[1]) == 3
  for a, b in zip(found, expected, strict=True):
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-6 * np.abs(b).max())


def test_it_is_made_once_for_a_shape(monkeypatch):
  arrays, x = network((3, 3))
  made = []
  inference = Inference(two_layers, arrays)
  make = inference._make
  monkeypatch.setattr(inference, '_make', lambda *a: made.append(1) or make(*a))
  with use_target('cpu'):
    for batch in (x, x + 1, x[:4], x[:4], x):
      inference(batch)
  assert len(made) == 3


def test_no_form_is_made_for_plain_kernels():
  arrays, x = network((3, 3))
  with use_target('tpu'):
    inference = Inference(two_layers, arrays)
    inference(x)
  assert inference._made[1] == []


def test_outside_it_a_form_is_made_again():
  assert kernel_form(lambda kernel: kernel + 1, np.zeros(2)).tolist() == [1, 1]
  points = kernel_form(winograd._kernel_points, np.ones((3, 3, 2, 2), np.float32))
  assert len(points) == 16
