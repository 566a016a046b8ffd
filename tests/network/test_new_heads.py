"""New heads on an existing trunk."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from flaxart.config import default_config
from flaxart.machine.sharding import create_mesh
from flaxart.models import cards
from flaxart.network.classifier import InitialTrunk, TrunkArrays
from flaxart.network.state import all_params, create_train_state
from flaxart.settings import read_settings
from flaxart.tasks.sigmoid import Sigmoid
from flaxart.tasks.softmax import Softmax


def state_of(name, tasks, **arrays):
  config = default_config()
  config.init, config.model.name = 'scratch', name
  config.model.width, config.model.shallow = 0.0625, True
  return create_train_state(
    config,
    read_settings(config),
    tasks,
    optax.sgd(0.1),
    mesh=create_mesh(),
    trunk=InitialTrunk(**arrays),
  )


@pytest.mark.parametrize('name', ['vgg19', 'resnet50'])  # without BatchNorm and with it
def test_heads_are_swapped_and_the_trunk_stays(name):
  _, old = state_of(name, [Softmax('artist', ('a', 'b', 'c'))])
  params = nnx.to_pure_dict(all_params(old))['trunk']
  params = jax.tree.map(lambda x: np.asarray(x) + 1, params)  # unlike any fresh network
  tasks = [Softmax('type', ('x', 'y')), Sigmoid('tags', ('p', 'q', 'r', 's'))]
  network, new = state_of(name, tasks, arrays=TrunkArrays(params, {}))
  stored = nnx.to_pure_dict(all_params(new))
  jax.tree.map(np.testing.assert_array_equal, stored['trunk'], params)
  assert set(stored['heads']) == {'type', 'tags'}
  size = cards()[name].min_size
  images = jax.ShapeDtypeStruct((2, size, size, 3), jnp.uint8)
  logits = jax.eval_shape(
    lambda s, x: network.merge(s.trainable, s.frozen, s.batch_stats)(x), new, images
  )
  assert {task: out.shape for task, out in logits.items()} == {'type': (2, 2), 'tags': (2, 4)}
