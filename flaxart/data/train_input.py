"""The training batches of a run, on its devices; also used to measure a run beforehand."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from flaxart.config import square_of
from flaxart.data.cache import AddPictures, no_pictures
from flaxart.data.loader import Decode, Shard, TrainBatch, train_batches
from flaxart.data.source import Split
from flaxart.machine.sharding import put_batch


@dataclasses.dataclass(frozen=True)
class TrainInput:
  """The source of a training split's batches, and their way onto the devices."""

  config: ConfigDict
  split: Split
  mesh: Mesh
  add_pictures: AddPictures = no_pictures

  def batches(self, start: int) -> Iterator[dict[str, np.ndarray]]:
    """This process's part of every batch from step `start` on, in host memory."""
    config = self.config
    batch = TrainBatch(
      Decode(self.split, square_of(config)),
      config.train.batch_size,
      config.seed,
      Shard(jax.process_index(), jax.process_count()),
      config.data.shuffle,
    )
    return train_batches(batch, start_step=start, workers=config.data.workers)

  def on_devices(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
    """A batch with its pictures, over all devices."""
    return self.add_pictures(put_batch(batch, self.mesh))
