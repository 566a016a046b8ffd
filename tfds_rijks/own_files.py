"""Caches, locks and temporary files: never opened through a link, in any folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from tfds_rijks.errors import UserError

_LINK = (errno.ELOOP, errno.EMLINK)  # what systems say of a link with O_NOFOLLOW
_ODD = (errno.ENXIO, errno.EISDIR)  # of a pipe, a socket, a folder


def open_own(path: Path, flags: int, *, mode: int = 0o666) -> int:
  """As `os.open`, for a regular file that is not a link; raises `UserError` for anything else."""
  try:
    handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode)
  except OSError as error:
    if error.errno in _LINK or (error.errno == errno.EEXIST and path.is_symlink()):
      raise UserError(f'{path}: is a link, through which nothing is opened; remove it') from None
    if error.errno in _ODD:
      raise UserError(f'{path}: is not a regular file; remove it') from None
    raise
  if not stat.S_ISREG(os.fstat(handle).st_mode):
    os.close(handle)
    raise UserError(f'{path}: is not a regular file; remove it')
  return handle


@contextlib.contextmanager
def temporary(path: Path) -> Iterator[tuple[int, Path]]:
  """A new file beside `path`, open for reading and writing; removed at the end if still there.

  Its name is random, and tells the machine and the process, for `left_behind`.
  """
  about = f'{_host()}-{secrets.token_hex(4)}.{os.getpid()}'
  new = path.with_name(f'.{path.name}.{about}.tmp')
  handle = open_own(new, os.O_RDWR | os.O_CREAT | os.O_EXCL)
  try:
    yield handle, new
  except OSError as error:
    error.filename = error.filename or str(path)  # a full disk does not say which file it was
    raise
  finally:
    os.close(handle)
    new.unlink(missing_ok=True)


def left_behind(path: Path) -> list[Path]:
  """The temporary files beside `path` whose process, on this machine, is gone."""
  before = f'.{path.name}.{_host()}-'
  with contextlib.suppress(FileNotFoundError), os.scandir(path.parent) as entries:
    names = [one.name for one in entries if one.name.startswith(before)]
    found = (name for name in names if name.endswith('.tmp') and not _runs(name.split('.')[-2]))
    return [path.parent / name for name in sorted(found)]
  return []


def _host() -> str:
  return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]


def _runs(pid: str) -> bool:
  if not pid.isdigit():
    return True
  try:
    os.kill(int(pid), 0)
  except (ProcessLookupError, OverflowError):
    return False
  except PermissionError:
    pass
  return True
