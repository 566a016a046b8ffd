"""Trains a slim network on eight simulated devices in several ways and stores the results.

`python -m tests.machine.eight_devices MODEL FOLDER`, run by `test_sharding.py` in a separate
process, because the number of devices is fixed when JAX starts.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ['XLA_FLAGS'] += ' --xla_force_host_platform_device_count=8'

import jax
import jax.numpy as jnp
import numpy as np

from flaxart.config import default_config
from flaxart.machine import sharding
from flaxart.network import classifier
from flaxart.network.classifier import InitialTrunk
from flaxart.network.state import all_params, create_train_state
from flaxart.settings import read_settings
from flaxart.tasks.objective import Objective
from flaxart.tasks.regression import Regression
from flaxart.tasks.sigmoid import Sigmoid
from flaxart.tasks.softmax import Softmax
from flaxart.training.optim import create_learning_rate_fn, create_optimizer, leaf_paths
from flaxart.training.step import make_train_step

PEOPLE = tuple(f'person {i}' for i in range(40))
TASKS = [
  Softmax('artist', PEOPLE),
  Sigmoid('material', ('oil', 'paper', 'silver')),
  Regression('year', center=1700.0, scale=80.0),
]
SIZES = {'vgg19': 32, 'resnet50': 32, 'inception_v3': 75, 'xception': 71}
# The wrappers do not know the networks: the two that compile for long are trained by one of them.
WAYS = {'inception_v3': ('jit',), 'xception': ('shard_map',)}
BOTH = ('jit', 'shard_map')


def settings(model):
  """A slim network with everything that could depend on the device: flips, momentum, gaps."""
  config = default_config()
  config.model.name, config.data.image_size, config.init = model, SIZES[model], 'scratch'
  config.model.width, config.model.shallow, config.model.bn_momentum = 0.03125, True, 0.9
  config.augment.flip = True
  config.optim.learning_rate, config.optim.clip_norm = 0.01, 1.0
  config.train.batch_size = 16
  return config


def batches(config, steps):
  """Batches in which some labels are missing, unevenly over the devices."""
  rng, n, size = np.random.default_rng(0), config.train.batch_size, config.data.image_size
  for step in range(steps):
    materials = rng.random((n, 3)) < 0.4
    materials[:3] = False
    years = rng.uniform(1500, 1900, n)
    years[n // 2 :] = np.nan
    yield {
      'image': rng.integers(0, 256, (n, size, size, 3), np.uint8),
      'draw': np.arange(step * n, (step + 1) * n),
      'artist': rng.integers(-1, len(PEOPLE), n).astype(np.int32),
      'material': materials,
      'year': years,
    }


def train(config, *, devices=8, steps=5, dtype=jnp.float64):
  """The `snapshot` after 0, 1, ... steps."""
  rate = create_learning_rate_fn(config, steps=10, steps_per_epoch=5)
  mesh = (
    sharding.create_mesh()
    if devices == 8
    else jax.sharding.Mesh(np.array(jax.devices()[:1]), ('data',))
  )
  given = read_settings(config)
  network, state = create_train_state(
    config, given, TASKS, create_optimizer(config, given, rate), mesh=mesh, trunk=InitialTrunk()
  )
  state = jax.tree.map(
    lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, state
  )
  step = make_train_step(network, config, rate, Objective())
  snapshots = [snapshot(state)]
  for batch in batches(config, steps):
    state, metrics = step(state, sharding.put_batch(batch, mesh))
    of_step = {f'metrics/{k}': np.asarray(v) for k, v in metrics.items()}
    snapshots.append(snapshot(state) | of_step)
  return snapshots


def snapshot(state):
  """`{path: array}` of parameters, statistics and optimizer slots."""
  values = {}
  for kind, tree in {
    'params': all_params(state),
    'stats': state.batch_stats,
    'slots': state.opt_state,
  }.items():
    arrays = [np.array(leaf) for leaf in jax.tree.leaves(tree)]  # the next step donates the state
    names = leaf_paths(tree) if kind != 'slots' else map(str, range(len(arrays)))
    values |= {f'{kind}/{name}': x for name, x in zip(names, arrays, strict=True)}
  return values


def main(model, folder):
  """Trains in all ways and writes one file for each."""
  jax.config.update('jax_enable_x64', True)
  classifier.compute_dtype = lambda config: {
    'float32': jnp.float32,
    'auto': jnp.float64,
  }[config.model.dtype]

  def keep(name, values):
    np.savez(Path(folder) / f'{name}.npz', **values)

  for way in ('one', *WAYS.get(model, BOTH)):
    config = settings(model)
    config.parallelism = 'shard_map' if way == 'shard_map' else 'jit'
    snapshots = train(config, devices=1 if way == 'one' else 8)
    keep(way, snapshots[-1])
    keep(f'{way}_first', snapshots[1])
  if model != 'resnet50':
    return
  config = settings(model)
  config.parallelism, config.model.bn_sync = 'shard_map', False
  keep('own_statistics_first', train(config, steps=1)[1])
  for way, devices in (('one', 1), ('jit', 8)):
    # After one step of plain SGD at rate 1 the difference of parameters is the gradient.
    config = settings(model)
    config.model.dtype, config.optim.clip_norm = 'float32', 0.0
    config.optim.momentum, config.optim.learning_rate = 0.0, 1.0
    config.train.batch_size = 64  # the last BatchNorm sees one pixel per picture
    before, after = train(config, devices=devices, steps=1, dtype=jnp.float32)
    keep(f'{way}_float32', {k: v - after[k] for k, v in before.items() if k.startswith('params')})


if __name__ == '__main__':
  main(*sys.argv[1:])
