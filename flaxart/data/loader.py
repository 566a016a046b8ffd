"""Host batches: order of records, decoding, and padding.

Does not import JAX. A batch is a pure function of its step: a run that starts at step s makes the
batches from s on. The order (`flaxart.data.order`) does not depend on the number of workers,
processes or restarts, so a checkpoint needs only the step. Threads and workers make whole batches,
because Python's work for each picture holds the interpreter lock.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

import grain
import numpy as np
from absl import flags

from flaxart.data.damage import explained
from flaxart.data.order import example_order
from flaxart.data.source import Split
from flaxart.data.workers import leftovers_unmentioned, signals_wait
from flaxart.data.workers import start as start_worker
from tfds_rijks import images
from tfds_rijks.errors import UserError
from tfds_rijks.pool import default_processes


@dataclasses.dataclass(frozen=True)
class Shard:
  """The part of every global batch that this process loads."""

  index: int = 0
  count: int = 1

  def of(self, batch: np.ndarray) -> np.ndarray:
    """`[B]` -> `[B / count]`: this process's part of a global batch."""
    return batch[self.index :: self.count]


@dataclasses.dataclass(frozen=True)
class Decode:
  """Record numbers -> decoded square pictures and labels; runs in threads or worker processes."""

  split: Split
  square: images.Square

  def __call__(self, records: np.ndarray) -> dict[str, np.ndarray]:
    """`{'image': uint8 [b, S, S, 3], 'record': int32 [b], task: label [b, ...]}` of records `[b]`,
    and `Split.weights`; without `image` if the pictures are on the devices.
    """
    batch = {name: column[records] for name, column in self.split.columns.items()}
    batch['record'] = records.astype(np.int32)
    if self.split.on_device:
      return batch
    if self.split.decoded is not None:
      batch['image'] = self.split.decoded[records]
    else:
      size = self.square.size
      batch['image'] = np.empty((len(records), size, size, 3), np.uint8)
      for place, record in zip(batch['image'], records.tolist(), strict=True):
        place[...] = self._picture(record)
    return batch

  def _picture(self, record: int) -> np.ndarray:
    name = self.split.ids[record]
    try:
      encoded = self.split.picture(record)
    except Exception as error:  # ArrayRecord's reader raises whatever its C++ does
      raise explained(self.split.folder, error, record=name) from None
    try:
      return self.square(encoded, name=name)
    except images.ImageError as error:
      raise explained(
        self.split.folder, ValueError(f'{error.reason} picture'), record=name
      ) from None


def train_batches(
  batch: TrainBatch, *, start_step: int, workers: int = 0
) -> Iterator[dict[str, np.ndarray]]:
  """Endless batches from step `start_step` on: `image` uint8 `[b, S, S, 3]`, labels `[b, ...]`,
  `record` `[b]` (number within the split) and `draw` `[b]` (examples drawn in the run before this
  one: the key of its random augmentation). `b = batch.size / batch.shard.count`.
  """
  split, shard = batch.decode.split, batch.shard
  if batch.size % shard.count:
    raise UserError(
      f'config.train.batch_size: {batch.size} cannot be divided among {shard.count} '
      f'processes; choose a multiple of {shard.count}'
    )
  if not len(split):
    raise UserError(f'split {split.name}: has no records; prepare the dataset again')
  steps = grain.MapDataset.range(start_step, MANY).map(batch)
  return _prefetched(steps, workers, batch.size // shard.count)


MANY = 2**40  # more than any run takes
THREADS = 16  # at most: their batches are held in memory


@dataclasses.dataclass(frozen=True)
class TrainBatch:
  """Step -> this process's part of its batch."""

  decode: Decode
  size: int  # of the global batch
  seed: int
  shard: Shard = Shard()
  shuffle: bool = True

  def __call__(self, step: int) -> dict[str, np.ndarray]:
    """As `Decode`, with `draw`."""
    records = example_order(
      len(self.decode.split),
      first=step * self.size,
      count=self.size,
      seed=self.seed,
      shuffle=self.shuffle,
    )
    draws = np.arange(step * self.size, (step + 1) * self.size)
    return {**self.decode(self.shard.of(records)), 'draw': self.shard.of(draws)}


def eval_batches(
  split: Split,
  *,
  batch_size: int,
  square: images.Square,
  workers: int = 0,
  shard: Shard = Shard(),
  first: int = 0,
) -> Iterator[dict[str, np.ndarray]]:
  """Every record from `first` on once, in the order of the split; `mask` `[b]` is False on the
  padding that fills the last batch, so that every process runs equally many steps of one shape.
  """
  steps = -(-(len(split) - first) // batch_size)
  batch = EvalBatch(Decode(split, square), batch_size, shard, first)
  return _prefetched(grain.MapDataset.range(steps).map(batch), workers, batch_size // shard.count)


@dataclasses.dataclass(frozen=True)
class EvalBatch:
  """Step -> this process's part of the records, past the end, the first record with `mask`
  False."""

  decode: Decode
  size: int  # of the global batch
  shard: Shard
  first: int

  def __call__(self, step: int) -> dict[str, np.ndarray]:
    """As `Decode`, with `mask`."""
    n = self.shard.of(self.first + np.arange(step * self.size, (step + 1) * self.size))
    real = n < len(self.decode.split)
    return {**self.decode(np.where(real, n, 0)), 'mask': real}


def _prefetched(
  batches: grain.MapDataset, workers: int, batch: int
) -> Iterator[dict[str, np.ndarray]]:
  """Batches ahead of time, by threads (decoding releases the interpreter lock) or by processes."""
  threads = min(THREADS, default_processes())
  # Batches, one per thread: enough to hide a slow picture without much memory.
  ahead = max(2, threads, min(8, 512 // batch))
  if not workers:
    read = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=ahead)
    return iter(batches.to_iter_dataset(read))
  # Grain's workers read absl flags, which are not parsed outside absl.app (fixed upstream).
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()
  leftovers_unmentioned()
  return _of_workers(
    batches.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=2)).mp_prefetch(
      grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=2), start_worker
    ),
    workers,
  )


def _of_workers(batches: grain.IterDataset, workers: int) -> Iterator[dict[str, np.ndarray]]:
  """The batches; raises `UserError` if a worker was killed, perhaps for memory."""
  try:
    with signals_wait():  # threads of the iterator start the workers
      rest = iter(batches)
      first = next(rest, None)
    if first is not None:
      yield first
      yield from rest
  except RuntimeError as error:
    gone = re.search(r'terminated unexpectedly with exit code (-?\d+)', str(error))
    if not gone:
      raise
    raise UserError(
      f'config.data.workers: one of {workers} decoding processes ended with code {gone[1]} (-9: '
      'killed, perhaps for memory); give fewer, or 0 for threads, and start the run again: it '
      'continues from its latest checkpoint'
    ) from None
