"""Locks that the system releases when their process dies: one trainer per workdir, one process at a
time that writes a cache file.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tfds_rijks.errors import UserError
from tfds_rijks.own_files import open_own

FILE = '.lock'
LOOKS = 4  # tries, as another process may briefly hold the lock to look at its holder
# Errors of file systems without locks (some network ones).
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
log = logging.getLogger('flaxart')


def _lock_soon(file: IO[str]) -> None:
  """Locks; raises `BlockingIOError` if another trainer has the lock (`holder` lets go soon)."""
  for _ in range(LOOKS):
    with contextlib.suppress(BlockingIOError):
      return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    time.sleep(0.05)
  fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class WorkdirLock:
  """Context manager: holds `workdir/.lock`; `UserError` names the present holder."""

  def __init__(self, workdir: Path):
    self.path = workdir / FILE
    self._file: IO[str] | None = None

  def __enter__(self) -> WorkdirLock:
    self.path.parent.mkdir(parents=True, exist_ok=True)
    file = os.fdopen(open_own(self.path, os.O_RDWR | os.O_CREAT), 'r+', encoding='utf-8')
    try:
      _lock_soon(file)
    except BlockingIOError:
      file.seek(0)
      holder = file.read().strip() or 'another process'
      file.close()
      raise UserError(
        f'{self.path.parent}: is being trained by {holder}; wait until it ends, stop it, or give '
        'another --workdir'
      ) from None
    except OSError as error:
      file.close()
      if error.errno not in _NO_LOCKS:
        raise
      log.warning('%s: this file system has no locks; start only one trainer', self.path.parent)
      return self
    file.seek(0)
    _clear(self.path.parent, left_by=file.read())
    file.truncate(0)
    file.write(f'process {os.getpid()} on {socket.gethostname()}\n')
    file.flush()
    self._file = file
    return self

  def __exit__(self, *error: object) -> None:
    # The file stays: if it were removed, two trainers could lock two files of that name.
    if self._file is not None:
      self._file.close()


def _clear(workdir: Path, *, left_by: str) -> None:
  """Removes what the last trainer was writing when it was killed; its lock was free."""
  match left_by.split():
    case ['process', pid, *_] if pid.isdigit():
      for path in workdir.rglob(f'.*.{pid}.tmp'):
        log.info('%s: left by a process that was killed; removed', path)
        path.unlink()


def holder(workdir: Path) -> str | None:
  """The trainer that holds a workdir's lock, as `process 12 on host`; None if there is none."""
  try:
    with os.fdopen(open_own(workdir / FILE, os.O_RDONLY), encoding='utf-8') as file:
      try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
      except BlockingIOError:
        return file.read().strip() or 'another process'
  except OSError:  # no lock file, or a file system without locks
    pass
  return None


@contextlib.contextmanager
def in_turn(path: Path, what: str) -> Iterator[None]:
  """Holds the lock file `path`, waiting for its present holder; `what` that one does is logged."""
  with os.fdopen(open_own(path, os.O_RDWR | os.O_CREAT), 'r+') as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      log.info('%s: another process is %s; waiting for it', path.parent, what)
      fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
      if error.errno not in _NO_LOCKS:
        raise
      log.warning(
        '%s: this file system has no locks; only one process may be %s', path.parent, what
      )
    yield
