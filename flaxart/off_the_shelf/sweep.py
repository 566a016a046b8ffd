"""Heads over features that are there already: several settings trained in one pass over them.

The step is the ordinary update (losses, masks, dropout, optimizer: nothing is written twice) on
a network whose trunk hands its input through. A pass of steps is one loop on the device; each of
its steps gathers a batch of features once and trains the heads of every setting on it.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from flaxart.data.source import Split
from flaxart.evaluation.evaluate import eval_step, split_scores
from flaxart.evaluation.records import fetch, without_logits
from flaxart.machine.sharding import replicated
from flaxart.network.over_features import over_features
from flaxart.network.state import Network, TrainState
from flaxart.off_the_shelf.feature_batches import Data, over_steps, train_data
from flaxart.settings import Settings
from flaxart.tasks.objective import Objective
from flaxart.tasks.scores import zero_counts
from flaxart.training.optim import create_learning_rate_fn, create_optimizer
from flaxart.training.step import TrainStep, make_update

MEASURED_STEPS = 20


@dataclasses.dataclass(frozen=True)
class Setting:
  """One optimizer with its learning rate: `name` is how it was given, `adam:1e-3`."""

  name: str
  network: Network
  step: TrainStep


class Sweep:
  """The settings of a run and what it takes to train, evaluate and store their heads."""

  def __init__(
    self,
    config: ConfigDict,
    settings: Settings,
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
    for trial in settings.trials:
      own = config.copy_and_resolve_references()
      own.optim.name, own.optim.learning_rate = trial.optimizer, trial.learning_rate
      own.parallelism = 'jit'  # a pass of steps is compiled as one, over the global batch
      rate = create_learning_rate_fn(own, steps=steps, steps_per_epoch=steps_per_epoch)
      mine = dataclasses.replace(network, tx=create_optimizer(own, settings, rate))
      self.settings.append(Setting(trial.name, mine, make_update(mine, own, rate, objective)))
      opt_state = jax.jit(mine.tx.init, out_shardings=replicated(mesh))(state.trainable)
      start = dataclasses.replace(state, opt_state=opt_state)
      self.states += (jax.tree.map(jnp.copy, start),)  # a pass eats its states
    steps_of = tuple(setting.step for setting in self.settings)
    self._compiled: dict[tuple[int, int], Any] = {}
    self._train = jax.jit(
      functools.partial(train_pass, steps_of),
      donate_argnums=0,
      # The states stay where they are: XLA would be free to lay them out anew.
      out_shardings=(jax.tree.map(lambda x: x.sharding, self.states), None),
    )
    networks = tuple(setting.network for setting in self.settings)
    self._count = jax.jit(functools.partial(count_batches, networks))

  def compile(self, data: Data, *, room: int, batch: int) -> None:
    """Compiles passes of up to `room` steps, so that the first one is timed like the others."""
    if (room, batch) not in self._compiled:
      order = jax.ShapeDtypeStruct((room, batch), jnp.int32, sharding=over_steps(self.mesh))
      steps = jax.ShapeDtypeStruct((), jnp.int32, sharding=replicated(self.mesh))
      lowered = self._train.lower(self.states, data, {'record': order, 'draw': order}, steps)
      self._compiled[room, batch] = lowered.compile()

  def seconds_per_step(self, split: Split, width: int, batch: int) -> float:
    """Measured on features of zero; the heads are not what they were afterwards."""
    data = train_data(split, np.zeros((len(split), width), np.float32), mesh=self.mesh)
    records = np.zeros((MEASURED_STEPS, batch), np.int32)
    self.compile(data, room=MEASURED_STEPS, batch=batch)
    began = time.monotonic()
    self.train(data, records, first=0, room=MEASURED_STEPS)
    return (time.monotonic() - began) / MEASURED_STEPS

  def train(
    self, data: Data, records: np.ndarray, *, first: int, room: int
  ) -> list[dict[str, np.ndarray]]:
    """One pass: `records` `[S, B]` are the steps' examples, the first one the run's `first`-th.

    Returns the metrics of every setting, `[S]` each. Passes of all lengths up to `room` are run by
    one program: they end where an epoch, an evaluation or a save does, which may be anywhere.
    """
    steps, batch = records.shape
    draws = np.arange(first, first + records.size, dtype=np.int64).reshape(records.shape)
    order = jax.tree.map(
      lambda x: np.pad(x.astype(np.int32), ((0, room - steps), (0, 0))),
      {'record': records, 'draw': draws},
    )
    self.compile(data, room=room, batch=batch)
    self.states, metrics = self._compiled[room, batch](
      self.states,
      data,
      jax.device_put(order, over_steps(self.mesh)),
      jax.device_put(np.int32(steps), replicated(self.mesh)),
    )
    return jax.tree.map(lambda x: x[:steps], jax.device_get(metrics))

  def evaluate(self, data: Data, split: Split) -> list[dict[str, dict[str, Any]]]:
    """`{task: scores}` of every setting on a split that `eval_data` placed."""
    states = tuple(state.evaluated() for state in self.states)
    results = []
    for setting, counts, found in zip(
      self.settings, *fetch(self._count(states, data)), strict=True
    ):
      rows = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[: len(split)], found)
      results.append(split_scores(setting.network.tasks, split, counts, rows))
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


def train_pass(
  updates: Sequence[TrainStep],
  states: tuple[TrainState, ...],
  data: Data,
  order: Data,
  steps: jax.Array,
) -> tuple[tuple[TrainState, ...], Any]:
  """The states after the first `steps` rows of `order` `[S, B]`, and the metrics of every setting,
  `[S]` each, zero behind the last step.
  """

  def one(states: tuple[TrainState, ...], i: Any) -> tuple[tuple[TrainState, ...], Any]:
    at = {name: rows[i] for name, rows in order.items()}
    batch = {name: column[at['record']] for name, column in data.items()} | {'draw': at['draw']}
    results = [update(state, batch) for update, state in zip(updates, states, strict=True)]
    return tuple(state for state, _ in results), [metrics for _, metrics in results]

  def body(i: jax.Array, carry: tuple[Any, Any]) -> tuple[Any, Any]:
    states, metrics = one(carry[0], i)
    return states, jax.tree.map(lambda rows, x: rows.at[i].set(x), carry[1], metrics)

  room = order['record'].shape[0]
  shapes = jax.eval_shape(one, states, 0)[1]
  empty = jax.tree.map(lambda x: jnp.zeros((room, *x.shape), x.dtype), shapes)
  return jax.lax.fori_loop(0, steps, body, (states, empty))


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
