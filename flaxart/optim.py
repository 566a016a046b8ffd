"""Learning-rate schedules and the Optax chain; optimizer state exists only for what learns."""

from __future__ import annotations

import jax
import optax
from ml_collections import ConfigDict


def create_learning_rate_fn(
  config: ConfigDict, *, steps: int, steps_per_epoch: float
) -> optax.Schedule:
  """Step -> learning rate: linear warm-up, then constant or a cosine to zero at the last step."""
  warmup = round(config.optim.warmup_epochs * steps_per_epoch)
  peak = config.optim.learning_rate
  if config.optim.schedule == 'cosine':
    main = optax.cosine_decay_schedule(peak, max(1, steps - warmup))
  else:
    main = optax.constant_schedule(peak)
  if not warmup:
    return main
  return optax.join_schedules([optax.linear_schedule(peak / warmup, peak, warmup), main], [warmup])


def create_optimizer(
  config: ConfigDict, learning_rate: optax.Schedule
) -> optax.GradientTransformation:
  """Clip, optimizer, decoupled weight decay (kernels only), learning rate: in this order.

  RMSprop has rho 0.9 and epsilon 1e-8 as the paper (Sabatelli et al., 2018) states.
  """
  optim = config.optim
  chain = [optax.clip_by_global_norm(optim.clip_norm)] if optim.clip_norm else []
  if optim.name == 'sgd':
    chain.append(optax.trace(decay=optim.momentum, nesterov=True))
  elif optim.name == 'rmsprop':
    chain.append(optax.scale_by_rms(decay=0.9, eps=1e-8))
  else:
    chain.append(optax.scale_by_adam())
  if optim.weight_decay:
    chain.append(optax.add_decayed_weights(optim.weight_decay, mask=_kernels))
  return optax.chain(*chain, optax.scale_by_learning_rate(learning_rate))


def _kernels(params: optax.Params) -> optax.Params:
  """Biases and BatchNorm's scale and offset are vectors; decaying them only hurts."""
  return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
