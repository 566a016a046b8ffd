"""Scores of one task on one split: counted on the device, divided on the host.

`count` runs inside the jitted eval step. It adds whole numbers to counts that stay on the device
from batch to batch (a confusion matrix of thousands of classes never travels), and returns the
results of each record. `finish` makes the scores from both; docs/scores.md explains each.

Padding, batch size and the number of processes cannot change a digit: counts are integers, and
floats are summed on the host, record by record in the order of the split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flaxart.tasks.arithmetic import divide
from flaxart.tasks.task import Task


def zero_counts(task: Task) -> dict[str, np.ndarray]:
  """Counts before the first batch, all int32: `n` labelled records, and the counts of the kind."""
  shapes: dict[str, tuple[int, ...]] = {'n': (), **task.count_shapes()}
  return {name: np.zeros(shape, np.int32) for name, shape in shapes.items()}


def count(
  task: Task,
  counts: Mapping[str, jax.Array],
  logits: jax.Array,
  labels: jax.Array,
  mask: jax.Array,
) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
  """Adds a batch to `counts`; returns them and the results of each record (`[B, ...]`).

  `logits` `[B, O]`, `labels` as in `Split.labels`, `mask` `[B]` (False: padding). Results per
  record: `logits`, `loss` float32 (0 without a label), and those of the kind.
  """
  known = task.is_labelled(labels) & mask
  counts = {**counts, 'n': counts['n'] + known.sum(dtype=jnp.int32)}
  new, found = task.count(counts, logits, labels, known)
  loss = jnp.where(known, task.losses(logits, labels), 0.0)
  return counts | new, {'logits': logits, 'loss': loss} | found


def finish(
  task: Task, counts: Mapping[str, Any], found: Mapping[str, np.ndarray], labels: np.ndarray
) -> dict[str, Any]:
  """The scores of one task on one split, as fractions, or in the label's unit (`task.in_units`).

  `counts` and `found` as from `count`, `found` and `labels` `[N, ...]` in the order of the split.
  Without any labelled record every score is None.
  """
  n = int(counts['n'])
  result: dict[str, Any] = {'n': n} | ({'classes': len(task.classes)} if task.classes else {})
  result['loss'] = divide(found['loss'].sum(dtype=np.float64), n)
  return result | task.scores(_whole(counts), found, labels)


def table(task: Task, counts: Mapping[str, Any]) -> dict[str, Any]:
  """The entry of `tables.json`; empty for a kind without one."""
  return task.tables(_whole(counts))


def main_score(scores: Mapping[str, Mapping[str, Any]], tasks: Sequence[Task]) -> float:
  """Mean over the tasks of their main scores, by which the best checkpoint is chosen."""
  values = [scores[task.name][task.main] for task in tasks]
  known = [value for value in values if value is not None]
  return float(np.mean(known)) if known else float('nan')


def _whole(counts: Mapping[str, Any]) -> dict[str, np.ndarray]:
  return {name: np.asarray(value, np.int64) for name, value in counts.items()}
