"""A loss, gradient or update that is not a number: stop, or leave the update out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from tfds_rijks.errors import UserError

log = logging.getLogger('flaxart')

ABORT, SKIP = 'abort', 'skip'
# The metrics of a step that have to be numbers, in the order in which one spoils the next. The last
# is there under `skip`, which must not leave out an update that nobody hears of.
WATCHED = {
  'loss': 'loss',
  'grad_norm': 'norm of the gradient',
  'update_norm': 'norm of the update',
}
Tree = TypeVar('Tree')


class NonFiniteError(UserError):
  """The loss of `step` is no number; `step` counts from 1."""

  def __init__(self, step: int, what: str, found: float):
    super().__init__(
      f'step {step}: the {what} is {found}; earlier checkpoints are intact: lower '
      'config.optim.learning_rate or set config.optim.clip_norm'
    )
    self.step, self.what, self.found = step, what, found


def sound_steps(metrics: Mapping[str, Any]) -> np.ndarray:
  """Whether each step was one of numbers alone: `[S]` bool, of metrics `[S]` on the host."""
  return np.all([np.isfinite(metrics[key]) for key in WATCHED if key in metrics], axis=0)


def is_sound(metrics: Mapping[str, jax.Array]) -> jax.Array:
  """The same of one step inside the jitted update: whether it may be applied (scalar bool)."""
  return jnp.isfinite(jnp.stack([metrics[key] for key in WATCHED])).all()


def keep_if(sound: jax.Array, new: Tree, old: Tree) -> Tree:
  """`new` where `sound`, else `old`, leaf by leaf; for use inside the jitted step."""
  return jax.tree.map(lambda a, b: jnp.where(sound, a, b), new, old)


@jax.jit
def all_finite(tree: Any) -> jax.Array:
  """Whether no floating-point leaf holds NaN or infinity: asked before a state is saved."""
  leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
  return jnp.all(jnp.stack([jnp.isfinite(x).all() for x in leaves])) if leaves else jnp.bool_(True)


class Guard:
  """Follows the losses of a run on the host and decides by `config.train.on_nonfinite`.

  `passed` counts the steps that were passed over so far, restarts included.
  """

  def __init__(self, config: ConfigDict, *, passed: int = 0):
    self.mode: str = config.train.on_nonfinite
    self.limit: int = config.train.max_skipped
    self.passed = passed

  def check_step(self, step: int, metrics: Mapping[str, Any]) -> bool:
    """As `check`, of the first metric of `step` that is no number."""
    return all(
      self.check(step, what, metrics[key]) for key, what in WATCHED.items() if key in metrics
    )

  def check(self, step: int, what: str, value: Any) -> bool:
    """Whether `value` of `step` is finite; raises `NonFiniteError` where the run has to end."""
    if np.isfinite(value):
      return True
    self.passed += 1
    if self.mode == ABORT:
      raise NonFiniteError(step, what, float(value))
    if self.passed > self.limit:
      raise UserError(
        f'step {step}: the {what} is {value}, which is number {self.passed} and '
        f'config.train.max_skipped is {self.limit}; earlier checkpoints are intact: lower '
        'config.optim.learning_rate or set config.optim.clip_norm'
      )
    log.warning('step %d: the %s is %s: the update was left out', step, what, value)
    return False

  def check_state(self, step: int, trainable: Any) -> None:
    """The same for parameters that are about to be saved: a checkpoint is never without numbers."""
    if not bool(all_finite(trainable)):  # under `skip` too: there is no update left to leave out
      raise NonFiniteError(step, 'largest parameter', float('inf'))
