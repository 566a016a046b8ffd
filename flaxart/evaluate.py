"""Evaluation: every record of a split counted once, in inference mode."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from flaxart import metrics
from flaxart.data.loader import Shard, eval_batches
from flaxart.data.source import Split
from flaxart.sharding import put_batch
from flaxart.state import Network, TrainState
from flaxart.tasks import REGRESSION, SIGMOID, SOFTMAX, Task
from tfds_rijks.progress import Progress


@functools.partial(jax.jit, static_argnames=('network',))
def eval_step(
  state: TrainState, batch: dict[str, Any], *, network: Network
) -> tuple[dict[str, Any], dict[str, jax.Array]]:
  """Counts of one batch per task (`metrics.batch_counts`), and the scores of sigmoid tasks."""
  model = network.merge(state.trainable, state.frozen, state.batch_stats)
  logits = model(batch['image'], train=False)
  counts = {
    task.name: metrics.batch_counts(task, logits[task.name], batch[task.name], batch['mask'])
    for task in network.tasks
  }
  return counts, {task.name: logits[task.name] for task in network.tasks if task.kind == SIGMOID}


def evaluate(
  network: Network,
  state: TrainState,
  split: Split,
  config: ConfigDict,
  *,
  mesh: Mesh,
  floors: dict[str, int | None],
) -> dict[str, dict[str, Any]]:
  """`{task: scores}` on a split; `floors` are the classes of `largest_classes(train)`."""
  batch_size = -(-config.eval.batch_size // jax.device_count()) * jax.device_count()
  shard = Shard(jax.process_index(), jax.process_count())
  total: Any = None
  scores: dict[str, list[np.ndarray]] = {task.name: [] for task in network.tasks}
  progress = Progress(f'evaluating {split.name}', len(split), unit='img')
  batches = eval_batches(
    split,
    batch_size=batch_size,
    size=config.data.image_size,
    fit=config.data.fit,
    workers=config.data.workers,
    shard=shard,
  )
  for step, batch in enumerate(batches):
    counts, of_batch = eval_step(state, put_batch(batch, mesh), network=network)
    # Adding on the host in float64: the sum over many batches keeps every digit.
    counts = jax.tree.map(lambda x: np.asarray(x, np.float64), counts)
    total = counts if total is None else jax.tree.map(np.add, total, counts)
    for name, value in of_batch.items():
      scores[name].append(np.asarray(value))
    progress.update(min(len(split), (step + 1) * batch_size))
  progress.close()
  result = {}
  for task in network.tasks:
    truth = split.labels[task.name]
    extra = {}
    if task.kind == SIGMOID:
      known = truth.any(axis=1)
      extra = {
        'scores': np.concatenate(scores[task.name])[: len(split)][known],
        'truth': truth[known],
      }
    result[task.name] = metrics.finish(
      task, total[task.name], floor_class=floors[task.name], **extra
    )
  return result


def largest_classes(train: Split, tasks: Sequence[Task]) -> dict[str, int | None]:
  """The training split's largest class of each softmax task: what the floor always answers."""
  return {
    task.name: int(np.bincount(known).argmax())
    if task.kind == SOFTMAX and len(known := train.labels[task.name][train.labels[task.name] >= 0])
    else None
    for task in tasks
  }


def with_target_scale(tasks: Sequence[Task], train: Split) -> list[Task]:
  """Regression tasks with the mean and standard deviation of the training labels."""
  import dataclasses

  scaled = []
  for task in tasks:
    if task.kind == REGRESSION:
      known = train.labels[task.name][~np.isnan(train.labels[task.name])]
      scale = float(known.std()) if len(known) > 1 else 1.0
      task = dataclasses.replace(
        task, center=float(known.mean()) if len(known) else 0.0, scale=scale or 1.0
      )
    scaled.append(task)
  return scaled


def labelled_records(task: Task, split: Split) -> int:
  """How many records of a split carry a label of this task."""
  labels = split.labels[task.name]
  if task.kind == SOFTMAX:
    return int((labels >= 0).sum())
  return int(labels.any(axis=1).sum() if task.kind == SIGMOID else (~np.isnan(labels)).sum())
