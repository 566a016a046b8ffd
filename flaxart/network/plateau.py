"""Early stopping and the step decay of the learning rate, both from the val loss after each
evaluation. The counters are part of the train state, so a resumed run has the same patience left.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from ml_collections import ConfigDict


@struct.dataclass
class ValTrend:
  """Scalars: best val loss so far, evaluations since, and the same for the plateau rule."""

  best: jax.Array
  stale: jax.Array
  plateau: jax.Array
  lr_scale: jax.Array

  @classmethod
  def create(cls) -> ValTrend:
    """The trend before the first evaluation."""
    return cls(jnp.float32(jnp.inf), jnp.int32(0), jnp.int32(0), jnp.float32(1.0))


def after_evaluation(trend: ValTrend, loss: float, config: ConfigDict) -> ValTrend:
  """The trend after another evaluation of val; `loss` is the weighted sum over the tasks.

  With the plateau schedule, `optim.plateau_patience` evaluations without a better loss multiply the
  learning rate by `optim.plateau_factor`. NaN is never better.
  """
  loss = float(np.float32(loss))  # as stored, or an equal loss would count as better
  better = math.isfinite(loss) and loss < float(trend.best)
  best = loss if better else float(trend.best)
  stale = 0 if better else int(trend.stale) + 1
  plateau = 0 if better else int(trend.plateau) + 1
  scale = float(trend.lr_scale)
  if config.optim.schedule == 'plateau' and plateau >= config.optim.plateau_patience:
    plateau, scale = 0, scale * config.optim.plateau_factor
  place: Any = jax.tree.map(lambda x: x.sharding, trend)
  return jax.device_put(
    ValTrend(jnp.float32(best), jnp.int32(stale), jnp.int32(plateau), jnp.float32(scale)), place
  )


def has_stopped(trend: ValTrend, config: ConfigDict) -> bool:
  """Whether val has not improved for `train.early_stop_patience` evaluations (0 = never stops)."""
  patience = config.train.early_stop_patience
  return bool(patience) and int(trend.stale) >= patience
