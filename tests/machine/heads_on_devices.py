"""Trains two settings of heads on one and on four simulated devices.

`python -m tests.machine.heads_on_devices`, run by `test_probe.py` in a process of its own, because
the number of devices is fixed when JAX starts. Prints how far apart the results are.
"""

from __future__ import annotations

import os

os.environ['XLA_FLAGS'] = '--xla_force_host_platform_device_count=4'

from types import SimpleNamespace

import jax
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh

from flaxart.config import default_config
from flaxart.data.order import example_order
from flaxart.machine.sharding import replicated
from flaxart.network.classifier import Classifier
from flaxart.network.over_features import AsGiven, Given
from flaxart.network.state import Network, TrainState
from flaxart.off_the_shelf.feature_batches import train_data
from flaxart.off_the_shelf.sweep import Sweep
from flaxart.settings import read_settings
from flaxart.tasks.objective import Objective
from flaxart.tasks.softmax import Softmax

TASKS = (Softmax('artist', tuple(map(str, range(20)))), Softmax('type', ('a', 'b')))
WIDTH, RECORDS, BATCH, STEPS = 8, 64, 16, 4


class Width(Given):
  """A trunk of which nothing is needed but its width."""

  features = WIDTH


def train(devices):
  """The sweep after two passes, between which it was stored and taken back."""
  config, mesh = default_config(), Mesh(np.array(jax.devices()[:devices]), ('data',))
  config.probe.settings = 'adam:1e-2,sgd:1e-1'
  model = Classifier(Width(), TASKS, preprocess=AsGiven(1), dropout=0.0, rngs=nnx.Rngs(0))
  parts = nnx.split(model, nnx.Param, nnx.Nothing(), nnx.BatchStat)
  network = Network(parts[0], TASKS, optax.identity())
  state = TrainState(jax.numpy.int32(0), *parts[1:], ())
  state = jax.device_put(state, replicated(mesh))
  sweep = Sweep(
    config,
    read_settings(config),
    network,
    state,
    objective=Objective(),
    steps=8,
    steps_per_epoch=4,
    mesh=mesh,
  )
  rng = np.random.default_rng(0)
  labels = {t.name: rng.integers(-1, t.outputs, RECORDS).astype(np.int32) for t in TASKS}
  rows = rng.standard_normal((RECORDS, WIDTH), np.float32)
  data = train_data(SimpleNamespace(labels=labels), rows, mesh=mesh)
  for done in range(0, 2 * STEPS, STEPS):
    count = STEPS * BATCH
    order = example_order(RECORDS, first=done * BATCH, count=count, seed=0)
    sweep.train(data, order.reshape(STEPS, BATCH), first=done * BATCH, room=STEPS + 1)
    sweep.unpack(sweep.pack(state, leader=0, best=np.zeros(2)))
  return sweep


def main():
  """One line: the largest difference."""
  one, four = train(1), train(4)
  difference = jax.tree.map(
    lambda a, b: float(np.abs(np.asarray(a) - np.asarray(b)).max()),
    *([(state.trainable, state.opt_state) for state in sweep.states] for sweep in (one, four)),
  )
  print(max(jax.tree.leaves(difference)))


if __name__ == '__main__':
  main()
