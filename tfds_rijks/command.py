"""The frame of every command: one line and exit code 2 for errors that a user can fix."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from tfds_rijks.errors import UserError

BAD_INPUT = 2
INTERRUPTED = 130  # the shell's convention for Ctrl-C

_DISK = {
  errno.ENOSPC: 'no space left on the device; free some or choose another folder',
  errno.EDQUOT: 'disk quota used up; free some space or choose another folder',
  errno.EACCES: 'permission denied; choose a folder that you can read and write',
  errno.EPERM: 'operation not permitted; choose a folder that you can read and write',
  errno.EROFS: 'read-only file system; choose a writable folder',
  errno.ENOTDIR: 'a part of this path is a file; give a folder',
  errno.EEXIST: 'already exists; choose another name',
  errno.ENAMETOOLONG: 'the name is too long for the file system; shorten it',
}


class Parser(argparse.ArgumentParser):
  """`argparse` whose errors are one line (it prints the whole usage otherwise)."""

  def error(self, message: str) -> NoReturn:
    raise UserError(f'{message}; see {self.prog} --help')


def run(main: Callable[[], int | None]) -> NoReturn:
  """Calls `main` and exits: 0 or its return value, 2 with one line on stderr for bad input."""
  try:
    code = main() or 0
    if sys.stdout:  # None if it was closed before the command started
      sys.stdout.flush()
  except UserError as error:
    code = fail(str(error))
  except BrokenPipeError:
    # The reader (head, less) has gone, so there is nowhere to write.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    code = 0
  except OSError as error:
    if error.errno not in _DISK:
      raise
    code = fail(f'{error.filename or "writing"}: {_DISK[error.errno]}')
  except KeyboardInterrupt:
    print('interrupted', file=sys.stderr)
    code = INTERRUPTED
  sys.exit(code)


def fail(message: str) -> int:
  """Prints the error line and returns the exit code."""
  print(f'error: {message}', file=sys.stderr, flush=True)
  return BAD_INPUT
