"""`data.cache`: where the decoded pictures of a run are kept, depending on free memory. `host`:
decoded once into a file that is mapped into memory. `device`: also the training split on every
device, so that batches are gathered there and only record numbers are transferred. `auto`: `device`
on an accelerator if it fits, else `host` if that fits; on a CPU, which decodes small pictures in a
fraction of a step, none. Nothing takes more than half of the free memory.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from flaxart.config import square_of
from flaxart.data.decoded import size_of, with_decoded
from flaxart.data.source import Dataset
from flaxart.machine.files import user_cache
from flaxart.machine.log import log
from flaxart.machine.sharding import over_batch, replicated
from flaxart.machine.target import target

CACHED = ('train', 'val')  # test is read once
SHARE = 0.5  # of the free memory

AddPictures = Callable[[dict[str, Any]], dict[str, Any]]


def cached(
  config: ConfigDict, dataset: Dataset, *, mesh: Mesh, dry_run: bool = False
) -> tuple[Dataset, AddPictures]:
  """The dataset as training reads it, and a function that adds the pictures to a batch of record
  numbers. Logs the choice and its reason; decodes nothing in a dry run.
  """
  splits = {name: dataset.splits[name] for name in CACHED if name in dataset.splits}
  square = square_of(config)
  place, why = choose(
    config.data.cache,
    all_bytes=sum(size_of(split, square) for split in splits.values()),
    train_bytes=size_of(splits['train'], square),
    host_free=host_free(),
    device_free=device_free(),
  )
  if config.data.cache != 'none':
    log.info('decoded pictures: cache %s (%s)', place, why)
  if place == 'none' or dry_run:
    return dataset, no_pictures
  folder = Path(config.data.cache_dir or user_cache('decoded')).expanduser()
  found = {name: with_decoded(split, folder, dataset, square) for name, split in splits.items()}
  add: AddPictures = no_pictures
  if place == 'device':
    add = on_device(np.asarray(found['train'].decoded), mesh=mesh)
    found['train'] = dataclasses.replace(found['train'], on_device=True)
  return dataclasses.replace(dataset, splits=dataset.splits | found), add


def no_pictures(batch: dict[str, Any]) -> dict[str, Any]:
  """Returns a batch that already has its pictures."""
  return batch


def choose(
  wanted: str,
  *,
  all_bytes: int,
  train_bytes: int,
  host_free: float | None,
  device_free: float | None,
) -> tuple[str, str]:
  """`none`, `host` or `device`, and why; unknown amounts of memory count as enough."""
  gb = lambda n: '?' if n is None else f'{n / 1e9:.2f} GB'  # noqa: E731
  fits_host = host_free is None or all_bytes <= SHARE * host_free
  fits_device = device_free is None or train_bytes <= SHARE * device_free
  on_host = f'{gb(all_bytes)} for train and val, {gb(host_free)} of memory free'
  on_device = f'{gb(train_bytes)} for train, {gb(device_free)} of device memory free'
  if wanted == 'none' or (wanted == 'auto' and target() == 'cpu'):
    return 'none', 'decoding is a small part of a step on a CPU' if wanted == 'auto' else 'as asked'
  if not fits_host:
    return 'none', f'{on_host}: more than half of it'
  if wanted == 'host' or not fits_device:
    return 'host', on_host if wanted == 'host' else f'{on_device}: more than half of it'
  return 'device', f'{on_device}; {on_host}'


def on_device(pictures: np.ndarray, *, mesh: Mesh) -> AddPictures:
  """Gathers `image` `[B, S, S, 3]` by `record` `[B]` from a copy of `[N, S, S, 3]` on every device.

  There, pictures are `[N, R, 128]`, or `[N, S, 3 * S]` where that does not divide: a TPU pads
  the last axis to 128, and copies all pictures before a gather from `[N, S, S, 3]`.
  """
  shape = pictures.shape[1:]
  width = 128 if math.prod(shape) % 128 == 0 else shape[1] * shape[2]
  rows = pictures.reshape(len(pictures), -1, width)
  resident = jax.make_array_from_process_local_data(replicated(mesh), rows)
  take = taken(shape, mesh=mesh)
  return lambda batch: {**batch, 'image': take(resident, batch['record'])}


def taken(shape: Sequence[int], *, mesh: Mesh) -> Callable[[jax.Array, jax.Array], jax.Array]:
  """The program that takes pictures of `shape` by `record` `[B]` from `on_device`'s `[N, R, C]`."""
  return jax.jit(
    lambda rows, record: rows[record].reshape(-1, *shape), out_shardings=over_batch(mesh)
  )


def host_free() -> float | None:
  """Bytes of memory available without swapping; None where the system does not say."""
  try:
    text = Path('/proc/meminfo').read_text(encoding='utf-8')
  except OSError:
    text = ''  # Linux alone knows what its caches would give back
  if available := re.search(r'^MemAvailable:\s*(\d+) kB$', text, re.MULTILINE):
    return float(available[1]) * 1024
  try:
    return float(os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE'))
  except (ValueError, OSError):
    return None


def device_free() -> float | None:
  """Bytes free on the fullest local device; on a CPU, the host's."""
  if target() == 'cpu':
    return host_free()
  stats = [device.memory_stats() or {} for device in jax.local_devices()]
  free = [s['bytes_limit'] - s['bytes_in_use'] for s in stats if 'bytes_limit' in s]
  return float(min(free)) if free else None
