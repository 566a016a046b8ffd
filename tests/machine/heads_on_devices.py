"""Trains heads on one and on four simulated devices, the latter with the program for GPUs.

`python -m tests.machine.heads_on_devices`, run by `test_probe.py` in a separate process, because
the number of devices is fixed when JAX starts. Prints how far apart the results are.
"""

from __future__ import annotations

import os

os.environ['XLA_FLAGS'] += ' --xla_force_host_platform_device_count=4'

from types import SimpleNamespace

import jax
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh

from flaxart.config import default_config
from flaxart.data.order import example_order
from flaxart.machine.sharding import replicated
from flaxart.machine.target import use_target
from flaxart.network.classifier import Classifier
from flaxart.network.over_features import NoPreprocess, NoTrunk
from flaxart.network.state import Network, TrainState
from flaxart.off_the_shelf.feature_batches import train_data
from flaxart.off_the_shelf.passes import Passes, with_optimizer
from flaxart.settings import read_settings
from flaxart.tasks.objective import Objective
from flaxart.tasks.softmax import Softmax
from flaxart.training.optim import create_optimizer

TASKS = (Softmax('artist', tuple(map(str, range(20)))), Softmax('type', ('a', 'b')))
WIDTH, RECORDS, BATCH, STEPS = 8, 64, 16, 4


class Width(NoTrunk):
  """A trunk that only has a width."""

  features = WIDTH


def train(devices):
  """The heads after two passes."""
  config, mesh = default_config(), Mesh(np.array(jax.devices()[:devices]), ('data',))
  config.train.batch_size, settings = BATCH, read_settings(config)
  model = Classifier(Width(), TASKS, preprocess=NoPreprocess(1), dropout=0.0, rngs=nnx.Rngs(0))
  parts = nnx.split(model, nnx.Param, nnx.Nothing(), nnx.BatchStat)
  state = jax.device_put(TrainState(jax.numpy.int32(0), *parts[1:], ()), replicated(mesh))
  rng, rate = np.random.default_rng(0), optax.constant_schedule(1e-2)
  labels = {t.name: rng.integers(-1, t.outputs, RECORDS).astype(np.int32) for t in TASKS}
  rows = rng.standard_normal((RECORDS, WIDTH), np.float32)
  data = train_data(SimpleNamespace(columns=labels, decoded=rows), mesh=mesh)
  run = SimpleNamespace(
    network=Network(parts[0], TASKS, create_optimizer(config, settings, rate), (parts[0],)),
    config=config,
    learning_rate=rate,
    objective=Objective(),
    batch_size=BATCH,
    mesh=mesh,
  )
  passes, state = Passes(run, room=STEPS + 1), with_optimizer(run, state)
  for first in (0, STEPS * BATCH):
    order = example_order(RECORDS, first=first, count=STEPS * BATCH, seed=0)
    state, _ = passes.train(state, data, order.reshape(STEPS, BATCH), first=first)
  return state.trainable, state.opt_state


def main():
  """One line: the largest difference."""
  with use_target('gpu'):
    four = train(4)
  difference = jax.tree.map(
    lambda a, b: float(np.abs(np.asarray(a) - np.asarray(b)).max()), train(1), four
  )
  print(max(jax.tree.leaves(difference)))


if __name__ == '__main__':
  main()
