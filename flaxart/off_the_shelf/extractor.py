"""Features of a frozen trunk: each picture passes through it once, whatever heads are tried.

The features of a frozen trunk never change, so they are computed once, in inference mode with
BatchNorm folded into the convolutions, and kept under a key of everything they depend on
(`key_of`). A second run with other heads, tasks or optimizers reuses them.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from ml_collections import ConfigDict

import flaxart
from flaxart.config import square_of
from flaxart.data.decoded import data_sha256
from flaxart.data.loader import Shard, eval_batches
from flaxart.data.source import Dataset, Split
from flaxart.logs.compiling import compiling_evaluation
from flaxart.machine.files import existing_parent, user_cache
from flaxart.machine.log import log
from flaxart.machine.one_behind import one_behind
from flaxart.machine.processes import from_first_process
from flaxart.machine.sharding import device_batch, put_batch, replicated
from flaxart.models.fold import fold_batchnorm
from flaxart.models.ops.kernel_forms import Inference
from flaxart.network import state_tree
from flaxart.network.classifier import Classifier, compute_dtype
from flaxart.network.state import Network, TrainState, all_params
from flaxart.off_the_shelf import feature_cache
from flaxart.off_the_shelf.feature_cache import Features
from tfds_rijks.progress import Progress

LAYOUT = 1  # of the key and the files; a change invalidates all older features
MEASURED_BATCHES = 3  # after one that compiles

Batch = dict[str, np.ndarray]


class Extractor:
  """The trunk of a run and the cache of its features."""

  def __init__(
    self, config: ConfigDict, network: Network, state: TrainState, dataset: Dataset, *, mesh: Mesh
  ):
    self.config, self.dataset, self.mesh = config, dataset, mesh
    self.network, self.state = network, state
    self.folder = Path(config.probe.cache_dir or user_cache('features')).expanduser()
    self.model: Classifier = nnx.eval_shape(
      lambda: network.merge(state.trainable, state.frozen, state.batch_stats)
    )
    self.width: int = self.model.trunk.features
    self.trunk_sha256 = trunk_sha256(state)
    self._batch = 0  # batches that passed through the trunk
    self._apply: Callable[[Batch], Any] | None = None

  def key_of(self, split: Split) -> dict[str, Any]:
    """Everything that the features of a split depend on."""
    data, model = self.config.data, self.config.model
    return {
      'layout': LAYOUT,
      'flaxart': flaxart.__version__,
      'model': model.name,
      'variant': self.model.trunk.variant,
      'width': model.width,
      'shallow': model.shallow,
      'trunk_sha256': self.trunk_sha256,
      'preprocess': json.loads(self.model.preprocess.to_json()),
      'image_size': data.image_size,
      'fit': data.fit,
      'resize': data.resize,
      'dtype': np.dtype(compute_dtype(self.config)).name,
      'dataset': self.dataset.name,
      'dataset_version': self.dataset.version,
      'data_sha256': data_sha256(self.dataset.path),
      'split': split.name,
      'records': len(split),
      'ids_sha256': hashlib.sha256('\n'.join(split.ids).encode()).hexdigest(),  # in their order
    }

  def missing(self, splits: Iterable[str]) -> list[Split]:
    """The splits whose features are not in the cache."""
    named = [self.dataset.split(name) for name in splits]
    return [s for s in named if not feature_cache.exists(self.folder, self.key_of(s))]

  def check_room(self, splits: Iterable[Split]) -> None:
    """Raises `UserError` if the features of these splits do not fit on the disk."""
    needed = 4 * self.width * sum(len(split) for split in splits)
    feature_cache.check_room(existing_parent(self.folder), needed)

  def features(
    self, splits: Iterable[str], *, after_batch: Callable[[int, str], None] = lambda *_: None
  ) -> dict[str, Features]:
    """`{split: features}` from the cache, or extracted into it.

    `after_batch` is called with the number of the batch and a text of what is saved by then, and
    may raise to stop. Raises `UserError` if the folder cannot be written or has no room.
    """
    if jax.process_index() == 0:
      feature_cache.make_folder(self.folder)
    found = {name: self._of_split(self.dataset.split(name), after_batch) for name in splits}
    if self._apply is None:
      log.info('features of %s: found in %s, nothing to extract', ', '.join(found), self.folder)
    self._apply = None  # the folded copy of the trunk is no longer needed
    return found

  def _of_split(self, split: Split, after_batch: Callable[[int, str], None]) -> Features:
    """Process 0 has the files; the others compute with it and receive the result."""
    key, found, part = self.key_of(split), None, None
    with contextlib.ExitStack() as stack:
      if jax.process_index() == 0:
        found = feature_cache.read(self.folder, key)
        if found is None:
          stack.enter_context(feature_cache.locked(self.folder, key))
          found = feature_cache.read(self.folder, key)  # another run may have been first
        if found is None:
          part = stack.enter_context(
            feature_cache.Part(self.folder, key, records=len(split), width=self.width)
          )
      first = int(from_first_process(np.int32(part.done if part else len(split))))
      for rows in self._rows(split, first=first):
        if part:
          part.append(rows)
        self._batch += 1
        first += len(rows)
        after_batch(self._batch, f'features of {first} of {len(split)} pictures of {split.name}')
      found = part.finish() if part else found
    if jax.process_count() == 1:
      assert found is not None
      return found
    rows = found.rows if found else np.zeros((len(split), self.width), np.float32)
    return Features(
      from_first_process(rows), float(from_first_process(np.float32(found.seconds if found else 0)))
    )

  def _rows(self, split: Split, *, first: int) -> Iterator[np.ndarray]:
    """The features of records `first` onwards, `[b, D]` float32 at a time."""
    if first == len(split):
      return
    progress = Progress(f'features of {split.name}', len(split), unit='img', start=first)
    for result in one_behind(map(self._forward, self._batches(split, first=first))):
      features, record, mask = jax.tree.map(np.asarray, result)
      # Each of n processes loads every n-th record: restore the order.
      rows = features[mask][np.argsort(record[mask])]
      first += len(rows)
      yield rows
      progress.update(first)
    progress.close()

  def _batches(self, split: Split, *, first: int = 0) -> Iterator[Batch]:
    data = self.config.data
    return eval_batches(
      split,
      batch_size=device_batch(self.config.eval.batch_size),
      square=square_of(self.config),
      workers=data.workers,
      shard=Shard(jax.process_index(), jax.process_count()),
      first=first,
    )

  def _forward(self, batch: Batch) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Features, record numbers and mask of a batch, whole on every process."""
    batch = put_batch({k: batch[k] for k in ('image', 'record', 'mask')}, self.mesh)
    if self._apply is not None:
      return self._apply(batch)
    with compiling_evaluation(self.config):
      self._apply = folded_trunk(self.network, self.state, mesh=self.mesh)
      return self._apply(batch)

  def seconds_per_picture(self, split: Split) -> float:
    """Seconds per picture, measured on a few batches, input included."""
    batches = self._batches(split)
    jax.block_until_ready(self._forward(next(batches)))
    began, pictures = time.monotonic(), 0
    batches = itertools.islice(itertools.chain(batches, self._batches(split)), MEASURED_BATCHES)
    for _, _, mask in one_behind(map(self._forward, batches)):
      pictures += len(np.asarray(mask))  # of all processes
    return (time.monotonic() - began) / pictures


def folded_trunk(network: Network, state: TrainState, *, mesh: Mesh) -> Inference:
  """`{'image': [B, H, W, 3] uint8, ...}` -> features `[B, D]`, `record` `[B]`, `mask` `[B]`."""

  def fold(*parts: nnx.State) -> Classifier:
    model = network.merge(*parts)
    model.trunk = fold_batchnorm(model.trunk)
    return model

  parts = (state.trainable, state.frozen, state.batch_stats)
  graphdef = nnx.split(nnx.eval_shape(lambda: fold(*parts)))[0]
  arrays = jax.jit(lambda *parts: nnx.split(fold(*parts))[1])(*parts)

  def forward(arrays: nnx.State, batch: dict[str, jax.Array]) -> tuple[jax.Array, ...]:
    features = nnx.merge(graphdef, arrays).features(batch['image'], train=False)
    return features, batch['record'], batch['mask']

  return Inference(forward, arrays, out_shardings=replicated(mesh))


def trunk_sha256(state: TrainState) -> str:
  """SHA-256 of the trunk's parameters and its BatchNorm statistics."""
  stats = nnx.to_pure_dict(state.batch_stats)
  return state_tree.sha256_of(
    {'params': nnx.to_pure_dict(all_params(state))['trunk'], 'batch_stats': stats.get('trunk', {})}
  )
