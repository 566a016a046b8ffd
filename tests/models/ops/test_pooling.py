"""Pooling by its definition, and its CPU form against XLA's own."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_convolution import assert_same, value_and_gradients

from flaxart.machine.target import use_target
from flaxart.models.ops.pooling import average_pool, global_average, max_pool


def test_max_pool_by_its_definition():
  x = np.random.default_rng(0).normal(-5, 1, (1, 6, 7, 2)).astype(np.float32)  # padding never wins
  padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
  expected = np.array(
    [
      [padded[0, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max((0, 1)) for j in range(4)]
      for i in range(3)
    ]
  )[None]
  np.testing.assert_array_equal(max_pool(jnp.asarray(x), 3, stride=2, padding=1), expected)


@pytest.mark.parametrize('count_padding', [True, False])
def test_average_pool_at_the_border(count_padding):
  y = average_pool(jnp.ones((1, 4, 4, 1)), 3, count_padding=count_padding)[0, :, :, 0]
  corner, edge = (4 / 9, 6 / 9) if count_padding else (1, 1)
  np.testing.assert_allclose([y[0, 0], y[0, 1], y[1, 1]], [corner, edge, 1], rtol=1e-6)


def test_global_average_sums_in_float32():
  x = jnp.full((1, 64, 64, 1), 1.0, jnp.bfloat16).at[0, 0, 0, 0].set(3.0)
  y = global_average(x)
  assert y.dtype == jnp.float32
  np.testing.assert_allclose(y[0, 0], 1 + 2 / 4096, rtol=1e-6)


@pytest.mark.parametrize('ties', [False, True])
@pytest.mark.parametrize('size', [(8, 8), (9, 10), (7, 5)])
@pytest.mark.parametrize(
  ('window', 'stride', 'padding'),
  [(3, 2, 1), (3, 2, 'SAME'), (3, 2, 'VALID'), (2, 2, 'VALID'), (3, 1, ((0, 2), (1, 1)))],
)
def test_the_form_for_cpus_and_gpus_equals_that_for_tpus(window, stride, padding, size, ties):
  x = np.random.default_rng(0).normal(size=(2, *size, 3))
  x = np.round(x) if ties else x  # the first of equal ones has the gradient
  results = []
  with jax.enable_x64(True):
    pool = jax.jit(lambda x: max_pool(x, window, stride=stride, padding=padding))
    for name, scatters in (('cpu', 0), ('gpu', 0), ('tpu', 1)):
      with use_target(name):
        results.append(value_and_gradients(pool, x))
        program = str(jax.make_jaxpr(lambda x: jax.vjp(pool, x)[1](pool(x)))(x))
        assert program.count('select_and_scatter') == scatters
  assert_same(results[0], results[1])
  assert_same(results[0], results[2])
  np.testing.assert_array_equal(results[0][0], results[1][0])


@pytest.mark.parametrize('count_padding', [True, False])
def test_average_pool_for_a_cpu_equals_xlas(count_padding):
  x = np.random.default_rng(0).normal(size=(2, 7, 6, 3))
  results = []
  with jax.enable_x64(True):
    for name in ('cpu', 'tpu'):
      with use_target(name):
        results.append(
          value_and_gradients(lambda x: average_pool(x, 3, count_padding=count_padding), x)
        )
  assert_same(*results)


def test_the_largest_of_bfloat16_stays_bfloat16():
  x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 6, 6, 2)), jnp.bfloat16)
  y, pull = jax.vjp(lambda x: max_pool(x, 3, stride=2, padding=1), x)
  assert y.dtype == pull(y)[0].dtype == jnp.bfloat16
