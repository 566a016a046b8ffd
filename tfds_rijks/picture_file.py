"""Files of a folder that somebody else filled: opened only if they are plain files in it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from tfds_rijks.errors import ImageError

MAX_BYTES = 1 << 30  # of one encoded picture
NOT_A_FILE = 'not a regular file'
OUTSIDE = 'a link out of the folder'


def is_within(path: Path | str, folder: Path | str) -> bool:
  """Whether a path is in a folder, with all links followed."""
  real, root = os.path.realpath(path), os.path.realpath(folder)
  return real == root or real.startswith(root.rstrip(os.sep) + os.sep)


def open_regular(path: Path, *, name: str, within: Path | None = None) -> BinaryIO:
  """Opens a regular file for reading, never a pipe or a device, and without waiting for one.

  Raises `ImageError` for anything else, and for what links lead out of the folder `within`;
  `OSError` for what cannot be opened.
  """
  if within is not None and not is_within(path, within):
    raise ImageError(name, OUTSIDE)
  try:
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
  except OSError:
    if os.path.lexists(path) and not (path.is_file() or path.is_dir()):  # a socket
      raise ImageError(name, NOT_A_FILE) from None
    raise
  if not stat.S_ISREG(os.fstat(handle).st_mode):
    os.close(handle)
    raise ImageError(name, NOT_A_FILE)
  return os.fdopen(handle, 'rb')


def load(path: Path, *, name: str, within: Path | None = None) -> bytes:
  """The bytes of an encoded picture; raises as `open_regular`, and for more than `MAX_BYTES`."""
  with open_regular(path, name=name, within=within) as file:
    size = os.fstat(file.fileno()).st_size
    if size > MAX_BYTES:
      raise ImageError(name, 'file too large', f'expected at most {MAX_BYTES >> 20} MiB')
    data = file.read(size + 1)
  if len(data) > size:
    raise ImageError(name, 'changed while it was read')
  return data
