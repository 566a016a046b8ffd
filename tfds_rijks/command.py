"""The frame of every command: one line and exit code 2 for errors that a user can fix."""

from __future__ import annotations

import argparse
import contextlib
import errno
import functools
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from tfds_rijks import progress, terminal
from tfds_rijks.errors import UserError
from tfds_rijks.words import did_you_mean, nearest

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


class Paragraphs(argparse.HelpFormatter):
  """Help whose description keeps its paragraphs, and lines that begin with a blank; the first line
  shows only the options that are needed.
  """

  def _format_usage(self, usage: Any, actions: Any, groups: Any, prefix: Any) -> str:
    if usage is None:
      needed = [f'{one.option_strings[-1]}={one.dest.upper()}' for one in actions if one.required]
      whole = ' '.join(['usage:', self._prog, *needed, '[options]'])
      usage = terminal.folded(whole, self._width).removeprefix('usage: ')
    return super()._format_usage(usage, actions, groups, prefix)

  def _fill_text(self, text: str, width: int, indent: str) -> str:
    fill = super()._fill_text
    parts = (
      terminal.folded(part, width) if part[:1] == ' ' else fill(part, width, indent)
      for part in re.split(r'\n\n+', text.strip('\n'))
    )
    return '\n\n'.join(parts)


# What argparse says, and what everything else here says.
_ARGPARSE = (
  (r"^argument (--\w+): invalid int value: ('.*')$", r'\1: found \2, expected a whole number'),
  (r"^argument (--\w+): invalid float value: ('.*')$", r'\1: found \2, expected a number'),
  (
    r"^argument (--\w+): invalid choice: ('.*') \(choose from (.*)\)$",
    r'\1: found \2, expected one of \3',
  ),
)


class Parser(argparse.ArgumentParser):
  """`argparse` whose errors are one line (it prints the whole usage otherwise)."""

  def __init__(self, formatter_class: Any = Paragraphs, **keywords: Any):
    super().__init__(formatter_class=formatter_class, **keywords)

  def error(self, message: str) -> NoReturn:
    for pattern, plain in _ARGPARSE:
      message = re.sub(pattern, plain, message)
    raise UserError(f'{message}; {self._meant(message)}see {self.prog} --help')

  def _meant(self, message: str) -> str:
    """The option that an unknown one may mean."""
    before, unknown, named = message.partition('unrecognized arguments: ')
    option = named.split()[0].partition('=')[0] if unknown and not before else ''
    options = self._option_string_actions if option.startswith('-') else ()
    return did_you_mean(nearest(option, options))


class _Outlasting(io.FileIO):
  """A pipe or terminal that may go away; what is written afterwards is lost."""

  lost = False  # what is written from now on

  @functools.cached_property
  def is_terminal(self) -> bool:
    return self.isatty()

  def write(self, data: Any, /) -> int:
    if self.lost:
      return memoryview(data).nbytes
    try:
      if self.is_terminal:
        super().write(progress.leave_room().encode())
      return super().write(data)
    except OSError as error:
      if error.errno not in (errno.EPIPE, errno.EIO):
        raise
      nowhere = os.open(os.devnull, os.O_WRONLY)
      os.dup2(nowhere, self.fileno())
      os.close(nowhere)
      return memoryview(data).nbytes


@contextlib.contextmanager
def outlasting() -> Iterator[None]:
  """Within it, the program continues when the reader of its output ends, or its terminal."""
  before = sys.stdout, sys.stderr
  sys.stdout, sys.stderr = _outlasting(sys.stdout), _outlasting(sys.stderr)
  try:
    yield
  finally:
    for stream in filter(None, (sys.stdout, sys.stderr)):  # None if it was closed before the start
      try:
        stream.flush()
      except OSError:  # a full disk, which `outcome` has said
        stream.buffer.raw.lost = True
        stream.flush()
    sys.stdout, sys.stderr = before


def _outlasting(stream: Any) -> Any:
  try:
    raw = _Outlasting(stream.fileno(), 'w', closefd=False)
  except (AttributeError, OSError):  # closed, or not a file
    return stream
  return io.TextIOWrapper(
    io.BufferedWriter(raw),
    encoding=stream.encoding,
    errors=stream.errors,
    line_buffering=raw.isatty() or stream.line_buffering,
  )


def run(main: Callable[[], int | None]) -> NoReturn:
  """Calls `main` and exits: 0 or its return value, 2 with one line on stderr for bad input.

  A reader that goes away (`head`, `tee`, a closed terminal) does not end it.
  """
  with outlasting():
    with progress.watched():
      code = outcome(main)
    sys.exit(code)


def outcome(main: Callable[[], int | None]) -> int:
  """Calls `main` and returns the exit code; prints the line of an error that a user can fix."""
  try:
    code = main() or 0
    if sys.stdout:  # None if it was closed before the command started
      sys.stdout.flush()
    return code
  except UserError as error:
    return fail(str(error))
  except OSError as error:
    if error.errno not in _DISK:
      raise
    return fail(f'{error.filename or "writing"}: {_DISK[error.errno]}')
  except KeyboardInterrupt:
    print('interrupted', file=sys.stderr)
    return INTERRUPTED


def fail(message: str) -> int:
  """Prints the error line and returns the exit code."""
  print(terminal.for_reader(f'error: {message}', sys.stderr), file=sys.stderr, flush=True)
  return BAD_INPUT
