"""NaN or infinity in a loss, gradient or update: stop, or drop the update."""

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
# The metrics of a step that must be finite, in the order in which one spoils the next. The last
# exists under `skip`, which must not drop an update silently.
WATCHED = {
  'loss': 'loss',
  'grad_norm': 'norm of the gradient',
  'update_norm': 'norm of the update',
}
Tree = TypeVar('Tree')


class NonFiniteError(UserError):
  """The loss of `step`, or `what` else, is NaN or infinite; `step` counts from 1."""

  def __init__(self, step: int, what: str, found: float, why: str = ''):
    self.step, self.found = step, f'step {step}: the {what} is {found}{why}'
    super().__init__(
      f'{self.found}; earlier checkpoints are intact: lower config.optim.learning_rate or set '
      'config.optim.clip_norm'
    )


def sound_steps(metrics: Mapping[str, Any]) -> np.ndarray:
  """Whether each step was finite: `[S]` bool, from metrics `[S]` on the host."""
  return np.all([np.isfinite(metrics[key]) for key in WATCHED if key in metrics], axis=0)


def is_sound(metrics: Mapping[str, jax.Array]) -> jax.Array:
  """The same for one step inside the jitted update: whether it may be applied (scalar bool)."""
  return jnp.isfinite(jnp.stack([metrics[key] for key in WATCHED])).all()


def keep_if(sound: jax.Array, new: Tree, old: Tree) -> Tree:
  """`new` where `sound`, else `old`, leaf by leaf; for use inside the jitted step."""
  return jax.tree.map(lambda a, b: jnp.where(sound, a, b), new, old)


@jax.jit
def all_finite(tree: Any) -> jax.Array:
  """Whether no floating-point leaf has NaN or infinity; checked before a state is saved."""
  leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
  return jnp.all(jnp.stack([jnp.isfinite(x).all() for x in leaves])) if leaves else jnp.bool_(True)


class Guard:
  """Follows the losses of a run on the host and decides by `config.train.on_nonfinite`.

  `passed` counts the steps skipped so far, restarts included.
  """

  def __init__(self, config: ConfigDict, *, passed: int = 0):
    self.mode: str = config.train.on_nonfinite
    self.limit: int = config.train.max_skipped
    self.passed = passed

  def check_steps(self, first: int, metrics: Mapping[str, np.ndarray]) -> np.ndarray:
    """Which steps from `first` on have finite metrics `[S]`: `[S]` bool.

    Raises `NonFiniteError` if the run must end.
    """
    sound = sound_steps(metrics)
    for i in np.flatnonzero(~sound):
      key = next(key for key in WATCHED if key in metrics and not np.isfinite(metrics[key][i]))
      self.pass_over(first + int(i), WATCHED[key], float(metrics[key][i]))
    return sound

  def pass_over(self, step: int, what: str, found: float) -> None:
    """Counts a step whose update was dropped; raises if that is not allowed, or no longer."""
    self.passed += 1
    if self.mode == ABORT:
      raise NonFiniteError(step, what, found)
    if self.passed > self.limit:
      why = f', which is number {self.passed} and config.train.max_skipped is {self.limit}'
      raise NonFiniteError(step, what, found, why)
    log.warning('step %d: the %s is %s: the update was dropped', step, what, found)

  def check_state(self, step: int, trainable: Any) -> None:
    """Checks parameters about to be saved: a checkpoint is always finite."""
    if not bool(all_finite(trainable)):  # even under `skip`: there is no update left to drop
      raise NonFiniteError(step, 'largest parameter', float('inf'))
