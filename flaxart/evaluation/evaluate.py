"""Evaluation: every record of a split counted once, in inference mode."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from flaxart.config import square_of
from flaxart.data.loader import Shard, eval_batches
from flaxart.data.source import Split
from flaxart.evaluation.records import Rows, fetch, without_logits
from flaxart.logs.compiling import compiling_evaluation
from flaxart.machine.one_behind import one_behind
from flaxart.machine.sharding import device_batch, put_batch, replicated
from flaxart.network.state import Network, TrainState
from flaxart.tasks.scores import count, finish, zero_counts
from tfds_rijks.progress import Progress

Counts = dict[str, dict[str, jax.Array]]


@functools.partial(jax.jit, static_argnames=('network',), donate_argnames=('counts',))
def eval_step(
  state: TrainState, counts: Counts, batch: dict[str, Any], *, network: Network
) -> tuple[Counts, dict[str, dict[str, jax.Array]]]:
  """Adds a batch to the counts of each task (`scores.count`); returns them and the results of each
  record. The given counts are donated.
  """
  model = network.merge(state.trainable, state.frozen, state.batch_stats)
  logits = model(batch['image'], train=False)
  done = {
    task.name: count(task, counts[task.name], logits[task.name], batch[task.name], batch['mask'])
    for task in network.tasks
  }
  return {k: new for k, (new, _) in done.items()}, {k: found for k, (_, found) in done.items()}


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """An evaluated split: `counts` and `found` per task as from `scores.count`, on the host in the
  order of the split, and their `scores`.
  """

  scores: dict[str, dict[str, Any]]
  counts: dict[str, dict[str, np.ndarray]]
  found: dict[str, dict[str, np.ndarray]]


def evaluate(
  network: Network, state: TrainState, split: Split, config: ConfigDict
) -> dict[str, dict[str, Any]]:
  """`{task: scores}` on a split."""
  return evaluate_records(network, state, split, config).scores


def evaluate_records(
  network: Network,
  state: TrainState,
  split: Split,
  config: ConfigDict,
  *,
  keep_logits: bool = False,
) -> Evaluation:
  """As `evaluate`, with the results of each record; logits not needed for scores only on request,
  since they are records times classes.
  """
  batch_size, mesh = device_batch(config.eval.batch_size), state.mesh
  zero = {task.name: zero_counts(task) for task in network.tasks}
  counts: Any = jax.device_put(zero, replicated(mesh))
  rows = Rows(len(split))
  progress = Progress(f'evaluating {split.name}', len(split), unit='img')
  batches = eval_batches(
    split,
    batch_size=batch_size,
    square=square_of(config),
    workers=config.data.workers,
    shard=Shard(jax.process_index(), jax.process_count()),
  )

  def dispatched() -> Iterator[Any]:
    nonlocal counts
    first: AbstractContextManager[None] = compiling_evaluation(config)
    for batch in batches:
      placed = put_batch(batch, mesh)
      with first:
        counts, found = eval_step(state, counts, placed, network=network)
      first = contextlib.nullcontext()
      found = found if keep_logits else without_logits(network.tasks, found)
      yield found, placed['record'], placed['mask']

  for step, result in enumerate(one_behind(dispatched())):
    rows.add(*fetch(result))
    progress.update(min(len(split), (step + 1) * batch_size))
  progress.close()
  counts = fetch(counts)
  scores = {
    task.name: finish(task, counts[task.name], rows.found[task.name], split.labels[task.name])
    for task in network.tasks
  }
  return Evaluation(scores, counts, rows.found)
