"""The CPU form of a convolution against XLA's own, values and gradients, in float64."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flaxart.machine.target import use_target
from flaxart.models.ops import convolution, winograd
from flaxart.models.ops.convolution import (
  FEW_CHANNELS,
  convolve,
  convolve_depthwise,
  explicit_pads,
)

MANY = FEW_CHANNELS + 1  # channels on the other side of the switch in the kernel gradient

CASES = [  # window, stride, padding, (height, width), channels
  ((1, 1), 1, 'SAME', (5, 6), 3),
  ((1, 1), 2, 'SAME', (7, 8), 3),
  ((1, 1), 2, 1, (5, 6), 3),
  ((3, 3), 1, 'SAME', (9, 8), MANY),
  ((3, 3), 1, 'VALID', (6, 5), 3),
  ((3, 3), 2, 'SAME', (8, 9), 3),
  ((3, 3), 2, 'VALID', (9, 8), MANY),
  ((3, 3), 2, 1, (8, 7), 3),
  ((3, 3), 2, ((0, 1), (2, 0)), (9, 8), 3),
  ((3, 3), 3, ((1, 0), (0, 2)), (10, 11), 3),
  ((1, 7), 1, 'SAME', (6, 9), 3),
  ((7, 1), 1, 'SAME', (9, 6), 3),
  ((5, 5), 2, 'SAME', (11, 12), 3),
  ((7, 7), 2, 3, (13, 12), 3),
]


def value_and_gradients(function, *arrays: np.ndarray) -> list[np.ndarray]:
  """The output, and the gradient of a weighted sum of it with respect to each input."""
  y, pull = jax.vjp(function, *arrays)
  weights = jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)
  return [np.asarray(a) for a in (y, *pull(weights))]


def assert_same(ours: list[np.ndarray], theirs: list[np.ndarray]) -> None:
  for a, b in zip(ours, theirs, strict=True):
    assert a.shape == b.shape and a.dtype == b.dtype == np.float64
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * np.abs(b).max())


def theirs(pads):
  """XLA's own convolution of stride 1."""
  return lambda x, kernel: jax.lax.conv_general_dilated(
    x, kernel, (1, 1), pads, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
  )


def assert_float32_loses_no_more(x: np.ndarray, kernel: np.ndarray, pads) -> None:
  """Values and gradients of float64 arrays in float32: about the errors of XLA's convolution."""
  with jax.enable_x64(True):
    exact = value_and_gradients(theirs(pads), x, kernel)
  single = [a.astype(np.float32) for a in (x, kernel)]
  with use_target('cpu'):
    ours = value_and_gradients(lambda *a: convolve(*a, padding=pads), *single)
  native = value_and_gradients(theirs(pads), *single)
  for a, b, c in zip(exact, ours, native, strict=True):
    largest = np.abs(a).max()
    error, theirs_error = (np.abs(y - a).max() / largest for y in (b, c))
    assert error < 2e-6 and error < 5 * theirs_error + 1e-7


@pytest.mark.parametrize(  # each way of the forward pass and of the kernel's gradient
  'limits', [{}, {'SMALL': 0}, {'FLAT': 0}, {'FLAT': 0, 'WIDE': 0}, {'FLAT': 0, 'TINY': 99}]
)
@pytest.mark.parametrize(('window', 'stride', 'padding', 'size', 'channels'), CASES)
def test_matrix_products_equal_the_convolution(
  window, stride, padding, size, channels, limits, monkeypatch
):
  for name, value in limits.items():
    monkeypatch.setattr(convolution, name, value)
  rng = np.random.default_rng(0)
  with jax.enable_x64(True):
    x, kernel = rng.normal(size=(2, *size, channels)), rng.normal(size=(*window, channels, 4))
    pads = explicit_pads(padding, size, window, stride)

    def theirs(x, kernel):
      return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), pads, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
      )

    with use_target('cpu'):
      ours = value_and_gradients(
        lambda x, k: convolve(x, k, stride=stride, padding=padding), x, kernel
      )
    assert_same(ours, value_and_gradients(theirs, x, kernel))


@pytest.mark.parametrize('padding', ['SAME', 'VALID', ((0, 1), (2, 0))])
def test_depthwise_equals_the_grouped_convolution(padding):
  rng = np.random.default_rng(1)
  with jax.enable_x64(True):
    x, kernel = rng.normal(size=(2, 7, 8, 5)), rng.normal(size=(3, 3, 1, 5))
    results = []
    for name in ('cpu', 'tpu'):
      with use_target(name):
        results.append(
          value_and_gradients(lambda x, k: convolve_depthwise(x, k, padding=padding), x, kernel)
        )
    assert_same(*results)


@pytest.mark.parametrize('depthwise', [True, False])
def test_kernel_gradients_in_bfloat16_lose_no_more_in_large_batches(depthwise, monkeypatch):
  monkeypatch.setattr(winograd, 'LARGE', 0)  # parts of a batch, whose sums are added up
  monkeypatch.setattr(winograd, 'PART', 2**12)
  rng = np.random.default_rng(2)
  convolution_of = convolve_depthwise if depthwise else convolve
  x = jnp.asarray(rng.normal(size=(256, 6, 6, 32)), jnp.bfloat16)
  kernel = jnp.asarray(rng.normal(size=(3, 3, 1 if depthwise else 32, 32)), jnp.bfloat16)
  dy = jnp.asarray(rng.normal(size=x.shape), jnp.bfloat16)

  def kernel_gradient(*arrays):
    (x, kernel, dy) = arrays
    with use_target('cpu'):
      return jax.vjp(convolution_of, x, kernel)[1](dy)[1]

  half = kernel_gradient(x, kernel, dy)
  exact = kernel_gradient(*(a.astype(jnp.float32) for a in (x, kernel, dy)))
  assert half.dtype == jnp.bfloat16
  error = np.linalg.norm(half.astype(jnp.float32) - exact) / np.linalg.norm(exact)
  assert error < 8e-3  # one rounding to 8 bits: 1.5e-3; Winograd's points are rounded as well


@pytest.mark.parametrize('size', range(1, 12))
@pytest.mark.parametrize(('window', 'stride'), [(1, 2), (3, 1), (3, 2), (5, 2), (7, 2), (3, 3)])
def test_same_padding_is_tensorflows(size, window, stride):
  pads = explicit_pads('SAME', (size, size), (window, window), stride)
  theirs = jax.lax.padtype_to_pads((size, size), (window, window), (stride, stride), 'SAME')
  assert [tuple(p) for p in pads] == [tuple(p) for p in theirs]


def test_unknown_padding_is_refused():
  with pytest.raises(ValueError, match='expected SAME'):
    explicit_pads('REFLECT', (5, 5), (3, 3), 1)
