"""Host batches: which record comes when, decoding, and padding. No JAX of its own.

The n-th training example of a run is a pure function of (seed, n): `MapDataset` shuffles each
epoch anew, and a run that starts at step s takes examples s * batch_size onwards. The order does
not depend on the number of workers, processes or restarts, so a checkpoint needs only the step.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import grain
import numpy as np
from absl import flags

from flaxart.data.source import Split
from flaxart.data.workers import start as start_worker
from tfds_rijks import images
from tfds_rijks.errors import UserError


@dataclasses.dataclass(frozen=True)
class Shard:
  """Which part of every global batch this process loads."""

  index: int = 0
  count: int = 1


@dataclasses.dataclass(frozen=True)
class Decode:
  """Record number -> decoded square picture and labels; runs in threads or worker processes."""

  split: Split
  size: int
  fit: images.Fit

  def __call__(self, record: int) -> dict[str, Any]:
    """`{'image': uint8 [S, S, 3], 'record': int, task: label}`; no image if on the devices."""
    example = {task: column[record] for task, column in self.split.labels.items()}
    example['record'] = np.int32(record)
    if not self.split.on_device:
      example['image'] = self._picture(record)
    return example

  def _picture(self, record: int) -> np.ndarray:
    if self.split.decoded is not None:
      return self.split.decoded[record]
    name = self.split.ids[record]
    try:
      encoded = self.split.picture(record)
    except Exception as error:  # ArrayRecord's reader raises what its C++ gives it
      raise UserError(
        f'{name}: cannot be read from the prepared data ({error}); check that the data are still '
        'there and the disk is sound'
      ) from None
    try:
      picture = images.decode(encoded, name=name, short_side=self.size)
    except images.ImageError as error:
      raise UserError(
        f'{error}; the prepared data was readable when it was built: check the disk, '
        'then prepare it again'
      ) from None
    return images.fit(picture, self.size, how=self.fit)


def train_batches(
  split: Split,
  *,
  seed: int,
  batch_size: int,
  start_step: int,
  size: int,
  fit: images.Fit,
  workers: int = 0,
  shard: Shard = Shard(),
  shuffle: bool = True,
) -> Iterator[dict[str, np.ndarray]]:
  """Endless batches from step `start_step` on: `image` uint8 `[b, S, S, 3]`, labels `[b, ...]`,
  `record` `[b]` (number within the split) and `draw` `[b]` (how many examples the run had drawn
  before this one: the key of its random augmentation). `b = batch_size / shard.count`.
  """
  if batch_size % shard.count:
    raise UserError(
      f'config.train.batch_size: {batch_size} cannot be divided among {shard.count} '
      f'processes; choose a multiple of {shard.count}'
    )
  if not len(split):
    raise UserError(f'split {split.name}: holds no records; prepare the dataset again')
  order = grain.MapDataset.source(range(len(split))).seed(seed)
  order = (order.shuffle() if shuffle else order).repeat()
  first = start_step * batch_size + shard.index
  decode = Decode(split, size, fit)
  examples = (
    grain.MapDataset.range(first, MANY, shard.count)
    .map(Draw(order, decode))
    .batch(batch_size // shard.count)
  )
  return iter(_prefetched(examples, workers, batch_size // shard.count))


MANY = 2**62  # no run draws so many examples


@dataclasses.dataclass(frozen=True)
class Draw:
  """The n-th example of the run: the record that the shuffled order names, decoded."""

  order: Any
  decode: Decode

  def __call__(self, n: int) -> dict[str, Any]:
    """As `Decode`, with `draw`."""
    return {**self.decode(self.order[n]), 'draw': np.int64(n)}


def eval_batches(
  split: Split,
  *,
  batch_size: int,
  size: int,
  fit: images.Fit,
  workers: int = 0,
  shard: Shard = Shard(),
  first: int = 0,
) -> Iterator[dict[str, np.ndarray]]:
  """Every record from `first` on once, in the order of the split; `mask` `[b]` is False on the
  padding that fills the last batch, so that every process runs equally many steps of one shape.
  """
  steps = -(-(len(split) - first) // batch_size)
  decode = Decode(split, size, fit)
  examples = (
    grain.MapDataset.range(first + shard.index, first + steps * batch_size, shard.count)
    .map(Padded(decode, len(split)))
    .batch(batch_size // shard.count)
  )
  return iter(_prefetched(examples, workers, batch_size // shard.count))


@dataclasses.dataclass(frozen=True)
class Padded:
  """Record n, or past the end the first record with `mask` False."""

  decode: Decode
  length: int

  def __call__(self, n: int) -> dict[str, Any]:
    """As `Decode`, with `mask`."""
    real = n < self.length
    return {**self.decode(n if real else 0), 'mask': np.bool_(real)}


def feature_batches(
  split: Split, features: np.ndarray, *, batch_size: int, shard: Shard = Shard()
) -> Iterator[dict[str, np.ndarray]]:
  """As `eval_batches`, with rows of `features` `[N, D]` for pictures."""
  steps = -(-len(split) // batch_size)
  for step in range(steps):
    n = np.arange(step * batch_size, (step + 1) * batch_size)[shard.index :: shard.count]
    record = np.where(n < len(split), n, 0)
    labels = {task: column[record] for task, column in split.labels.items()}
    yield {'image': features[record], 'record': record, **labels, 'mask': n < len(split)}


def _prefetched(examples: grain.MapDataset, workers: int, batch: int) -> grain.IterDataset:
  """Batches ahead of time, by threads (decoding releases the interpreter lock) or by processes."""
  threads = min(16, os.cpu_count() or 1)
  ahead = max(2, min(8, 512 // batch))  # batches; enough to hide one slow picture, not more memory
  if not workers:
    return examples.to_iter_dataset(
      grain.ReadOptions(num_threads=threads, prefetch_buffer_size=ahead)
    )
  # Grain's workers read absl flags, which nobody has parsed outside absl.app (fixed upstream).
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()
  return examples.to_iter_dataset(
    grain.ReadOptions(num_threads=1, prefetch_buffer_size=2)
  ).mp_prefetch(
    grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=2), start_worker
  )
