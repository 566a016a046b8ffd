"""Reads Keras weights without Keras: legacy `.h5`, `.weights.h5` and `.keras`.

A child process opens the file (`hdf5_child`), with limits on its time and memory.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from flaxart.weights.file import file_size
from tfds_rijks.errors import UserError

CHILD = Path(__file__).with_name('hdf5_child.py')
MAX_BYTES = 4 << 30  # of all arrays; VGG19 with top has 0.6 GB
# Arrays may be packed. Weights pack to half or a quarter, and random ones hardly at all.
MAX_EXPANSION = 20
MAX_HEADER = 64 << 20
CPU_SECONDS = 5  # a small file takes half a second; and one more for each 20 MB
OTHER_SECONDS = 50  # on a busy machine or a slow disk; and one more for each MB
MEMORY = 2 << 30  # of the child, beside twice the unpacked file
DTYPES = frozenset(
  np.dtype(f'{order}{kind}').str
  for order in '<>'
  for kind in ('f2', 'f4', 'f8', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8', 'b1')
)

Layer = tuple[str, list[np.ndarray]]  # name in the file, its arrays in Keras's order


def read_layers(path: Path) -> dict[str, list[Layer]]:
  """Layers that have weights, by kind (`conv`, `separable`, `norm`, `dense`), in the file's order.

  Raises:
    UserError: not a Keras file, damaged, with an unknown kind of layer, with arrays that are not in
    the file, or larger than it accounts for.
  """
  kinds: dict[str, list[Layer]] = {'conv': [], 'separable': [], 'norm': [], 'dense': []}
  for name, arrays in _layers(path):
    kinds[_kind(path, name, arrays)].append((name, arrays))
  return kinds


def unpacked_size(path: Path) -> int:
  """Bytes of the HDF5 file: of `path` itself, or of the weights in a `.keras` archive."""
  size = file_size(path)
  if not zipfile.is_zipfile(path):
    return size
  try:
    with zipfile.ZipFile(path) as archive:
      unpacked = sum(info.file_size for info in archive.infolist())
  except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
    raise _unreadable(path, error) from None
  if unpacked > (most := min(MAX_BYTES, MAX_EXPANSION * size)):
    raise UserError(
      f'{path}: unpacks from {size:,} to {unpacked:,} bytes, expected at most {most:,}; fetch it '
      'again'
    )
  return unpacked


def _layers(path: Path) -> Iterator[Layer]:
  """The layers as the child process prints them."""
  size = unpacked_size(path)
  seconds = CPU_SECONDS + size // 20_000_000
  arguments = (str(path.absolute()), str(seconds), str(MEMORY + 2 * size))
  limits = {'HDF5_PLUGIN_PRELOAD': '::', 'OPENBLAS_NUM_THREADS': '1'}  # no plug-ins; no threads
  with tempfile.TemporaryFile() as errors:
    child = subprocess.Popen(
      [sys.executable, '-P', str(CHILD), *arguments],
      stdin=subprocess.DEVNULL,
      stdout=subprocess.PIPE,
      stderr=errors,
      env={**os.environ, **limits},
    )
    stop = threading.Timer(seconds + OTHER_SECONDS + size // 1_000_000, child.kill)
    stop.start()
    try:
      assert child.stdout is not None
      yield from _printed(path, child.stdout, size=size)
    except EOFError:
      raise _failed(path, child.wait(), errors) from None
    finally:
      stop.cancel()
      child.kill()
      child.communicate()


def _printed(path: Path, stream: IO[bytes], *, size: int) -> Iterator[Layer]:
  """Layers from the child's output; EOFError if it ends early."""
  line = stream.readline(MAX_HEADER)
  if not line.endswith(b'\n'):
    raise EOFError
  try:
    header = json.loads(line)
  except ValueError as error:
    raise _unreadable(path, error) from None
  total = 0
  for _, arrays in header:
    for dtype, shape in arrays:
      if dtype not in DTYPES or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise _unreadable(path, f'an array of {dtype} {shape}')
      total += math.prod(shape) * np.dtype(dtype).itemsize
  if total > (most := min(MAX_BYTES, MAX_EXPANSION * size)):
    raise UserError(
      f'{path}: declares arrays of {total:,} bytes in {size:,}, expected at most {most:,}; fetch '
      'it again'
    )
  for name, arrays in header:
    yield name, [_array(stream, np.dtype(dtype), tuple(shape)) for dtype, shape in arrays]


def _array(stream: IO[bytes], dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
  array = np.empty(shape, dtype)
  if array.nbytes and stream.readinto(array.reshape(-1).view(np.uint8)) != array.nbytes:  # type: ignore[attr-defined]
    raise EOFError
  return array


def _failed(path: Path, code: int, errors: IO[bytes]) -> UserError:
  """The error for a child that ended early."""
  if -code in (signal.SIGXCPU, signal.SIGKILL):
    return _unreadable(path, 'reading it does not end')
  if code < 0:
    with contextlib.suppress(ValueError):
      return _unreadable(path, f'the HDF5 library ended with {signal.Signals(-code).name}')
  errors.seek(0)
  lines = errors.read(4000).decode(errors='replace').strip().splitlines()
  return _unreadable(path, lines[-1] if lines else f'the reader ended with {code}')


def _unreadable(path: Path, why: object) -> UserError:
  return UserError(
    f'{path}: cannot be read as Keras weights ({why}); expected .h5, .weights.h5 or .keras: fetch '
    'it again, or check --source'
  )


def _kind(path: Path, name: str, arrays: list[np.ndarray]) -> str:
  """The kind of a layer, from the shapes of its arrays."""
  ranks = tuple(a.ndim for a in arrays)
  kinds = {
    (4,): 'conv',
    (4, 1): 'conv',
    (4, 4): 'separable',
    (1, 1, 1): 'norm',
    (1, 1, 1, 1): 'norm',
    (2, 1): 'dense',
    (2,): 'dense',
  }
  if ranks not in kinds:
    raise UserError(
      f'{path}: layer {name} has arrays {[a.shape for a in arrays]}, expected '
      'convolutions, BatchNorm and dense layers'
    )
  return kinds[ranks]
