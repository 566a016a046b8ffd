"""Scores: counts on the device, divisions on the host, so that padding and batch size never matter.

`batch_counts` runs inside the jitted eval step and returns sums over the records of a batch;
sums of batches are added, and `finish` turns the total into the scores of `results.json`.
Average precision needs the ranking of all records, so a sigmoid task also hands its scores over.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flaxart.losses import example_losses
from flaxart.tasks import REGRESSION, SIGMOID, SOFTMAX, Task, is_labelled

YEARS = 50  # "share within 50 years" of the Rijksmuseum Challenge
MAIN = {SOFTMAX: 'top1', SIGMOID: 'map', REGRESSION: 'within_50'}


def batch_counts(
  task: Task, logits: jax.Array, labels: jax.Array, mask: jax.Array
) -> dict[str, jax.Array]:
  """Sums over the records of one batch that have a label and are no padding.

  `logits` `[B, outputs]`, `labels` as in `losses.example_losses`, `mask` `[B]` (False: padding).
  """
  known = is_labelled(task, labels) & mask
  losses = example_losses(task, logits, labels)
  counts = {'n': known.sum(), 'loss': jnp.where(known, losses, 0.0).sum()}
  if task.kind == SOFTMAX:
    truth = jnp.maximum(labels, 0)
    # A record's rank is the number of classes that score higher; ties go to the lower index, as in
    # argmax, so that equal scores cannot count as a hit twice.
    own = jnp.take_along_axis(logits, truth[:, None], axis=1)
    earlier = jnp.arange(logits.shape[1])[None, :] < truth[:, None]
    rank = ((logits > own) | ((logits == own) & earlier)).sum(axis=1)
    # A logit that is not a number beats nothing and is beaten by nothing: call it wrong.
    rank = jnp.where(jnp.isnan(logits).any(axis=1), logits.shape[1], rank)
    zeros = jnp.zeros(task.outputs, jnp.int32)
    counts['of_class'] = zeros.at[truth].add(known.astype(jnp.int32))
    counts['hits'] = zeros.at[truth].add((known & (rank < 1)).astype(jnp.int32))
    counts['hits5'] = (known & (rank < 5)).sum()
  elif task.kind == SIGMOID:
    says, is_so = logits > 0, labels.astype(bool)
    known = known[:, None]
    counts['true_positive'] = (known & says & is_so).sum()
    counts['said'] = (known & says).sum()
    counts['so'] = (known & is_so).sum()
  else:
    error = jnp.abs(logits[:, 0] * task.scale + task.center - labels)
    error = jnp.where(known, error, 0.0)
    counts['absolute'] = error.sum()
    counts['square'] = jnp.square(error).sum()
    counts['near'] = (known & (error <= YEARS)).sum()
  return counts


def finish(
  task: Task,
  counts: dict[str, Any],
  *,
  floor_class: int | None = None,
  scores: np.ndarray | None = None,
  truth: np.ndarray | None = None,
) -> dict[str, Any]:
  """The scores of one task on one split, as fractions (years for `mae` and `rmse`).

  `floor_class` is the training split's largest class; `scores` and `truth` `[N, C]` are given for
  sigmoid tasks. Without any labelled record the scores are None, never a number.
  """
  n = int(counts['n'])
  result: dict[str, Any] = {'n': n}
  if task.kind != REGRESSION:
    result['classes'] = len(task.classes)
  result['loss'] = _divide(counts['loss'], n)
  if task.kind == SOFTMAX:
    of_class, hits = np.asarray(counts['of_class']), np.asarray(counts['hits'])
    present = of_class > 0
    result['top1'] = _divide(hits.sum(), n)
    result['top5'] = _divide(counts['hits5'], n)
    result['balanced_accuracy'] = float((hits[present] / of_class[present]).mean()) if n else None
    result['floor'] = _divide(of_class[floor_class], n) if floor_class is not None else None
  elif task.kind == SIGMOID:
    exact, interpolated = average_precisions(scores, truth) if n else ([], [])
    result['map'] = float(np.mean(exact)) if exact else None
    result['map_interpolated'] = float(np.mean(interpolated)) if interpolated else None
    result['f1_micro'] = _divide(2 * counts['true_positive'], counts['said'] + counts['so'])
  else:
    result['mae'] = _divide(counts['absolute'], n)
    result['rmse'] = float(np.sqrt(counts['square'] / n)) if n else None
    result['within_50'] = _divide(counts['near'], n)
  return result


def average_precisions(
  scores: np.ndarray | None, truth: np.ndarray | None
) -> tuple[list[float], list[float]]:
  """Average precision of each class with a positive record: exact, and 11-point interpolated.

  Records with equal scores are one threshold, as in scikit-learn, so the order of the file cannot
  change the result. The interpolated form (precision at recall 0, 0.1 ... 1, each the best at that
  recall or above) is what the Rijksmuseum Challenge reports.
  """
  exact: list[float] = []
  interpolated: list[float] = []
  if scores is None or truth is None:
    raise ValueError('average precision needs the scores and labels of all records')
  for score, positive in zip(scores.T, truth.T.astype(bool), strict=True):
    if not positive.any():
      continue
    order = np.argsort(-score, kind='stable')
    threshold = np.r_[np.flatnonzero(np.diff(score[order])), len(score) - 1]
    hits = np.cumsum(positive[order])[threshold]
    precision = hits / (threshold + 1)
    recall = hits / hits[-1]
    exact.append(float(np.sum(np.diff(recall, prepend=0.0) * precision)))
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, np.linspace(0, 1, 11) - 1e-12)
    interpolated.append(float(best_from_here[at].mean()))
  return exact, interpolated


def main_score(scores: dict[str, dict[str, Any]], tasks: list[Task]) -> float:
  """Mean over the tasks of top-1, mAP or the share within 50 years: what `best` goes by."""
  values = [scores[task.name][MAIN[task.kind]] for task in tasks]
  known = [value for value in values if value is not None]
  return float(np.mean(known)) if known else float('nan')


def _divide(a: Any, b: Any) -> float | None:
  return float(a) / float(b) if b else None
