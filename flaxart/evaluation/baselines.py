"""Floor and baselines: scores mean nothing without them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from flaxart.data.loader import eval_batches
from flaxart.data.source import Split
from flaxart.tasks.task import Task
from tfds_rijks import images
from tfds_rijks.progress import Progress

PIXELS = 16  # side of the thumbnails
CHUNK = 1024  # test records compared at once


def largest_class(train: Split, split: Split, task: Task) -> dict[str, float | None]:
  """`floor`, for tasks with one class: the main score of always answering the largest class."""
  if not task.one_class:
    return {}
  counts, truth = task.class_counts(train.labels[task.name]), split.labels[task.name]
  truth = truth[task.is_labelled(truth) & counts.any()]
  return {'floor': task.guess_scores(np.full(len(truth), counts.argmax()), truth)[task.main]}


def thumbnails(split: Split, *, fit: images.Fit) -> np.ndarray:
  """`[N, 16 * 16 * 3]` float32 in [0, 1], in the order of the split."""
  split = dataclasses.replace(split, decoded=None, on_device=False)  # the pictures themselves
  progress = Progress(f'16x16 pixels of {split.name}', len(split), unit='img')
  parts = []
  for batch in eval_batches(split, batch_size=256, square=images.Square(PIXELS, fit)):
    parts.append(batch['image'][batch['mask']].reshape(-1, PIXELS * PIXELS * 3))
    progress.update(sum(map(len, parts)))
  progress.close()
  return np.concatenate(parts).astype(np.float32) / 255


def nearest_pixels(
  train: Split, asked: Sequence[Split], tasks: Sequence[Task], *, fit: images.Fit
) -> dict[str, dict[str, dict[str, Any]]]:
  """`{split: {task: scores}}` of answering the label of the nearest training picture, Euclidean on
  16x16 pixels. It learns nothing, yet looks brilliant on a split with near-copies on both sides, so
  it is shown beside every score. Tasks with one class; neighbours without the label are skipped.
  """
  known = thumbnails(train, fit=fit)
  result: dict[str, dict[str, dict[str, Any]]] = {}
  for split in asked:
    pixels = thumbnails(split, fit=fit)
    result[split.name] = {}
    for task in tasks:
      if not task.one_class:
        continue
      labels, truth = train.labels[task.name], split.labels[task.name]
      has = task.is_labelled(labels)
      wants = task.is_labelled(truth) & has.any()
      guess = labels[has][_nearest(known[has], pixels[wants])] if wants.any() else truth[wants]
      scores = task.guess_scores(guess, truth[wants])
      result[split.name][task.name] = {f'pixels16_{name}': value for name, value in scores.items()}
  return result


def _nearest(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
  """Index of the row of `known` nearest to each row of `asked`; the first of equals."""
  squares = (known**2).sum(axis=1)
  found = [
    np.argmin(squares[None, :] - 2 * part @ known.T, axis=1)
    for part in np.array_split(asked, -(-len(asked) // CHUNK))
  ]
  return np.concatenate(found)
