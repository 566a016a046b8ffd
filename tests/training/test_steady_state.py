"""No silent slowdowns: a steady step compiles nothing, copies nothing, donates its state."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from flaxart.data.source import open_dataset
from flaxart.data.train_input import TrainInput
from flaxart.machine.sharding import Flat, create_mesh
from flaxart.network.classifier import InitialTrunk
from flaxart.network.state import create_train_state
from flaxart.settings import read_settings
from flaxart.tasks.kinds import tasks_from_features
from flaxart.tasks.objective import Objective
from flaxart.training.optim import create_learning_rate_fn, create_optimizer
from flaxart.training.step import make_train_step

COMPILED = '/jax/core/compile/backend_compile_duration'


@pytest.fixture
def compilations():
  """Grows by one entry for every program that XLA compiles."""
  found = []

  def listen(event, duration, **_):
    if event == COMPILED:
      found.append(duration)

  jax.monitoring.register_event_duration_secs_listener(listen)
  yield found
  from jax._src import monitoring  # there is no public way to remove it

  monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize('parallelism', ['jit', 'shard_map'])
def test_a_steady_step_compiles_nothing_transfers_nothing_and_donates_its_state(
  tiny, compilations, parallelism
):
  tiny.parallelism, tiny.augment.flip, tiny.augment.zoom = parallelism, True, 0.2
  tiny.optim.schedule, tiny.model.dropout = 'cosine', 0.1
  dataset = open_dataset('collection', data_dir=tiny.data.data_dir, tasks=['artist', 'type'])
  tasks = tasks_from_features(dataset.features, {'artist': 1.0, 'type': 1.0})
  rate = create_learning_rate_fn(tiny, steps=100, steps_per_epoch=10)
  mesh = create_mesh()
  settings = read_settings(tiny)
  network, state = create_train_state(
    tiny,
    settings,
    tasks,
    create_optimizer(tiny, settings, rate),
    mesh=mesh,
    trunk=InitialTrunk(),
  )
  step = make_train_step(network, tiny, rate, Objective())
  fed = TrainInput(tiny, dataset.split('train'), mesh)
  batches = fed.batches(0)
  state, _ = step.flat(Flat.of(state), fed.on_devices(next(batches)))
  assert compilations  # or it would not notice any

  compilations.clear()
  for _ in range(3):
    before = state.leaves
    batch = fed.on_devices(next(batches))
    # Only explicit transfers are allowed: a Python number in the step would be an implicit one.
    with jax.transfer_guard('disallow'):
      state, metrics = step.flat(state, batch)
    assert all(leaf.is_deleted() for leaf in before)
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(batch))
  assert not compilations
  assert np.isfinite(float(metrics['loss'])) and int(state.whole().step) == 4


def test_the_guard_would_see_a_number_that_slips_into_a_step():
  double = jax.jit(lambda x, y: x * y)
  x = jax.device_put(np.float32(2))
  double(x, x)
  with jax.transfer_guard('disallow'), pytest.raises(Exception, match='Disallowed'):
    double(x, np.float32(3))
