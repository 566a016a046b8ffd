"""Scores, first half: what the eval step counts on the device.

`count` runs inside the jitted eval step. It adds whole numbers to counts that stay on the device
from batch to batch (a confusion matrix of thousands of classes never travels), and gives what is
left of each record: its five best classes, its loss. `scores.finish` makes the scores of both.

Padding, batch size and the number of processes cannot change a digit: counts are integers, and
whatever is no integer is summed on the host, record by record in the order of the split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flaxart.tasks.losses import example_losses
from flaxart.tasks.task import REGRESSION, SIGMOID, SOFTMAX, Task, is_labelled

TOP = 5  # classes kept of each record; scores go from top-1 to top-5
REST = 'rest'  # its class for every creator without a class of their own
MAIN = {SOFTMAX: 'top1', SIGMOID: 'map', REGRESSION: 'within_50'}


def zero_counts(task: Task) -> dict[str, np.ndarray]:
  """Counts before the first batch, all int32.

  Softmax: `n`, `of_class` `[C]` (records by true class), `hits` `[5, C]` (those among the first
  1 to 5 answers), `hits_without_rest` (as if the class "rest" could not be answered; only where
  there is one), `confusion` `[C, C]` (true class, answer). Sigmoid: `n`, and by class `so` (true),
  `said` (score above one half) and `true_positive`. Regression: `n`.
  """
  C = task.outputs
  shapes: dict[str, tuple[int, ...]] = {'n': ()}
  if task.kind == SOFTMAX:
    shapes |= {'of_class': (C,), 'hits': (TOP, C), 'confusion': (C, C)}
    if REST in task.classes:
      shapes['hits_without_rest'] = (TOP, C)
  elif task.kind == SIGMOID:
    shapes |= {'so': (C,), 'said': (C,), 'true_positive': (C,)}
  return {name: np.zeros(shape, np.int32) for name, shape in shapes.items()}


def count(
  task: Task,
  counts: Mapping[str, jax.Array],
  logits: jax.Array,
  labels: jax.Array,
  mask: jax.Array,
) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
  """Adds a batch to `counts`; returns them, and what each record gave (`[B, ...]`).

  `logits` `[B, outputs]`, `labels` as in `losses.example_losses`, `mask` `[B]` (False: padding).
  Of records: `logits`; softmax and sigmoid: `loss` float32 (0 where there is no label); softmax:
  `top` `[B, min(5, C)]` int32 classes by falling probability, and `p` their probabilities.
  """
  known = is_labelled(task, labels) & mask
  counts = {**counts, 'n': counts['n'] + known.sum(dtype=jnp.int32)}
  found = {'logits': logits}
  if task.kind == REGRESSION:
    return counts, found
  found['loss'] = jnp.where(known, example_losses(task, logits, labels), 0.0)
  if task.kind == SIGMOID:
    says, is_so = logits > 0, labels.astype(bool)
    for name, these in (('said', says), ('so', is_so), ('true_positive', says & is_so)):
      counts[name] = counts[name] + (known[:, None] & these).sum(axis=0, dtype=jnp.int32)
    return counts, found
  new, best = _count_softmax(task, counts, logits, labels, known)
  return counts | new, found | best


def _count_softmax(
  task: Task,
  counts: Mapping[str, jax.Array],
  logits: jax.Array,
  labels: jax.Array,
  known: jax.Array,
) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
  """The counts of a softmax task but `n`, and `top` and `p` of the records."""
  truth = jnp.maximum(labels, 0)
  # Ties go to the lower class, here as in `rank`: equal scores cannot count as a hit twice. (For
  # top_k, 0 is more than -0.)
  _, top = jax.lax.top_k(jnp.where(logits == 0, 0.0, logits), min(TOP, task.outputs))
  p = jnp.take_along_axis(jax.nn.softmax(logits), top, axis=1)
  # A logit that is not a number beats nothing and is beaten by nothing: call it wrong.
  broken = jnp.isnan(logits).any(axis=1)
  # A record's rank is the number of classes that score higher.
  own = jnp.take_along_axis(logits, truth[:, None], axis=1)
  earlier = jnp.arange(task.outputs)[None, :] < truth[:, None]
  higher = (logits > own) | ((logits == own) & earlier)
  rank = jnp.where(broken, task.outputs + TOP, higher.sum(axis=1))

  def add_hits(hits: jax.Array, rank: jax.Array) -> jax.Array:
    within = rank[None, :] <= jnp.arange(TOP)[:, None]  # [5, B]
    return hits.at[:, truth].add((within & known).astype(jnp.int32))

  answered = (known & ~broken).astype(jnp.int32)
  new = {
    'of_class': counts['of_class'].at[truth].add(known.astype(jnp.int32)),
    'hits': add_hits(counts['hits'], rank),
    'confusion': counts['confusion'].at[truth, top[:, 0]].add(answered),
  }
  if 'hits_without_rest' in counts:
    beaten_by_rest = higher[:, task.classes.index(REST)]
    new['hits_without_rest'] = add_hits(counts['hits_without_rest'], rank - beaten_by_rest)
  return new, {'top': top, 'p': p}


def main_score(scores: Mapping[str, Mapping[str, Any]], tasks: Sequence[Task]) -> float:
  """Mean over the tasks of top-1, mAP or the share within 50 years: what `best` goes by."""
  values = [scores[task.name][MAIN[task.kind]] for task in tasks]
  known = [value for value in values if value is not None]
  return float(np.mean(known)) if known else float('nan')
