"""Arrays in `.npy` files of our own caches, mapped into memory but never through a link."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from tfds_rijks.own_files import open_own

BLOCK = 64 * 2**20  # bytes hashed at a time


def mapped(path: Path) -> np.ndarray:
  """The array of a file, read by memory mapping.

  Raises `FileNotFoundError`, `ValueError` or `EOFError` for one that is damaged, `UserError` for a
  link.
  """
  with os.fdopen(open_own(path, os.O_RDONLY), 'rb') as file:
    if not os.fstat(file.fileno()).st_size:
      raise EOFError('No data left in file')
    version = npy.read_magic(file)
    if version != (1, 0):
      raise ValueError(f'version {version} of the format')
    shape, fortran, dtype = npy.read_array_header_1_0(file)
    if fortran or dtype.hasobject:
      raise ValueError(f'{dtype} in Fortran order or of objects')
    return np.memmap(file, dtype, 'r', file.tell(), shape)


def created(handle: int, shape: tuple[int, ...]) -> np.memmap:
  """A new uint8 array in the empty file of an open `handle`, to be written to."""
  with os.fdopen(os.dup(handle), 'r+b') as file:
    header = {'descr': '|u1', 'fortran_order': False, 'shape': shape}
    npy.write_array_header_1_0(file, header)
    return np.memmap(file, np.uint8, 'r+', file.tell(), shape)


def sha256(array: np.ndarray) -> str:
  """SHA-256 of the bytes of an array in C order, read block by block."""
  digest, flat = hashlib.sha256(), array.reshape(-1).view(np.uint8)
  for first in range(0, flat.size, BLOCK):
    digest.update(np.ascontiguousarray(flat[first : first + BLOCK]).data)
  return digest.hexdigest()


def read_text(path: Path) -> str:
  """The text of a small file."""
  with os.fdopen(open_own(path, os.O_RDONLY), encoding='utf-8') as file:
    return file.read(1 << 20)
