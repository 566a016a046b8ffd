"""Baselines that know no art: what a score must be compared with before it means anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flaxart.data.loader import eval_batches
from flaxart.data.source import Split
from flaxart.tasks.scores import accuracies
from flaxart.tasks.task import SOFTMAX, Task
from tfds_rijks import images
from tfds_rijks.progress import Progress

PIXELS = 16  # side of the thumbnails
CHUNK = 1024  # test records compared at once


def largest_class(train: Split, split: Split, task: Task) -> dict[str, float | None]:
  """`floor`, softmax tasks only: accuracy of always answering the largest class of `train`."""
  if task.kind != SOFTMAX:
    return {}
  known, truth = (labels[labels >= 0] for labels in (s.labels[task.name] for s in (train, split)))
  if not len(known) or not len(truth):
    return {'floor': None}
  return {'floor': float((truth == np.bincount(known).argmax()).mean())}


def thumbnails(split: Split, *, fit: images.Fit) -> np.ndarray:
  """`[N, 16 * 16 * 3]` float32 in [0, 1], in the order of the split."""
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
  """`{split: {task: scores}}`: answers the label of the nearest training picture, Euclidean on
  16x16 pixels.

  No learning at all; on a split that puts near-twins on both sides it looks brilliant, which is why
  it stands beside every score. Softmax tasks only; neighbours without the label are passed over.
  """
  known = thumbnails(train, fit=fit)
  result: dict[str, dict[str, dict[str, Any]]] = {}
  for split in asked:
    pixels = thumbnails(split, fit=fit)
    result[split.name] = {}
    for task in tasks:
      if task.kind != SOFTMAX:
        continue
      labels, truth = train.labels[task.name], split.labels[task.name]
      has, wants = labels >= 0, truth >= 0
      top1 = balanced = None
      if has.any() and wants.any():
        guess = labels[has][_nearest(known[has], pixels[wants])]
        top1, balanced = accuracies(guess, truth[wants])
      result[split.name][task.name] = {
        'pixels16_top1': top1,
        'pixels16_balanced_accuracy': balanced,
      }
  return result


def _nearest(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
  """Index of the row of `known` nearest to each row of `asked`; the first one of equals."""
  squares = (known**2).sum(axis=1)
  found = [
    np.argmin(squares[None, :] - 2 * part @ known.T, axis=1)
    for part in np.array_split(asked, -(-len(asked) // CHUNK))
  ]
  return np.concatenate(found)
