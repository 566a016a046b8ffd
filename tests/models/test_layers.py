"""BatchNorm, pooling and padding against their definitions in NumPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from flaxart.machine.target import use_target
from flaxart.models.layers import (
  BatchNorm,
  Conv,
  Depthwise,
  Window,
  batch_norms,
  pointwise,
  scaled,
)


def norm_with(features: int = 3, **fields) -> BatchNorm:
  """A BatchNorm whose parameters and statistics are far from their initial values."""
  norm = BatchNorm(features, epsilon=1e-3, momentum=0.9, **fields)
  rng = np.random.default_rng(0)
  if norm.scale is not None:
    norm.scale[...] = jnp.asarray(rng.uniform(0.5, 2, features), jnp.float32)
  norm.bias[...] = jnp.asarray(rng.normal(size=features), jnp.float32)
  norm.mean[...] = jnp.asarray(rng.normal(size=features), jnp.float32)
  norm.var[...] = jnp.asarray(rng.uniform(0.5, 2, features), jnp.float32)
  return norm


def normalised(x: np.ndarray, mean, var, norm: BatchNorm) -> np.ndarray:
  scale = 1.0 if norm.scale is None else np.asarray(norm.scale[...])
  return (x - mean) / np.sqrt(var + norm.epsilon) * scale + np.asarray(norm.bias[...])


@pytest.mark.parametrize('use_scale', [True, False])
def test_batch_norm_by_its_definition(use_scale):
  norm = norm_with(use_scale=use_scale)
  x = np.random.default_rng(1).normal(1, 2, (4, 5, 6, 3)).astype(np.float32)
  old_mean, old_var = np.asarray(norm.mean[...]), np.asarray(norm.var[...])

  np.testing.assert_allclose(
    norm(jnp.asarray(x), train=False), normalised(x, old_mean, old_var, norm), atol=2e-6
  )
  np.testing.assert_array_equal(norm.mean[...], old_mean)  # inference moves nothing

  mean, var = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
  np.testing.assert_allclose(
    norm(jnp.asarray(x), train=True), normalised(x, mean, var, norm), atol=2e-5
  )
  np.testing.assert_allclose(norm.mean[...], 0.9 * old_mean + 0.1 * mean, rtol=1e-5)
  np.testing.assert_allclose(norm.var[...], 0.9 * old_var + 0.1 * var, rtol=1e-5)


def test_frozen_norm_keeps_its_statistics_in_training():
  norm = norm_with()
  norm.frozen = True
  x = jax.random.normal(jax.random.key(0), (4, 5, 6, 3)) * 3 + 1
  before = np.asarray(norm.mean[...]), np.asarray(norm.var[...])
  np.testing.assert_array_equal(norm(x, train=True), norm(x, train=False))
  np.testing.assert_array_equal(norm.mean[...], before[0])
  np.testing.assert_array_equal(norm.var[...], before[1])


def test_variance_survives_a_large_mean():
  norm = BatchNorm(1, epsilon=1e-3, momentum=0.9)
  norm.mean[...] = jnp.array([10_000.0])  # where training has brought it
  x = 10_002 + np.random.default_rng(0).normal(size=(8, 16, 16, 1)).astype(np.float32)
  norm(jnp.asarray(x), train=True)
  batch = (np.asarray(norm.var[...]) - 0.9) / 0.1
  np.testing.assert_allclose(batch, x.astype(np.float64).var(), rtol=1e-3)
  naive = np.mean(x * x, dtype=np.float32) - np.mean(x, dtype=np.float32) ** 2
  assert abs(naive - 1) > 0.5  # what the pivot is for


def test_gradient_flows_through_batch_statistics():
  norm = norm_with()
  graphdef, params, stats = nnx.split(norm, nnx.Param, nnx.BatchStat)
  x = jax.random.normal(jax.random.key(0), (4, 3, 3, 3))

  def total(x):
    return jnp.sum(nnx.merge(graphdef, params, stats, copy=True)(x, train=True) ** 3)

  def reference(x):
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    y = (x - mean) / jnp.sqrt(var + norm.epsilon) * norm.scale[...] + norm.bias[...]
    return jnp.sum(y**3)

  np.testing.assert_allclose(jax.grad(total)(x), jax.grad(reference)(x), atol=2e-3, rtol=1e-3)


def test_bfloat16_statistics_are_float32():
  norm = norm_with()
  x = (300 + jax.random.normal(jax.random.key(0), (8, 8, 8, 3))).astype(jnp.bfloat16)
  assert norm(x, train=True).dtype == jnp.bfloat16
  assert norm.mean[...].dtype == norm.var[...].dtype == jnp.float32
  batch = (np.asarray(norm.mean[...]) - 0.9 * np.asarray(norm_with().mean[...])) / 0.1
  np.testing.assert_allclose(batch, np.asarray(x, np.float64).mean((0, 1, 2)), rtol=1e-4)


def test_batch_norms_lists_every_layer_with_its_path():
  class Two(nnx.Module):
    def __init__(self):
      rngs = nnx.Rngs(0)
      self.first = Conv(3, 4, Window(1), rngs=rngs, norm=BatchNorm(4, epsilon=1e-3, momentum=0.9))
      self.second = Conv(4, 4, Window(1), rngs=rngs, use_bias=True)
      self.third = Conv(4, 5, Window(1), rngs=rngs, norm=BatchNorm(5, epsilon=1e-3, momentum=0.9))

  model = Two()
  found = dict(batch_norms(model))
  assert list(found) == [('first', 'norm'), ('third', 'norm')]
  found['third', 'norm'].frozen = True
  assert model.third.norm.frozen and not model.first.norm.frozen


def test_convolutions_computed_as_one_are_those_alone():
  convs = [Conv(6, n, Window(1), rngs=nnx.Rngs(n)) for n in (4, 1, 7)]
  graph, kernels = nnx.split(convs)
  x = jax.random.normal(jax.random.key(1), (2, 5, 5, 6))

  def squares(together, kernels, x):
    convs = nnx.merge(graph, kernels)
    outputs = pointwise(convs, x) if together else [conv(x, train=True) for conv in convs]
    return sum((i + 1) * jnp.sum(y**2) for i, y in enumerate(outputs)), outputs

  gradient = jax.grad(squares, argnums=(1, 2), has_aux=True)
  for one, other in zip(
    jax.tree.leaves(gradient(True, kernels, x)),
    jax.tree.leaves(gradient(False, kernels, x)),
    strict=True,
  ):
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


LAYERS = {
  'bias': lambda: Conv(16, 16, Window(1), rngs=nnx.Rngs(0), use_bias=True),
  '3x3': lambda: Conv(16, 16, Window(3), rngs=nnx.Rngs(0), use_bias=True),
  'stride': lambda: Conv(16, 16, Window(3, 2), rngs=nnx.Rngs(0), norm=norm_with(16)),
  'frozen': lambda: Conv(16, 16, Window(1), rngs=nnx.Rngs(0), use_bias=True, norm=frozen_norm(16)),
  'depthwise': lambda: Depthwise(16, 3, rngs=nnx.Rngs(0)),
  'norm': lambda: norm_with(16),
}


def frozen_norm(features):
  norm = norm_with(features)
  norm.frozen = True
  return norm


@pytest.mark.parametrize('target', ['cpu', 'gpu'])
@pytest.mark.parametrize('name', LAYERS)
def test_gradients_in_bfloat16_are_those_of_double_precision(name, target):
  x = jax.random.normal(jax.random.key(0), (16, 40, 40, 16), jnp.bfloat16)
  graph, params, stats = nnx.split(LAYERS[name](), nnx.Param, nnx.BatchStat)
  # Parameters exact in bfloat16, so that their rounding is not an error of the gradient.
  params = jax.tree.map(lambda p: p.astype(jnp.bfloat16).astype(jnp.float32), params)

  def gradients(params, stats, x):
    def apply(params, x):
      layer = nnx.merge(graph, params, stats, copy=True)
      return layer(x) if name == 'depthwise' else layer(x, train=True)

    y, pull = jax.vjp(apply, params, x)
    dy = 1 + jax.random.normal(jax.random.key(1), y.shape, jnp.bfloat16)
    return pull(dy.astype(y.dtype))

  with use_target(target):
    half = jax.jit(gradients)(params, stats, x)
  with jax.enable_x64(True):
    exact = jax.jit(gradients)(*jax.tree.map(lambda a: a.astype(jnp.float64), (params, stats, x)))
  for a, b in zip(jax.tree.leaves(half), jax.tree.leaves(exact), strict=True):
    a, b = (np.asarray(g, np.float64) for g in (a, b))
    assert np.linalg.norm(a - b) < 1e-2 * np.linalg.norm(b)


def test_a_bias_before_batch_statistics_has_no_gradient_and_none_is_computed():
  conv = Conv(3, 4, Window(1), rngs=nnx.Rngs(0), use_bias=True, norm=norm_with(4))
  graph, params, stats = nnx.split(conv, nnx.Param, nnx.BatchStat)
  x = jax.random.normal(jax.random.key(0), (4, 5, 5, 3))
  for frozen, keras2, zero in ((False, False, True), (True, True, True), (True, False, False)):
    conv.norm.frozen, conv.norm.keras2 = frozen, keras2
    graph = nnx.split(conv, nnx.Param, nnx.BatchStat)[0]

    def total(params, graph=graph):
      return jnp.sum(nnx.merge(graph, params, stats, copy=True)(x, train=True) ** 3)

    gradient = jax.grad(total)(params)
    assert (np.asarray(gradient['bias'][...]) == 0).all() == zero
    assert (np.asarray(gradient['norm']['bias'][...]) != 0).all()


def test_width_multiplier_rounds_and_keeps_one_channel():
  assert [scaled(64, w) for w in (1.0, 0.125, 0.001)] == [64, 8, 1]
