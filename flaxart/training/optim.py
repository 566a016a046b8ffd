"""Learning-rate schedules and the Optax chain; optimizer state exists only for what learns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from flaxart.network.unfreeze import stage_number
from flaxart.settings import Pattern, Settings, Stage
from tfds_rijks.errors import UserError


def create_learning_rate_fn(
  config: ConfigDict, *, steps: int, steps_per_epoch: float
) -> optax.Schedule:
  """Step -> learning rate: linear warm-up, then constant or a cosine to zero at the last step.

  Under `plateau` it is the constant, and `flaxart.network.plateau` scales the updates.
  """
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
  config: ConfigDict, settings: Settings, learning_rate: optax.Schedule
) -> optax.GradientTransformationExtraArgs:
  """Clip, optimizer, decoupled weight decay (kernels only), multipliers, learning rate.

  RMSprop has rho 0.9 and epsilon 1e-8 as the paper (Sabatelli et al., 2018) states. With more than
  one of `settings.stages` (gradual unfreezing), `update` takes `phase`, the number of the last
  stage that learns now.
  """
  optim = config.optim
  if optim.name == 'sgd':
    chain = [optax.trace(decay=optim.momentum, nesterov=optim.nesterov)]
  elif optim.name == 'rmsprop':
    chain = [optax.scale_by_rms(decay=0.9, eps=1e-8)]
  else:
    chain = [optax.scale_by_adam()]
  if optim.weight_decay:
    chain.append(optax.add_decayed_weights(optim.weight_decay, mask=_kernels))
  inner = optax.chain(*chain)
  if len(settings.stages) > 1:
    inner = in_stages(inner, settings.stages)
  parts = [optax.clip_by_global_norm(optim.clip_norm)] if optim.clip_norm else []
  parts.append(inner)
  if settings.multipliers:
    parts.append(scale_by_path(settings.multipliers))
  parts.append(optax.scale_by_learning_rate(learning_rate))
  return optax.with_extra_args_support(optax.chain(*parts))


def at_step(opt_state: Any, step: jax.Array) -> Any:
  """The optimizer's state with its schedule at the run's own step.

  Its counter does not advance with a dropped update, and goes back with a checkpoint; the steps of
  the run do neither. (It is never ahead of them. The maximum is taken because XLA would drop an
  unused counter from the arguments and not donate it.)
  """

  def is_schedule(node: Any) -> bool:
    return isinstance(node, optax.ScaleByScheduleState)

  return jax.tree.map(
    lambda node: node._replace(count=jnp.maximum(node.count, step)) if is_schedule(node) else node,
    opt_state,
    is_leaf=is_schedule,
  )


def scale_by_path(
  multipliers: Sequence[tuple[Pattern, float]],
) -> optax.GradientTransformation:
  """Multiplies the update of a parameter by the factor of the first pattern that matches its path.

  A pattern that matches no parameter is refused as a typing error.
  """

  def factor(path: str) -> float:
    return next((f for pattern, f in multipliers if pattern.matches(path)), 1.0)

  def init(params: optax.Params) -> optax.EmptyState:
    paths = leaf_paths(params)
    for pattern, _ in multipliers:
      if not any(pattern.matches(path) for path in paths):
        raise UserError(
          f'config.optim.multipliers: {pattern.text!r} matches none of the {len(paths)} parameters '
          f'that learn; paths look like {paths[0]}'
        )
    return optax.EmptyState()

  def update(updates: optax.Updates, state: Any, params: Any = None) -> tuple[Any, Any]:
    factors = [factor(path) for path in leaf_paths(updates)]
    leaves, structure = jax.tree.flatten(updates)
    scaled = [u * f for u, f in zip(leaves, factors, strict=True)]
    return jax.tree.unflatten(structure, scaled), state

  return optax.GradientTransformation(init, update)


def in_stages(
  inner: optax.GradientTransformation, stages: Sequence[Stage]
) -> optax.GradientTransformationExtraArgs:
  """`inner` for each stage of gradual unfreezing, with its own counters and moments.

  A parameter that is still frozen gets no update and its optimizer state does not change, so that
  Adam's bias correction starts with the parameter.
  """

  def split(tree: Any) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = [{} for _ in stages]
    for path, leaf in zip(leaf_paths(tree), jax.tree.leaves(tree), strict=True):
      groups[stage_number(stages, path)][path] = leaf
    return groups

  def init(params: optax.Params) -> tuple[Any, ...]:
    groups = split(params)
    for stage, group in zip(stages, groups, strict=True):
      if not group:
        raise UserError(
          f'config.train.unfreeze: {stage.pattern.text!r} adds no parameter that learns; '
          'it matches nothing, or only parameters of earlier stages'
        )
    return tuple(inner.init(group) for group in groups)

  def update(
    updates: optax.Updates, state: Any, params: Any = None, *, phase: int, **extra: Any
  ) -> tuple[Any, Any]:
    del extra
    structure = jax.tree.structure(updates)
    grads, values = split(updates), split(params)
    merged: dict[str, Any] = {}
    states = list(state)
    for i, group in enumerate(grads):
      if i <= phase:
        moved, states[i] = inner.update(group, states[i], values[i])
        merged |= moved
      else:
        merged |= jax.tree.map(lambda g: g * 0, group)
    return jax.tree.unflatten(structure, [merged[p] for p in leaf_paths(updates)]), tuple(states)

  return optax.GradientTransformationExtraArgs(init, update)


def leaf_paths(tree: Any) -> list[str]:
  """`trunk/stage1/block1/conv1/kernel` of every leaf, in the order of `jax.tree.leaves`."""
  names: Callable[[Any], Any] = lambda key: getattr(key, 'key', getattr(key, 'name', None))  # noqa: E731
  return [
    # An nnx.State ends in the variable's own slot, which is not part of the name.
    '/'.join(str(name) for key in path if (name := names(key)) not in ('value', None))
    for path, _ in jax.tree_util.tree_leaves_with_path(tree)
  ]


def _kernels(params: optax.Params) -> optax.Params:
  """Selects kernels: biases and BatchNorm's scale and offset are vectors, and decaying them
  hurts."""
  return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
