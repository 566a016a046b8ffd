"""Locks that the system drops when their process dies, however it dies: one workdir, one trainer;
one file of a cache, one process that makes it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tfds_rijks.errors import UserError

FILE = '.lock'
# Answers of file systems that know no locks (some network ones).
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
log = logging.getLogger('flaxart')


class WorkdirLock:
  """Context manager: holds `workdir/.lock`; `UserError` names who holds it already."""

  def __init__(self, workdir: Path):
    self.path = workdir / FILE
    self._file: IO[str] | None = None

  def __enter__(self) -> WorkdirLock:
    self.path.parent.mkdir(parents=True, exist_ok=True)
    file = self.path.open('a+', encoding='utf-8')
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
      log.warning('%s: this file system knows no locks; start one trainer only', self.path.parent)
      return self
    file.truncate(0)
    file.write(f'process {os.getpid()} on {socket.gethostname()}\n')
    file.flush()
    self._file = file
    return self

  def __exit__(self, *error: object) -> None:
    # The file stays: removing it would let two trainers lock two files of the same name.
    if self._file is not None:
      self._file.close()


@contextlib.contextmanager
def in_turn(path: Path, what: str) -> Iterator[None]:
  """Holds the lock file `path`, after those who have it; `what` they do is logged while waiting."""
  with path.open('w') as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      log.info('%s: another process is %s; waiting for it', path.parent, what)
      fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
      if error.errno not in _NO_LOCKS:
        raise
      log.warning(
        '%s: this file system knows no locks; only one process may be %s', path.parent, what
      )
    yield
