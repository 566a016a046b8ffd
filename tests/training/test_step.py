"""The train step: each setting does what its name says, on a tiny network and random pictures."""

from __future__ import annotations

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flaxart.machine.sharding import create_mesh
from flaxart.network.classifier import InitialTrunk
from flaxart.network.plateau import ValTrend, after_evaluation, has_stopped
from flaxart.network.state import all_params, create_train_state
from flaxart.network.unfreeze import phase_at
from flaxart.settings import read_settings
from flaxart.tasks.objective import Objective
from flaxart.tasks.softmax import Softmax
from flaxart.training.optim import create_learning_rate_fn, create_optimizer, leaf_paths
from flaxart.training.step import make_train_step
from tfds_rijks.errors import UserError

TASKS = [Softmax('artist', ('Anna', 'Bert', 'Cleo')), Softmax('type', ('bowl', 'coin'))]


def batch(n=8, seed=0):
  rng = np.random.default_rng(seed)
  return {
    'image': jnp.asarray(rng.integers(0, 256, (n, 32, 32, 3), np.uint8)),
    'draw': jnp.arange(n),
    'artist': jnp.asarray(rng.integers(-1, 3, n), jnp.int32),
    'type': jnp.asarray(rng.integers(0, 2, n), jnp.int32),
  }


def run(config, *, phases=(0,), data=None, before=None):
  """States after 0, 1, ... steps, one step for each given phase, and the metrics of each."""
  settings = read_settings(config)
  rate = create_learning_rate_fn(config, steps=10, steps_per_epoch=5)
  network, state = create_train_state(
    config,
    settings,
    TASKS,
    create_optimizer(config, settings, rate),
    mesh=create_mesh(),
    trunk=InitialTrunk(),
  )
  state = state if before is None else before(state)
  states, metrics = [jax.tree.map(np.asarray, state)], []
  steps = {p: make_train_step(network, config, rate, Objective(), phase=p) for p in set(phases)}
  for phase in phases:
    state, of_step = steps[phase](state, batch() if data is None else data)
    states.append(jax.tree.map(np.asarray, state))
    metrics.append(jax.device_get(of_step))
  return states, metrics


def params(state):
  tree = all_params(state)
  return dict(zip(leaf_paths(tree), map(np.asarray, jax.tree.leaves(tree)), strict=True))


def moved(before, after):
  """Paths of the parameters that differ."""
  a, b = params(before), params(after)
  return {path for path in a if (a[path] != b[path]).any()}


@pytest.fixture
def config(tiny):
  tiny.optim.name, tiny.optim.learning_rate = 'sgd', 0.01
  return tiny


def test_multipliers_scale_the_update_of_the_paths_they_match(config):
  (start, plain), _ = run(config)
  config.optim.multipliers = 'trunk/stem/.*=0,trunk/.*=0.1'
  (_, scaled), _ = run(config)
  a, b, c = params(start), params(plain), params(scaled)
  for path in a:
    factor = 0.0 if path.startswith('trunk/stem') else 0.1 if path.startswith('trunk') else 1.0
    np.testing.assert_allclose(c[path] - a[path], factor * (b[path] - a[path]), atol=2e-7)


def test_a_multiplier_that_matches_nothing_is_refused(config):
  config.optim.multipliers = 'trnk/.*=0.1'
  with pytest.raises(UserError, match=r"multipliers: 'trnk/\.\*' matches none of the"):
    run(config)


def test_gradual_unfreezing_lets_one_group_after_the_other_learn(config):
  config.model.bn = 'batch'
  config.optim.name, config.optim.weight_decay = 'adamw', 0.1
  config.train.unfreeze = '0:heads/.*;1:trunk/body/.*;2:.*'
  (start, first, second, third), _ = run(config, phases=(0, 1, 2))
  heads = {path for path in params(start) if path.startswith('heads')}
  # Biases before a norm of batch statistics have no gradient; Adam would make steps of rounding.
  trunk = {p for p in params(start) if re.search('^trunk.*(kernel|norm/scale|norm/bias)$', p)}
  body = {path for path in trunk if path.startswith('trunk/body')}
  assert moved(start, first) == heads
  assert moved(first, second) == heads | body
  assert moved(second, third) == heads | trunk
  # BatchNorm statistics of frozen layers do not move either.
  stats = [
    dict(zip(leaf_paths(s.batch_stats), jax.tree.leaves(s.batch_stats), strict=True))
    for s in (start, first, second)
  ]
  assert all((stats[0][p] == stats[1][p]).all() for p in stats[0])
  changed = {p for p in stats[0] if (stats[1][p] != stats[2][p]).any()}
  assert changed == {p for p in stats[0] if p.startswith('trunk/body')}
  # Adam's first step moves a parameter by the learning rate, also when it comes late.
  kernel = 'trunk/stem/kernel'
  step = np.abs(params(third)[kernel] - params(second)[kernel]).max()
  assert step == pytest.approx(0.01, rel=0.2)


@pytest.mark.parametrize(
  ('text', 'line'),
  [
    ('0:heads/.*;2:trunk/body/.*', 'no stage matches trunk/'),
    ('0:.*;3:heads/.*', r"'heads/\.\*' adds no parameter that learns"),
  ],
)
def test_invalid_stages_are_named(config, text, line):
  config.train.unfreeze = text
  with pytest.raises(UserError, match=line):
    run(config)


def test_phases_begin_at_their_epoch(config):
  config.train.unfreeze = '0:heads/.*;1.5:.*'
  stages = read_settings(config).stages
  assert [phase_at(stages, step, steps_per_epoch=10) for step in (0, 14, 15, 99)] == [0, 0, 1, 1]


def test_parts_of_a_batch_give_the_gradient_of_the_whole(config):
  config.model.bn = 'frozen'  # statistics of a part are not those of the whole
  (start, whole), (of_whole,) = run(config)
  config.train.accumulate = 4
  (_, parts), (of_parts,) = run(config)
  for path, value in params(whole).items():
    np.testing.assert_allclose(params(parts)[path], value, rtol=1e-4, atol=1e-6)
  assert moved(start, parts)
  for name in of_whole:
    assert of_parts[name] == pytest.approx(of_whole[name], rel=1e-4)


def test_the_average_trails_the_weights_and_is_evaluated(config):
  config.optim.ema = 0.9
  states, _ = run(config, phases=(0, 0, 0))
  average = params(states[0])
  for step, state in enumerate(states[1:]):
    keep = min(0.9, (1 + step) / (10 + step))
    average = {p: keep * average[p] + (1 - keep) * value for p, value in params(state).items()}
    for path, value in params(state.evaluated()).items():
      np.testing.assert_allclose(value, average[path], rtol=1e-4, atol=1e-6)
  assert (params(states[-1])['heads/type/kernel'] != average['heads/type/kernel']).any()


def test_the_plateau_schedule_scales_the_update(config):
  config.optim.schedule = 'plateau'
  (start, plain), _ = run(config)

  def fallen(state):
    return state.replace(trend=state.trend.replace(lr_scale=state.trend.lr_scale * 0.1))

  (_, slow), (metrics,) = run(config, before=fallen)
  a, b, c = params(start), params(plain), params(slow)
  for path in a:
    np.testing.assert_allclose(c[path] - a[path], 0.1 * (b[path] - a[path]), atol=2e-7)
  assert metrics['learning_rate'] == pytest.approx(0.001)


def test_val_decides_about_the_rate_and_early_stopping(config):
  config.optim.schedule, config.optim.plateau_patience = 'plateau', 2
  config.train.early_stop_patience = 3
  trend, seen = ValTrend.create(), []
  for loss in (2.0, 1.0, 1.5, float('nan'), 0.5, 0.6, 0.7, 0.5):
    trend = after_evaluation(trend, loss, config)
    seen.append((round(float(trend.lr_scale), 4), int(trend.stale), has_stopped(trend, config)))
  assert seen == [
    (1.0, 0, False), (1.0, 0, False), (1.0, 1, False), (0.1, 2, False), (0.1, 0, False),
    (0.1, 1, False), (0.01, 2, False), (0.01, 3, True),
  ]  # fmt: skip
  config.train.early_stop_patience = 0
  assert not has_stopped(trend, config)


def test_an_equal_val_loss_is_not_better_whatever_its_last_digits(config):
  trend = ValTrend.create()
  for _ in range(3):
    trend = after_evaluation(trend, 0.1, config)  # float32 rounds it up
  assert int(trend.stale) == 2


def test_keras2_frozen_trains_on_batch_statistics_and_keeps_the_stored_ones(config):
  config.trainable = 'heads'
  losses = {}
  for mode in ('frozen', 'keras2_frozen', 'batch'):
    config.model.bn = mode
    (start, after), (metrics,) = run(config)
    losses[mode] = float(metrics['loss'])
    assert all(path.startswith('heads') for path in moved(start, after))
    jax.tree.map(np.testing.assert_array_equal, start.batch_stats, after.batch_stats)
  assert losses['frozen'] == losses['batch']  # a layer whose parameters are frozen is frozen whole
  assert losses['keras2_frozen'] != pytest.approx(losses['frozen'], rel=1e-3)


def test_the_rate_is_that_of_the_step_also_after_steps_without_an_update(config):
  config.optim.momentum, config.optim.nesterov, config.optim.schedule = 0.0, False, 'cosine'
  (start, after), (metrics,) = run(config, before=lambda s: dataclasses.replace(s, step=s.step + 7))
  a, b = params(start), params(after)
  length = np.sqrt(sum(((a[path] - b[path]) ** 2).sum() for path in a))
  assert metrics['learning_rate'] == pytest.approx(0.01 * (1 + np.cos(0.7 * np.pi)) / 2)
  assert length == pytest.approx(metrics['learning_rate'] * metrics['grad_norm'], rel=1e-4)


def test_nesterov_looks_ahead(config):
  (start, ahead), _ = run(config)
  config.optim.nesterov = False
  (_, plain), _ = run(config)
  a, b, c = (params(s)['heads/type/kernel'] for s in (start, plain, ahead))
  np.testing.assert_allclose(c - a, 1.9 * (b - a), rtol=1e-3, atol=1e-7)


def test_learned_task_weights_move_and_mixup_trains(config):
  config.loss.task_weights, config.augment.mixup = 'learned', 0.4
  (start, after), (metrics,) = run(config)
  assert {'log_variances/artist', 'log_variances/type'} <= moved(start, after)
  assert np.isfinite(metrics['loss'])


def test_a_batch_without_any_label_moves_nothing(config):
  config.loss.task_weights, config.optim.momentum = 'learned', 0.0
  empty = {**batch(), 'artist': jnp.full(8, -1, jnp.int32), 'type': jnp.full(8, -1, jnp.int32)}
  (start, after), (metrics,) = run(config, data=empty)
  assert metrics['loss'] == 0 and not moved(start, after)
