"""Results of single records: gathered from batches and processes, and stored beside the scores.

`predictions_<split>.npz` lets a report resample objects (bootstrap), compare runs record by record
and show pictures without a network; `tables.json` has per-class scores.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from flaxart.data.source import Split
from flaxart.machine.files import write_bytes, write_text
from flaxart.tasks.task import Task
from tfds_rijks import strict_json

TABLES = 'tables.json'


class Rows:
  """The results of a split's records in order, from any batch and process, without the padding.
  `found` is a tree of `[N, ...]`.
  """

  def __init__(self, length: int):
    self.length = length
    self.found: Any = None

  def add(self, found: Any, record: np.ndarray, mask: np.ndarray) -> None:
    """`found`: a tree of `[B, ...]`; `record` `[B]` numbers within the split; `mask` `[B]`."""
    if self.found is None:
      self.found = jax.tree.map(lambda x: np.empty((self.length, *x.shape[1:]), x.dtype), found)

    def put(column: np.ndarray, values: np.ndarray) -> None:
      column[record[mask]] = values[mask]

    jax.tree.map(put, self.found, found)


def fetch(tree: Any) -> Any:
  """Arrays over all devices as NumPy arrays, whole on every process."""
  if jax.process_count() > 1:
    return multihost_utils.process_allgather(tree, tiled=True)
  return jax.device_get(tree)


def without_logits(tasks: Sequence[Task], found: Mapping[str, Any]) -> dict[str, Any]:
  """`found` without logits not needed for scores."""
  drop = {task.name for task in tasks if not task.scores_need_logits}
  return {
    name: {key: x for key, x in of_task.items() if key != 'logits' or name not in drop}
    for name, of_task in found.items()
  }


def predictions(
  split: Split, tasks: Sequence[Task], found: Mapping[str, Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
  """The arrays of `predictions_<split>.npz`, in the order of the split.

  `ids`, `groups` `[N]` text; for each task `T/label` as in `Split.labels` and the arrays of its
  kind.
  """
  arrays = {'ids': np.array(split.ids, np.str_), 'groups': np.array(split.groups, np.str_)}
  for task in tasks:
    kept = {'label': split.labels[task.name], **task.predictions(found[task.name])}
    arrays |= {f'{task.name}/{key}': kept[key] for key in task.stored}
  return arrays


def write_predictions(workdir: Path, split: str, arrays: Mapping[str, np.ndarray]) -> None:
  """Writes `predictions_<split>.npz`; process 0 only."""
  if jax.process_index() == 0:
    data = io.BytesIO()
    np.savez_compressed(data, allow_pickle=False, **arrays)
    write_bytes(workdir / f'predictions_{split}.npz', data.getvalue())


def write_tables(workdir: Path, tables: Mapping[str, Mapping[str, Any]]) -> None:
  """Writes `tables.json`, `{split: {task: scores.table}}`; process 0 only."""
  if jax.process_index() == 0:
    write_text(workdir / TABLES, strict_json.text(tables, indent=None))
