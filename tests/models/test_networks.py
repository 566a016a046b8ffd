"""All four networks by one set of tests, slim and shallow; sizes and counts at full width."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from flaxart.models import cards, create_trunk
from flaxart.models.fold import fold_batchnorm
from flaxart.models.layers import Conv, Depthwise, Window, batch_norms
from tfds_rijks.errors import UserError

NAMES = list(cards())
VARIANTS = [(name, variant) for name in NAMES for variant in cards()[name].variants]
WIDTH = 0.0625
QUICK = {'xla_backend_optimization_level': 0}  # half the compile time; these networks are tiny


@functools.cache
def slim(name: str, variant: str = 'keras') -> tuple:
  """Graph definition, parameters and statistics; both random, far from a fresh network's."""

  @jax.jit
  def create():
    trunk = create_trunk(name, rngs=nnx.Rngs(0), width=WIDTH, shallow=True, variant=variant)
    return nnx.split(trunk, nnx.Param, nnx.BatchStat)

  graphdef, params, stats = create()
  rng = np.random.default_rng(0)

  def scatter(path, leaf):
    value = np.asarray(leaf)
    if path[-2].key == 'kernel':
      return leaf
    low, high = (0.5, 2) if path[-2].key in ('scale', 'var') else (-0.5, 0.5)
    return jnp.asarray(rng.uniform(low, high, value.shape), jnp.float32)

  return graphdef, *(jax.tree_util.tree_map_with_path(scatter, t) for t in (params, stats))


def pictures(name: str, *, count: int = 2, extra: int = 6) -> jax.Array:
  size = cards()[name].min_size
  return jax.random.normal(jax.random.key(1), (count, size, size + extra, 3))


@functools.cache
def train_outputs(name: str) -> tuple:
  """`(features, new statistics, gradients)` of one training pass."""
  graphdef, params, stats = slim(name)

  @functools.partial(jax.jit, compiler_options=QUICK)
  @functools.partial(jax.value_and_grad, has_aux=True)
  def loss(params, stats, x):
    model = nnx.merge(graphdef, params, stats, copy=True)
    features = model(x, train=True)
    weights = jnp.sin(jnp.arange(features.size)).reshape(features.shape)
    return jnp.sum(features * weights), (features, nnx.state(model, nnx.BatchStat))

  (_, (features, new)), gradients = loss(params, stats, pictures(name))
  return features, new, gradients


@functools.cache
def infer(name: str, variant: str = 'keras', dtype: str = 'float32'):
  graphdef, *_ = nnx.split(
    nnx.eval_shape(
      lambda: create_trunk(
        name, rngs=nnx.Rngs(0), width=WIDTH, shallow=True, variant=variant, dtype=jnp.dtype(dtype)
      )
    ),
    nnx.Param,
    nnx.BatchStat,
  )
  return jax.jit(
    lambda params, stats, x: nnx.merge(graphdef, params, stats)(x, train=False),
    compiler_options=QUICK,
  )


@pytest.mark.parametrize('name', NAMES)
def test_full_networks_have_the_size_of_their_card_and_cost_nothing_to_plan(name):
  card = cards()[name]
  before = jax.live_arrays()
  trunk = nnx.eval_shape(lambda: create_trunk(name, rngs=nnx.Rngs(0)))
  graphdef, state = nnx.split(trunk)
  assert sum(leaf.size for leaf in jax.tree.leaves(state)) == card.parameters
  assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(state))
  assert trunk.features == card.features
  size = card.image_size
  out = jax.eval_shape(
    lambda s, x: nnx.merge(graphdef, s)(x, train=False),
    state,
    jax.ShapeDtypeStruct((3, size, size + 33, 3), jnp.float32),
  )
  assert out.shape == (3, card.features) and out.dtype == jnp.float32
  assert sum(a.size for a in jax.live_arrays()) <= sum(a.size for a in before) + 1000


@pytest.mark.parametrize(('name', 'variant'), VARIANTS)
def test_parameter_paths_are_the_same_for_all_variants(name, variant):
  def kernels(variant):
    trunk = nnx.eval_shape(lambda: create_trunk(name, rngs=nnx.Rngs(0), variant=variant))
    return {
      '/'.join(path): leaf.shape
      for path, leaf in nnx.to_flat_state(nnx.state(trunk))
      if path[-1] in ('kernel', 'mean')
    }

  assert kernels(variant) == kernels('keras')


def test_paths_read_well():
  trunk = nnx.eval_shape(lambda: create_trunk('resnet50', rngs=nnx.Rngs(0)))
  paths = {'/'.join(path) for path, _ in nnx.to_flat_state(nnx.state(trunk))}
  assert {
    'stem/kernel',
    'stage2/block1/conv3/kernel',
    'stage2/block1/conv3/norm/scale',
    'stage4/block1/shortcut/norm/mean',
  } <= paths


@pytest.mark.parametrize('name', NAMES)
def test_gradient_reaches_every_parameter(name):
  features, _, gradients = train_outputs(name)
  assert np.isfinite(features).all()
  for path, leaf in nnx.to_flat_state(gradients):
    kind = path[-1]
    # A convolution's bias before a BatchNorm is subtracted again: its gradient is only rounding.
    cancelled = kind == 'bias' and name == 'resnet50' and path[-2] != 'norm'
    assert np.isfinite(leaf[...]).all(), path
    assert cancelled or np.abs(leaf[...]).max() > 0, path


@pytest.mark.parametrize('name', [n for n in NAMES if n != 'vgg19'])
def test_training_moves_every_statistic(name):
  _, _, stats = slim(name)
  _, new, _ = train_outputs(name)
  for (path, old), (_, moved) in zip(nnx.to_flat_state(stats), nnx.to_flat_state(new), strict=True):
    assert (np.asarray(old[...]) != np.asarray(moved[...])).any(), path


@pytest.mark.parametrize('name', [n for n in NAMES if n != 'vgg19'])
def test_frozen_norms_train_on_running_statistics(name):
  graphdef, params, stats = slim(name)
  model = nnx.merge(graphdef, params, stats, copy=True)
  for _, norm in batch_norms(model):
    norm.frozen = True
  frozen, params, stats = nnx.split(model, nnx.Param, nnx.BatchStat)

  @functools.partial(jax.jit, compiler_options=QUICK)
  def forward(params, stats, x):
    model = nnx.merge(frozen, params, stats, copy=True)
    return model(x, train=True), nnx.state(model, nnx.BatchStat)

  features, after = forward(params, stats, pictures(name))
  np.testing.assert_allclose(features, infer(name)(params, stats, pictures(name)), rtol=1e-5)
  jax.tree.map(np.testing.assert_array_equal, stats, after)
  assert np.abs(features - train_outputs(name)[0]).max() > 1e-3  # batch statistics are different


@pytest.mark.parametrize(('name', 'variant'), VARIANTS)
def test_folding_batch_norm_changes_nothing(name, variant):
  graphdef, params, stats = slim(name, variant)

  @functools.partial(jax.jit, compiler_options=QUICK)
  def without(params, stats, x):
    model = nnx.merge(graphdef, params, stats)
    folded = fold_batchnorm(model)
    assert not list(batch_norms(folded))
    assert bool(list(batch_norms(model))) == (name != 'vgg19')  # the given network is unchanged
    return folded(x, train=False)

  ours = without(params, stats, pictures(name))
  expected = np.asarray(infer(name, variant)(params, stats, pictures(name)))
  assert np.linalg.norm(ours - expected) < 1e-5 * np.linalg.norm(expected)


def test_folding_outside_jit_gives_a_network_to_split_and_merge():
  graphdef, params, stats = slim('resnet50', 'torchvision')  # convolutions that had no bias
  stem = nnx.merge(graphdef, params, stats, copy=True).stem
  structure, state = nnx.split(fold_batchnorm(stem))
  assert {path[-1] for path, _ in nnx.to_flat_state(state)} == {'kernel', 'bias'}
  x = pictures('resnet50')
  np.testing.assert_allclose(
    nnx.merge(structure, state)(x, train=False), stem(x, train=False), atol=1e-4
  )


def test_variants_of_xception_differ_on_maps_of_even_size():
  _, params, stats = slim('xception')
  x = pictures('xception')
  a, b = (np.asarray(infer('xception', v)(params, stats, x)) for v in ('keras', 'timm'))
  assert np.linalg.norm(a - b) > 1e-3 * np.linalg.norm(a)


@pytest.mark.parametrize('name', NAMES)
def test_bfloat16_is_close_and_keeps_float32_parameters(name):
  _, params, stats = slim(name)
  x = pictures(name)
  ours = infer(name, dtype='bfloat16')(params, stats, x)
  expected = np.asarray(infer(name)(params, stats, x))
  assert ours.dtype == jnp.float32
  assert 0 < np.linalg.norm(ours - expected) < 0.05 * np.linalg.norm(expected)
  trunk = nnx.eval_shape(lambda: create_trunk(name, rngs=nnx.Rngs(0), dtype=jnp.bfloat16))
  assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(trunk))} == {jnp.dtype('float32')}


@pytest.mark.parametrize('name', NAMES)
def test_too_small_pictures_are_refused(name):
  least = cards()[name].min_size
  trunk = nnx.eval_shape(lambda: create_trunk(name, rngs=nnx.Rngs(0), width=WIDTH))
  graphdef, state = nnx.split(trunk)
  call = lambda s, x: nnx.merge(graphdef, s)(x, train=False)  # noqa: E731
  shape = functools.partial(jax.ShapeDtypeStruct, dtype=jnp.float32)
  assert jax.eval_shape(call, state, shape((1, least, least, 3))).shape[0] == 1
  with pytest.raises(
    UserError,
    match=f'{name}: found pictures of 200x{least - 1} pixels, expected at least {least}x{least}',
  ):
    jax.eval_shape(call, state, shape((1, 200, least - 1, 3)))


def test_unknown_names_are_refused():
  with pytest.raises(UserError, match="'alexnet', expected one of vgg19, inception_v3, xception, "):
    create_trunk('alexnet', rngs=nnx.Rngs(0))
  with pytest.raises(UserError, match="'torch', xception has keras, timm"):
    create_trunk('xception', rngs=nnx.Rngs(0), variant='torch')


def test_initial_kernels_are_he_uniform():
  rngs = nnx.Rngs(0)
  for layer, fan_in in (
    (Conv(16, 64, Window(3), rngs=rngs), 9 * 16),
    (Depthwise(256, 3, rngs=rngs), 9),
  ):
    kernel = np.asarray(layer.kernel[...])
    bound = np.sqrt(6 / fan_in)
    assert np.abs(kernel).max() <= bound
    np.testing.assert_allclose(kernel.std(), bound / np.sqrt(3), rtol=0.1)
