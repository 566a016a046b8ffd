"""Heads over features that are there already: several settings trained in one pass over them.

The step is the ordinary update (losses, masks, dropout, optimizer: nothing is written twice) on
a network whose trunk hands its input through. A chunk of steps is one `lax.scan`; each of its steps
gathers a batch of features once and trains the heads of every setting on it.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from flaxart.config import OPTIMIZERS
from flaxart.data.source import Split
from flaxart.evaluate import eval_step, split_scores
from flaxart.heads import Data, over_features, over_steps, train_data
from flaxart.losses import Objective
from flaxart.metrics import zero_counts
from flaxart.optim import create_learning_rate_fn, create_optimizer
from flaxart.records import fetch, without_logits
from flaxart.sharding import places, replicated
from flaxart.state import Network, TrainState
from flaxart.step import TrainStep, make_update
from tfds_rijks.errors import UserError

MEASURED_STEPS = 20


@dataclasses.dataclass(frozen=True)
class Setting:
  """One optimizer with its learning rate: `name` is how it was given, `adam:1e-3`."""

  name: str
  network: Network
  step: TrainStep


def read_settings(config: ConfigDict) -> list[tuple[str, ConfigDict]]:
  """`config.probe.settings` as names and full configs; the config itself if it is empty."""
  settings = {}
  for part in filter(None, (part.strip() for part in config.probe.settings.split(','))):
    name, _, rate = part.partition(':')
    try:
      learning_rate = float(rate)
    except ValueError:
      learning_rate = 0.0
    if name not in OPTIMIZERS or not 0 < learning_rate < float('inf'):
      raise UserError(
        f'config.probe.settings: found {part!r}, expected OPTIMIZER:LEARNING_RATE such as '
        f'adam:1e-3; optimizers are {", ".join(OPTIMIZERS)}'
      )
    if part in settings:
      raise UserError(f'config.probe.settings: names {part!r} twice; name each once')
    settings[part] = config.copy_and_resolve_references()
    settings[part].optim.name, settings[part].optim.learning_rate = name, learning_rate
  whole = config.copy_and_resolve_references()
  return list(settings.items()) or [(f'{config.optim.name}:{config.optim.learning_rate:g}', whole)]


class Sweep:
  """The settings of a run and what it takes to train, evaluate and store their heads."""

  def __init__(
    self,
    config: ConfigDict,
    network: Network,
    state: TrainState,
    *,
    objective: Objective,
    steps: int,
    steps_per_epoch: float,
    mesh: Mesh,
  ):
    self.mesh = mesh
    network, state = over_features(network, state)
    self.settings: list[Setting] = []
    self.states: tuple[TrainState, ...] = ()
    for name, own in read_settings(config):
      own.parallelism = 'jit'  # a chunk of steps is compiled as one, over the global batch
      rate = create_learning_rate_fn(own, steps=steps, steps_per_epoch=steps_per_epoch)
      mine = dataclasses.replace(network, tx=create_optimizer(own, rate))
      self.settings.append(Setting(name, mine, make_update(mine, own, rate, objective)))
      slots = places(jax.eval_shape(mine.tx.init, state.trainable), mesh)
      opt_state = jax.jit(mine.tx.init, out_shardings=slots)(state.trainable)
      start = dataclasses.replace(state, opt_state=opt_state)
      self.states += (jax.tree.map(jnp.copy, start),)  # a chunk eats its states
    steps_of = tuple(setting.step for setting in self.settings)
    self._compiled: dict[tuple[int, ...], Any] = {}
    self._train = jax.jit(
      functools.partial(train_chunk, steps_of),
      donate_argnums=0,
      # The states stay where they are: XLA would be free to lay them out anew.
      out_shardings=(jax.tree.map(lambda x: x.sharding, self.states), None),
    )
    networks = tuple(setting.network for setting in self.settings)
    self._count = jax.jit(functools.partial(count_batches, networks))

  def compile(self, data: Data, shape: tuple[int, ...]) -> None:
    """Compiles a pass over `[S, B]` examples, so that its first run is timed like the others."""
    if shape not in self._compiled:
      order = jax.ShapeDtypeStruct(shape, jnp.int32, sharding=over_steps(self.mesh))
      lowered = self._train.lower(self.states, data, {'record': order, 'draw': order})
      self._compiled[shape] = lowered.compile()

  def seconds_per_step(self, split: Split, width: int, batch: int) -> float:
    """Measured on features of zero; the heads are not what they were afterwards."""
    data = train_data(split, np.zeros((len(split), width), np.float32), mesh=self.mesh)
    records = np.zeros((MEASURED_STEPS, batch), np.int32)
    self.compile(data, records.shape)
    began = time.monotonic()
    self.train(data, records, first=0)
    return (time.monotonic() - began) / MEASURED_STEPS

  def train(self, data: Data, records: np.ndarray, *, first: int) -> list[dict[str, np.ndarray]]:
    """One pass: `records` `[S, B]` are the steps' examples, the first one the run's `first`-th.

    Returns the metrics of every setting, `[S]` each.
    """
    draws = np.arange(first, first + records.size, dtype=np.int64).reshape(records.shape)
    order = {'record': records.astype(np.int32), 'draw': draws.astype(np.int32)}
    self.compile(data, records.shape)
    run = self._compiled[records.shape]
    self.states, metrics = run(self.states, data, jax.device_put(order, over_steps(self.mesh)))
    return jax.device_get(metrics)

  def evaluate(
    self, data: Data, split: Split, *, floors: Mapping[str, int | None]
  ) -> list[dict[str, dict[str, Any]]]:
    """`{task: scores}` of every setting on a split that `eval_data` placed."""
    states = tuple(state.evaluated() for state in self.states)
    results = []
    for setting, counts, found in zip(
      self.settings, *fetch(self._count(states, data)), strict=True
    ):
      rows = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[: len(split)], found)
      results.append(split_scores(setting.network.tasks, split, counts, rows, floors=floors))
    return results

  def pack(self, full: TrainState, *, leader: int, best: np.ndarray) -> TrainState:
    """What a checkpoint holds: the network with the leader's heads, like any other.

    Several settings ride in the optimizer's place (what a run needs to go on and a network does
    not), with the best score of each so far.
    """
    lead = self.states[leader]
    rest: Any = lead.opt_state
    if len(self.states) > 1:
      own = tuple((s.trainable, s.opt_state, s.watch, s.average) for s in self.states)
      rest = (own, jax.device_put(np.asarray(best, np.float32), replicated(self.mesh)))
    average = None if lead.average is None else (lead.average[0], full.batch_stats)
    return dataclasses.replace(
      full,
      step=lead.step,
      trainable=lead.trainable,
      opt_state=rest,
      watch=lead.watch,
      average=average,
    )

  def unpack(self, full: TrainState) -> np.ndarray:
    """Takes the states from a restored checkpoint; returns the best score of each so far."""
    best = np.full(len(self.states), -np.inf, np.float32)
    own: Any = [(full.trainable, full.opt_state, full.watch, full.average)]
    if len(self.states) > 1:
      own, scores = full.opt_state
      best = np.array(scores)
    states = []
    for state, (trainable, opt_state, watch, average) in zip(self.states, own, strict=True):
      if average is not None:
        average = (average[0], state.batch_stats)
      states.append(
        TrainState(full.step, trainable, state.frozen, state.batch_stats, opt_state, watch, average)
      )
    placed = jax.device_put(tuple(states), jax.tree.map(lambda x: x.sharding, self.states))
    self.states = jax.tree.map(jnp.copy, placed)  # apart from `full`
    return best


def train_chunk(
  steps: Sequence[TrainStep], states: tuple[TrainState, ...], data: Data, order: Data
) -> tuple[tuple[TrainState, ...], Any]:
  """`order` `[S, B]` -> the states after S steps, and the metrics of every setting."""

  def body(states: tuple[TrainState, ...], at: Data) -> tuple[tuple[TrainState, ...], Any]:
    batch = {name: column[at['record']] for name, column in data.items()} | {'draw': at['draw']}
    results = [step(state, batch) for step, state in zip(steps, states, strict=True)]
    return tuple(state for state, _ in results), [metrics for _, metrics in results]

  return jax.lax.scan(body, states, order)


def count_batches(
  networks: Sequence[Network], states: tuple[TrainState, ...], data: Data
) -> tuple[list[Any], list[Any]]:
  """`eval_step` of every setting over the batches of `data` `[n, b, ...]`: the counts of each, and
  what the records gave, `[n, b, ...]`.
  """
  zero = [{task.name: zero_counts(task) for task in network.tasks} for network in networks]

  def body(counts: list[Any], batch: Data) -> tuple[list[Any], list[Any]]:
    results = [
      eval_step(state, of_setting, batch, network=network)
      for network, state, of_setting in zip(networks, states, counts, strict=True)
    ]
    found = [
      without_logits(network.tasks, of_setting)
      for network, (_, of_setting) in zip(networks, results, strict=True)
    ]
    return [of_setting for of_setting, _ in results], found

  return jax.lax.scan(body, zero, data)
