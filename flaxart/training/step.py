"""One update: augment, forward, loss, gradient, optimizer; everything inside one `jax.jit`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import lax
from ml_collections import ConfigDict

from flaxart.data.augment import augment, mixup
from flaxart.data.source import weight_name
from flaxart.machine.sharding import CompiledStep, view
from flaxart.machine.target import target
from flaxart.network.state import Network, TrainState
from flaxart.network.unfreeze import stage_number
from flaxart.settings import Stage
from flaxart.tasks.losses import Targets, Whole, label_counts, total_loss
from flaxart.tasks.objective import Objective
from flaxart.training.nonfinite import SKIP, is_sound, keep_if
from flaxart.training.optim import at_step, leaf_paths

TrainStep = Callable[[TrainState, dict[str, Any]], tuple[TrainState, dict[str, jax.Array]]]


def make_train_step(
  network: Network,
  config: ConfigDict,
  learning_rate: optax.Schedule,
  objective: Objective,
  *,
  phase: int = 0,
) -> CompiledStep:
  """The compiled step of a phase; it donates its state, so the caller must not reuse that."""
  return CompiledStep(make_update(network, config, learning_rate, objective, phase=phase), config)


def make_update(
  network: Network,
  config: ConfigDict,
  learning_rate: optax.Schedule,
  objective: Objective,
  *,
  phase: int = 0,
) -> TrainStep:
  """One update as a plain function, to be compiled alone (`make_train_step`) or as part of more.

  `batch`: `image` uint8 `[B, S, S, 3]`, `draw` `[B]`, and the labels of every task,
  some with weights (`Split.weights`).
  """
  names = [task.name for task in network.tasks]
  seen = view(config)

  def update(state: TrainState, batch: dict[str, Any]) -> tuple[TrainState, dict[str, jax.Array]]:
    labels = labels_of(batch, names)
    images = augment(batch['image'], batch['draw'], config, seed=config.seed)
    part: dict[str, Any] = {'image': images, **labels}
    if config.augment.mixup:
      mixed, share, partner = mixup(
        images, labels, batch['draw'], alpha=config.augment.mixup, seed=config.seed
      )
      part |= {'image': mixed, 'share': share, 'partner': partner}
    counts = seen.sum(label_counts(network.tasks, targets_of(part, names)))
    dropout_key = seen.key(jax.random.fold_in(jax.random.key(config.seed + 1), state.step))

    def loss_fn(
      trainable: nnx.State, batch_stats: nnx.State, part: dict[str, Any], key: jax.Array
    ) -> tuple[jax.Array, tuple[nnx.State, dict[str, jax.Array]]]:
      trainable = still_frozen(trainable, network.stages, phase)
      model = network.merge(trainable, state.frozen, batch_stats, phase=phase)
      logits = model(part['image'], train=True, dropout_key=key)
      loss, of_task = total_loss(
        network.tasks,
        logits,
        targets_of(part, names),
        objective=objective,
        log_variances=log_variances(model),
        whole=Whole(counts, seen.share / config.train.accumulate),
      )
      return loss, (nnx.state(model, nnx.BatchStat), of_task)

    grads, loss, batch_stats, of_task = in_parts(
      jax.value_and_grad(loss_fn, has_aux=True), state, part, dropout_key, config.train.accumulate
    )
    grads, loss, of_task = seen.sum((grads, loss, of_task))
    if not config.model.bn_sync:  # else they are equal everywhere
      batch_stats = seen.mean(batch_stats)
    opt_state = at_step(state.opt_state, state.step)
    updates, opt_state = network.tx.update(grads, opt_state, state.trainable, phase=phase)
    rate = learning_rate(state.step)
    if config.optim.schedule == 'plateau':
      rate = rate * state.trend.lr_scale
      updates = jax.tree.map(lambda u: u * state.trend.lr_scale, updates)
    trainable = optax.apply_updates(state.trainable, updates)
    average = averaged(state, (trainable, batch_stats), decay=config.optim.ema)
    metrics = {
      'loss': loss,
      'grad_norm': optax.tree.norm(grads),
      'learning_rate': rate,
      **{f'loss/{name}': value for name, value in of_task.items()},
    }
    if config.train.on_nonfinite == SKIP:
      metrics['update_norm'] = optax.tree.norm(updates)
      trainable, batch_stats, opt_state, average = keep_if(
        is_sound(metrics),
        (trainable, batch_stats, opt_state, average),
        (state.trainable, state.batch_stats, state.opt_state, state.average),
      )
    after = TrainState(
      state.step + 1,
      trainable,
      state.frozen,
      batch_stats,
      opt_state,
      state.trend,
      average,
    )
    return after, metrics

  return update


def targets_of(part: dict[str, Any], names: Sequence[str]) -> Targets:
  """The targets of a (part of a) batch, mixed if mixup mixed it."""
  return Targets(labels_of(part, names), part.get('partner'), part.get('share'))


def labels_of(batch: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
  """Labels of the tasks, and the weights of those that have some."""
  weighted = (name for task in names if (name := weight_name(task)) in batch)
  return {name: batch[name] for name in (*names, *weighted)}


def log_variances(model: Any) -> dict[str, jax.Array] | None:
  """The learned task weights, if the network has them."""
  learned = getattr(model, 'log_variances', None)
  return None if learned is None else {name: value[...] for name, value in learned.items()}


def still_frozen(trainable: nnx.State, stages: Sequence[Stage], phase: int) -> nnx.State:
  """Parameters of later stages as constants: no gradient is computed for them or through them."""
  if phase == len(stages) - 1:
    return trainable
  leaves, structure = jax.tree.flatten(trainable)
  gated = [
    lax.stop_gradient(leaf) if stage_number(stages, path) > phase else leaf
    for path, leaf in zip(leaf_paths(trainable), leaves, strict=True)
  ]
  return jax.tree.unflatten(structure, gated)


def in_parts(
  grad_fn: Callable[..., Any], state: TrainState, batch: dict[str, Any], key: jax.Array, parts: int
) -> tuple[nnx.State, jax.Array, nnx.State, dict[str, jax.Array]]:
  """Gradient, loss, statistics and task losses of a batch, computed in equal parts.

  The loss of a part is divided by the label counts of the whole batch, so the parts add up exactly;
  only BatchNorm's batch statistics are those of a part.
  """
  if parts == 1:
    (loss, (batch_stats, of_task)), grads = grad_fn(state.trainable, state.batch_stats, batch, key)
    return grads, loss, batch_stats, of_task
  # Every parts-th example, so that examples stay on their device; consecutive ones would move.
  cut = jax.tree.map(
    lambda x: jnp.moveaxis(x.reshape(x.shape[0] // parts, parts, *x.shape[1:]), 1, 0), batch
  )
  keys = jax.random.split(key, parts)

  def one(carry: tuple[Any, Any], at: tuple[Any, jax.Array]) -> tuple[tuple[Any, Any], None]:
    batch_stats, total = carry
    part, key = at
    (loss, (batch_stats, of_task)), grads = grad_fn(state.trainable, batch_stats, part, key)
    return (batch_stats, jax.tree.map(jnp.add, total, (grads, loss, of_task))), None

  shapes = jax.eval_shape(
    lambda: grad_fn(state.trainable, state.batch_stats, jax.tree.map(lambda x: x[0], cut), key)
  )
  (loss, (_, of_task)), grads = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
  # Unrolled on CPU, where XLA runs convolutions inside a loop many times slower.
  unroll = parts if target() == 'cpu' else 1
  (batch_stats, (grads, loss, of_task)), _ = lax.scan(
    one, (state.batch_stats, (grads, loss, of_task)), (cut, keys), unroll=unroll
  )
  return grads, loss, batch_stats, of_task


def averaged(
  state: TrainState, new: tuple[nnx.State, nnx.State], *, decay: float
) -> tuple[nnx.State, nnx.State] | None:
  """The running average after an update, with warm-up so that short runs forget their start."""
  if state.average is None:
    return None
  keep = jnp.minimum(decay, (1.0 + state.step) / (10.0 + state.step))
  return jax.tree.map(lambda old, x: keep * old + (1 - keep) * x, state.average, new)
