"""Trains heads on features that are on the devices, many steps in one program.

The step is the ordinary update (losses, masks, dropout, optimizer) on a network whose trunk passes
its input through. Each step of a pass gathers its batch on the device.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flaxart.machine.sharding import replicated
from flaxart.machine.target import target
from flaxart.network.state import TrainState
from flaxart.off_the_shelf.feature_batches import Data, over_steps
from flaxart.training.nonfinite import keep_if
from flaxart.training.run import Run
from flaxart.training.step import TrainStep, make_update
from tfds_rijks.progress import working

Metrics = dict[str, np.ndarray]  # `[S]` each, of the steps of a pass


class Passes:
  """Passes of at most `room` steps of a run over features."""

  def __init__(self, run: Run, *, room: int):
    self.batch, self.mesh, self.room = run.batch_size, run.mesh, room
    self.compiled: Any = None
    update = make_update(run.network, run.config, run.learning_rate, run.objective)
    self._train = jax.jit(
      functools.partial(train_pass, update),
      donate_argnums=0,
      # The state keeps its layout, which XLA could otherwise change.
      out_shardings=(replicated(run.mesh), None),
    )

  def compile(self, state: TrainState, data: Data) -> None:
    """Compiles the one program of all passes, so that the first is timed like the others."""
    if self.compiled is None:
      shape = (self.room, self.batch)
      order = jax.ShapeDtypeStruct(shape, jnp.int32, sharding=over_steps(self.mesh))
      steps = jax.ShapeDtypeStruct((), jnp.int32, sharding=replicated(self.mesh))
      with working('compiling the training of heads'):
        lowered = self._train.lower(state, data, {'record': order, 'draw': order}, steps)
        self.compiled = lowered.compile()

  def train(
    self, state: TrainState, data: Data, records: np.ndarray, *, first: int
  ) -> tuple[TrainState, Metrics]:
    """One pass: `records` `[S, B]` are the steps' examples, the first one the run's `first`-th.

    One program runs passes of all lengths up to `room`: they end with an epoch, an evaluation or a
    save, which may be anywhere. `state` is donated.
    """
    steps = len(records)
    draws = np.arange(first, first + records.size, dtype=np.int64).reshape(records.shape)
    order = jax.tree.map(
      lambda x: np.pad(x.astype(np.int32), ((0, self.room - steps), (0, 0))),
      {'record': records, 'draw': draws},
    )
    self.compile(state, data)
    state, metrics = self.compiled(
      state,
      data,
      jax.device_put(order, over_steps(self.mesh)),
      jax.device_put(np.int32(steps), replicated(self.mesh)),
    )
    return state, jax.tree.map(lambda x: x[:steps], jax.device_get(metrics))


def train_pass(
  update: TrainStep, state: TrainState, data: Data, order: Data, steps: jax.Array
) -> tuple[TrainState, dict[str, jax.Array]]:
  """The state after the first `steps` rows of `order` `[S, B]`, and the metrics of every step,
  `[S]`, meaningless after the last one.

  A GPU's host must check before each step whether there is another, and waits for it, unless the
  program fixes their number: there, all rows of `order` are steps, and those after the last one
  change nothing.
  """
  counted = target() == 'gpu'

  def one(state: TrainState, i: Any) -> tuple[TrainState, dict[str, jax.Array]]:
    at = {name: rows[i] for name, rows in order.items()}
    batch = {name: column[at['record']] for name, column in data.items()} | {'draw': at['draw']}
    return update(state, batch)

  def body(i: jax.Array, carry: tuple[Any, Any]) -> tuple[Any, Any]:
    state, metrics = one(carry[0], i)
    if counted:
      state = keep_if(i < steps, state, carry[0])
    return state, jax.tree.map(lambda rows, x: rows.at[i].set(x), carry[1], metrics)

  room = order['record'].shape[0]
  shapes = jax.eval_shape(one, state, 0)[1]
  empty = jax.tree.map(lambda x: jnp.zeros((room, *x.shape), x.dtype), shapes)
  return jax.lax.fori_loop(0, room if counted else steps, body, (state, empty))


def with_optimizer(run: Run, heads: TrainState) -> TrainState:
  """A copy of the state, as a pass donates its own, with the optimizer of `run` at its start."""
  init = jax.jit(run.network.tx.init, out_shardings=replicated(run.mesh))
  return jax.tree.map(jnp.copy, dataclasses.replace(heads, opt_state=init(heads.trainable)))
