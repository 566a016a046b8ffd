"""What training minimises: a loss a task, and how the tasks' losses become one number.

A missing label adds exactly 0, with zero gradient, to loss and denominator alike. Summing the tasks
with equal weights is the rule behind Figure 2 of Sabatelli, Kestemont and Geurts, and the default.
What departs from that is in `objective`. Evaluation always reports the plain loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from flaxart.tasks.objective import Labels, Mix, Objective
from flaxart.tasks.task import PLAIN, Task


def example_losses(
  task: Task, logits: jax.Array, labels: jax.Array, *, objective: Objective | None = None
) -> jax.Array:
  """Loss of each record, `[B]`, exactly 0 (with zero gradient) where the label is missing.

  `logits` `[B, O]` float32, `labels` as in `Split.labels`.
  """
  terms = objective.terms.get(task.name, PLAIN) if objective else PLAIN
  return jnp.where(task.is_labelled(labels), task.losses(logits, labels, terms), 0.0)


def label_counts(
  tasks: Sequence[Task], labels: Labels, mix: Mix | None = None
) -> dict[str, jax.Array]:
  """How many records of a batch carry each task's label (shares of records under mixup)."""
  counts = {}
  for task in tasks:
    known = task.is_labelled(labels[task.name])
    if mix is not None:
      other = task.is_labelled(mix.partner[task.name])
      known = known * mix.share + other * (1 - mix.share)
    counts[task.name] = known.sum()
  return counts


def total_loss(
  tasks: Sequence[Task],
  logits: Mapping[str, jax.Array],
  labels: Labels,
  *,
  objective: Objective | None = None,
  mix: Mix | None = None,
  log_variances: Mapping[str, jax.Array] | None = None,
  counts: Mapping[str, jax.Array] | None = None,
  share: float = 1.0,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Weighted sum over tasks of the mean over labelled records, and the means themselves.

  A batch in which nothing carries a label adds exactly 0 for that task. With `log_variances` the
  weights are learned: `exp(-s) * loss + s / 2` (`loss_factor` times the first term), Kendall, Gal
  and Cipolla, "Multi-task learning using uncertainty", CVPR 2018. `counts` are the denominators of
  the whole batch where this is only a `share` of it (gradient accumulation).
  """
  counts = label_counts(tasks, labels, mix) if counts is None else counts
  means: dict[str, jax.Array] = {}
  total = jnp.float32(0)
  for task in tasks:
    losses = example_losses(task, logits[task.name], labels[task.name], objective=objective)
    if mix is not None:
      other = mix.partner[task.name]
      partner = example_losses(task, logits[task.name], other, objective=objective)
      losses = mix.share * losses + (1 - mix.share) * partner
    count = counts[task.name]
    # Under mixup a count can be a fraction of a record: only an empty sum may not divide.
    mean = losses.sum() / jnp.where(count > 0, count, 1)
    means[task.name] = mean
    if log_variances is None:
      total = total + task.weight * mean
    else:
      s: Any = log_variances[task.name]
      # Without a label there is no loss to balance: s must not drift on its regulariser alone.
      weighted = task.loss_factor * jnp.exp(-s) * mean
      total = total + jnp.where(count > 0, weighted + share * s / 2, 0.0)
  return total, means
