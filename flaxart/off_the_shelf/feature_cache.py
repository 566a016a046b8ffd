"""Features on disk: written once, checked when read, rebuilt if damaged.

A split's features are two files in `config.probe.cache_dir`: `<name>.npy` (float32 `[N, D]`, read
by memory mapping) and `<name>.json` (every part of the key, the SHA-256 of the rows, and the
seconds). The name ends in a hash of the key, so features of other weights, pictures or sizes never
mix. The JSON file is written last: without it the features are incomplete, and the next run
completes them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import hashlib
import io
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from flaxart.machine import own_arrays
from flaxart.machine.files import write_text
from flaxart.machine.locks import in_turn
from flaxart.machine.log import log
from tfds_rijks.errors import UserError
from tfds_rijks.own_files import open_own

SAVE_EVERY_S = 30.0  # of extraction that a killed run loses at most
BLOCK = 64 * 2**20  # bytes hashed at a time
RESERVE = 50e6  # bytes to keep free


@dataclasses.dataclass(frozen=True)
class Features:
  """`rows` `[N, D]` float32 in the order of the split, and the `seconds` they took."""

  rows: np.ndarray
  seconds: float


def stem(key: Mapping[str, Any]) -> str:
  """`resnet50-collection-train-0f3a...`: readable, and unique for each key."""
  digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:20]
  return '-'.join([key['model'], key['dataset'].replace('/', '_'), key['split'], digest])


def exists(folder: Path, key: Mapping[str, Any]) -> bool:
  """Whether there are features under this key; `read` checks them."""
  return (folder / f'{stem(key)}.json').exists()


def read(folder: Path, key: Mapping[str, Any]) -> Features | None:
  """The features of `key`, checked against their SHA-256; None if there are none.

  Files that are damaged, or hold other features under this name, are removed and logged.
  """
  data, about = folder / f'{stem(key)}.npy', folder / f'{stem(key)}.json'
  if not about.exists():
    return None
  try:
    entry = json.loads(own_arrays.read_text(about))
    wrong = _differences(entry['key'], key)
    if not wrong:
      rows = own_arrays.mapped(data)
      if sha256_of(rows) == entry['sha256']:
        return Features(rows, float(entry['seconds']))
      wrong = 'its content changed (SHA-256 differs)'
  except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, UserError) as error:
    wrong = f'it cannot be read ({" ".join(str(error).split())[:300] or type(error).__name__})'
  log.warning('%s: %s; the features are extracted again', data, wrong)
  with _writing(folder):
    about.unlink(missing_ok=True)
    data.unlink(missing_ok=True)
  return None


def _differences(found: Mapping[str, Any], key: Mapping[str, Any]) -> str:
  names = [name for name in sorted({*found, *key}) if found.get(name) != key.get(name)]
  if not names:
    return ''
  what = 'other weights' if 'trunk_sha256' in names else 'something else'
  first = names[0] if what == 'something else' else 'trunk_sha256'
  return (
    f'cached features of {what} ({first} was {str(found.get(first))[:40]!r}, '
    f'now {str(key.get(first))[:40]!r})'
  )


def sha256_of(rows: np.ndarray) -> str:
  """SHA-256 of shape, dtype and bytes, read block by block."""
  digest = _start(rows.shape[1])
  flat = rows.reshape(-1)
  for first in range(0, flat.size, BLOCK // 4):
    digest.update(np.ascontiguousarray(flat[first : first + BLOCK // 4], np.float32).data)
  return digest.hexdigest() if rows.dtype == np.float32 else ''


def _start(width: int) -> Any:
  return hashlib.sha256(f'float32 [N, {width}]\n'.encode())


class Part:
  """Features being written: `append` rows in order, then `finish`; a context manager.

  Continues a stopped run's: `done` rows are on disk already.
  """

  def __init__(self, folder: Path, key: Mapping[str, Any], *, records: int, width: int):
    self.folder, self.key, self.records, self.width = folder, dict(key), records, width
    self.digest = _start(width)
    self.done = 0  # rows on disk
    self.seconds = 0.0
    header, before = _header(records, width), f'.{stem(key)}.'
    with _writing(folder):
      # Random: a link cannot be put there beforehand.
      self.data = folder / f'{before}{secrets.token_hex(8)}.part'
      for left in sorted(folder.glob(f'{glob.escape(before)}*.part')):
        if file := self._resumed(left, len(header)):
          self.data, self.file = left, file
          break
        left.unlink()
        _about(left).unlink(missing_ok=True)
      else:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        self.file = os.fdopen(open_own(self.data, flags), 'r+b')
        self.file.write(header)
    self.about = _about(self.data)
    self.saved = self.clock = time.monotonic()

  def _resumed(self, data: Path, header: int) -> BinaryIO | None:
    """The part of a stopped run, up to its last mark; None if it is not intact."""
    try:
      entry = json.loads(own_arrays.read_text(_about(data)))
      rows, wanted, seconds = int(entry['rows']), entry['sha256'], float(entry['seconds'])
      file = os.fdopen(open_own(data, os.O_RDWR), 'r+b')
    except (FileNotFoundError, ValueError, KeyError, TypeError, UserError):
      return None
    digest, left = _start(self.width), 4 * self.width * rows
    file.seek(header)
    while block := file.read(min(BLOCK, left)):
      digest.update(block)
      left -= len(block)
    if left or digest.hexdigest() != wanted or not 0 < rows <= self.records:
      file.close()
      return None
    file.seek(header + 4 * self.width * rows)  # rows beyond the mark are written again
    self.done, self.digest, self.seconds = rows, digest, seconds
    return file

  def __enter__(self) -> Part:
    return self

  def __exit__(self, *error: object) -> None:
    if 0 < self.done < self.records:
      self.mark()
    self.file.close()

  def append(self, rows: np.ndarray) -> None:
    """Writes the next rows `[n, D]`."""
    data = np.ascontiguousarray(rows, np.float32).tobytes()
    with _writing(self.folder):
      self.file.write(data)
    self.digest.update(data)
    self.done += len(rows)
    if time.monotonic() - self.saved > SAVE_EVERY_S:
      self.mark()

  def mark(self) -> None:
    """Makes the rows so far durable."""
    now = time.monotonic()
    self.seconds, self.clock, self.saved = self.seconds + now - self.clock, now, now
    entry = {'rows': self.done, 'sha256': self.digest.hexdigest(), 'seconds': self.seconds}
    with _writing(self.folder):
      self.file.flush()
      os.fsync(self.file.fileno())
      write_text(self.about, json.dumps(entry) + '\n')

  def finish(self) -> Features:
    """Renames the file to the name that `read` looks for."""
    if self.done != self.records:
      raise ValueError(f'{self.data}: {self.done} rows of {self.records}')
    self.mark()
    target = self.folder / f'{stem(self.key)}.npy'
    entry = {
      'key': self.key,
      'sha256': self.digest.hexdigest(),
      'records': self.records,
      'features': self.width,
      'seconds': round(self.seconds, 3),
    }
    with _writing(self.folder):
      self.data.replace(target)
      write_text(target.with_suffix('.json'), json.dumps(entry, indent=1) + '\n')
      self.about.unlink(missing_ok=True)
    return Features(own_arrays.mapped(target), self.seconds)


def _about(part: Path) -> Path:
  return part.with_suffix('.part.json')


@contextlib.contextmanager
def locked(folder: Path, key: Mapping[str, Any]) -> Iterator[None]:
  """Lets one run at a time extract these features; others wait, and then find them."""
  with contextlib.ExitStack() as held:
    with _writing(folder):
      held.enter_context(in_turn(folder / f'.{stem(key)}.lock', 'extracting these features'))
    yield


def make_folder(folder: Path) -> None:
  """Makes a folder private to the user: features reveal as much of pictures as thumbnails."""
  with _writing(folder):
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def check_room(folder: Path, needed: int) -> None:
  """Raises `UserError` if there is no room."""
  free = shutil.disk_usage(folder).free
  if needed + RESERVE > free:
    raise UserError(
      f'config.probe.cache_dir: {folder} has {free / 1e9:.2f} GB free, the features need '
      f'{needed / 1e9:.2f} GB; free some space or give another folder'
    )


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
  try:
    yield
  except OSError as error:
    raise UserError(
      f'config.probe.cache_dir: {folder} cannot be written ({error.strerror or error}); give '
      'a writable folder'
    ) from error


def _header(records: int, width: int) -> bytes:
  stream = io.BytesIO()
  np.lib.format.write_array_header_1_0(
    stream, {'descr': '<f4', 'fortran_order': False, 'shape': (records, width)}
  )
  return stream.getvalue()
