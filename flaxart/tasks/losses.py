"""The training loss: one loss per task, and their sum.

A missing label adds exactly 0, with zero gradient, to loss and denominator. Summing the tasks with
equal weights is the rule behind Figure 2 of Sabatelli, Kestemont and Geurts, and the default.
Departures from that are in `objective`. Evaluation always reports the plain loss.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from flaxart.data.source import weight_name
from flaxart.tasks.objective import Objective
from flaxart.tasks.task import PLAIN, Task

Labels = Mapping[str, jax.Array]  # with weights of labels under `weight_name`


class Targets(NamedTuple):
  """`labels` `{task: [B, ...]}` of a batch.

  Under mixup (Zhang et al., 2018) record i is `share[i]` of itself and the rest of its partner,
  whose labels are `partner`, in the order of the batch.
  """

  labels: Labels
  partner: Labels | None = None
  share: jax.Array | None = None


class Whole(NamedTuple):
  """The batch that the records are a `share` of: how many of its records have each label."""

  counts: Mapping[str, jax.Array]
  share: float = 1.0


def example_losses(
  task: Task,
  logits: jax.Array,
  labels: jax.Array,
  weights: jax.Array | None = None,
  *,
  objective: Objective | None = None,
) -> jax.Array:
  """Loss of each record, `[B]`, exactly 0 (with zero gradient) where the label is missing.

  `logits` `[B, O]` float32, `labels` and `weights` as in `Split`.
  """
  terms = objective.terms.get(task.name, PLAIN) if objective else PLAIN
  if weights is None:
    losses = task.losses(logits, labels, terms)
  else:
    losses = task.weighted_losses(logits, labels, weights, terms)
  return jnp.where(task.is_labelled(labels), losses, 0.0)


def label_counts(tasks: Sequence[Task], targets: Targets) -> dict[str, jax.Array]:
  """The number of records in a batch that have each task's label (shares of records under mixup,
  and their weights)."""

  def counted(task: Task, labels: jax.Array, weights: jax.Array | None) -> jax.Array:
    known = task.is_labelled(labels)
    if weights is None:
      return known
    return jnp.where(known, weights if weights.ndim == 1 else weights.max(axis=-1), 0.0)

  return {
    task.name: _mixed(targets, task.name, functools.partial(counted, task)).sum() for task in tasks
  }


def _mixed(targets: Targets, name: str, of_labels: Callable[..., jax.Array]) -> jax.Array:
  """`of_labels` of a task's labels and weights, mixed as the records are."""
  weights = weight_name(name)
  own = of_labels(targets.labels[name], targets.labels.get(weights))
  if targets.partner is None or targets.share is None:
    return own
  other = of_labels(targets.partner[name], targets.partner.get(weights))
  return own * targets.share + other * (1 - targets.share)


def total_loss(
  tasks: Sequence[Task],
  logits: Mapping[str, jax.Array],
  targets: Targets,
  *,
  objective: Objective | None = None,
  log_variances: Mapping[str, jax.Array] | None = None,
  whole: Whole | None = None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Weighted sum over tasks of the mean over labelled records, and the means themselves.

  A batch without a label for a task adds exactly 0 for it. With `log_variances` the
  weights are learned: `exp(-s) * loss + s / 2` (`loss_factor` times the first term), Kendall, Gal
  and Cipolla, "Multi-task learning using uncertainty", CVPR 2018. `whole` is given if this is a
  part of a batch (gradient accumulation): the parts add up to it.
  """
  whole = Whole(label_counts(tasks, targets)) if whole is None else whole
  means: dict[str, jax.Array] = {}
  total = jnp.float32(0)
  for task in tasks:
    of_labels = functools.partial(example_losses, task, logits[task.name], objective=objective)
    count = whole.counts[task.name]
    # Under mixup a count can be a fraction of a record; only an empty sum must not divide.
    mean = _mixed(targets, task.name, of_labels).sum() / jnp.where(count > 0, count, 1)
    means[task.name] = mean
    if log_variances is None:
      total = total + task.weight * mean
    else:
      s: Any = log_variances[task.name]
      # Without a label there is no loss to balance, and s must not drift on its regulariser alone.
      weighted = task.loss_factor * jnp.exp(-s) * mean
      total = total + jnp.where(count > 0, weighted + whole.share * s / 2, 0.0)
  return total, means
