"""Decoded pictures of a split on disk, read by memory mapping: decode once, train many epochs.

One file per split, `<name>.npy`, uint8 `[N, S, S, 3]` in the order of the split. Its name ends in a
hash of everything the pixels depend on, and appears only when the file is complete; beside it is
the SHA-256 of its pictures.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import math
import os
import shutil
from pathlib import Path

import numpy as np

from flaxart.data.loader import eval_batches
from flaxart.data.source import Dataset, Split
from flaxart.machine import own_arrays
from flaxart.machine.files import clear_left_behind, write_text
from flaxart.machine.locks import in_turn
from tfds_rijks import fingerprint, own_files
from tfds_rijks.errors import UserError
from tfds_rijks.images import DECODER, Square
from tfds_rijks.progress import Progress, working

LAYOUT = 2  # of the file and its name
BATCH = 64
RESERVE = 50e6  # bytes of disk to keep free
log = logging.getLogger('flaxart')


def data_sha256(folder: Path) -> str:
  """Hash of a prepared dataset's input, options and file sizes, and of the picture decoder."""
  digest = hashlib.sha256(f'decoder {DECODER}'.encode())
  for name in ('dataset_info.json', fingerprint.FILE):
    path = folder / name
    digest.update(path.read_bytes() if path.exists() else b'')
  return digest.hexdigest()


def size_of(split: Split, square: Square) -> int:
  """The size of the decoded pictures in bytes."""
  return math.prod(_shape(split, square))


def _shape(split: Split, square: Square) -> tuple[int, ...]:
  return len(split), square.size, square.size, 3


def path_of(folder: Path, dataset: Dataset, split: Split, square: Square) -> Path:
  """The file of a split's decoded pictures."""
  key = {
    'layout': LAYOUT,
    'data': data_sha256(dataset.path),
    'version': dataset.version,
    'ids': hashlib.sha256('\n'.join(split.ids).encode()).hexdigest(),  # in their order
    **dataclasses.asdict(square),
  }
  name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:20]
  return folder / f'{dataset.name.replace("/", "_")}-{split.name}-{square.size}px-{name}.npy'


def with_decoded(split: Split, folder: Path, dataset: Dataset, square: Square) -> Split:
  """Returns `split` with decoded pictures from the file, which is written first if missing.

  Raises `UserError` if the folder cannot be written or has no room.
  """
  path, shape = path_of(folder, dataset, split, square), _shape(split, square)
  try:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with in_turn(path.with_name(f'.{path.stem}.lock'), f'decoding {split.name}'):
      pictures = _mapped(path, shape)
      if pictures is None:
        _write(path, split, square)
        pictures = _mapped(path, shape)
        assert pictures is not None  # it was just written
  except OSError as error:
    raise UserError(
      f'config.data.cache_dir: {folder} cannot be used ({error.strerror or error}); give a '
      'writable folder, or config.data.cache=none'
    ) from error
  return dataclasses.replace(split, decoded=pictures)


def _mapped(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
  """The pictures of a complete file, compared with their SHA-256; None if there are none.

  Logs and removes a damaged one, or a link.
  """
  try:
    pictures = own_arrays.mapped(path)
    if pictures.shape != shape or pictures.dtype != np.uint8:
      found = f'{pictures.dtype} {list(pictures.shape)}'
    else:
      with working(f'checking {path.name}'):
        if own_arrays.read_text(_sum(path)).strip() == own_arrays.sha256(pictures):
          return pictures
      found = 'another SHA-256'
  except FileNotFoundError as error:
    if error.filename == str(path):
      return None
    found = 'no SHA-256'
  except (ValueError, EOFError, UserError) as error:  # truncated, or something else
    found = str(error)
  log.warning('%s: is damaged (%s, expected uint8 %s): decoding again', path, found, list(shape))
  for one in (path, _sum(path)):
    one.unlink(missing_ok=True)  # frees its space; processes that mapped it keep it
  return None


def _sum(path: Path) -> Path:
  """The file with the SHA-256 of the pictures; written after them."""
  return path.with_suffix('.sha256')


def _write(path: Path, split: Split, square: Square) -> None:
  needed, free = size_of(split, square), shutil.disk_usage(path.parent).free
  if needed + RESERVE > free:
    raise UserError(
      f'config.data.cache_dir: {path.parent} has {free / 1e9:.2f} GB free, the decoded pictures of '
      f'{split.name} need {needed / 1e9:.2f} GB; free some, give another folder, or '
      'config.data.cache=none'
    )
  progress = Progress(f'decoding {split.name} once', len(split), unit='img')
  clear_left_behind(path)
  with own_files.temporary(path) as (handle, new):
    pictures = own_arrays.created(handle, _shape(split, square))
    done = 0
    for batch in eval_batches(split, batch_size=BATCH, square=square):
      pictures[batch['record'][batch['mask']]] = batch['image'][batch['mask']]
      done += int(batch['mask'].sum())
      progress.update(done)
    pictures.flush()
    digest = own_arrays.sha256(pictures)
    del pictures
    os.fsync(handle)
    new.replace(path)
  write_text(_sum(path), digest + '\n')
  progress.close()
