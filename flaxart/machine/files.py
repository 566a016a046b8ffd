"""Files written whole or not at all, and read with one-line errors."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flaxart.machine.form import Form, anything
from tfds_rijks import own_files, strict_json
from tfds_rijks.errors import UserError

log = logging.getLogger('flaxart')


def read_object(path: Path, *, form: Form = anything, nan_as_none: bool = False) -> dict[str, Any]:
  """The object in a JSON file, which must be of this `form`.

  Raises `UserError` if it is damaged, `FileNotFoundError` if it does not exist. `nan_as_none`: of
  files in which earlier versions wrote NaN.
  """
  try:
    found = strict_json.read(path, nan_as_none=nan_as_none)
    if not isinstance(found, dict):
      raise ValueError(f'found {type(found).__name__}, expected an object')
    form(found, '')
  except ValueError as error:
    raise damaged(path, error) from None
  return found


def damaged(path: Path, why: object) -> UserError:
  """The error for a file that is not as flaxart wrote it."""
  return UserError(f'{path}: is damaged ({why}); restore it from a copy')


def write_text(path: Path, text: str) -> None:
  """Writes the whole file or nothing: temporary file, fsync, rename."""
  write_bytes(path, text.encode('utf-8'))


def write_bytes(path: Path, data: bytes) -> None:
  """As `write_text`."""
  write_together({path: data})


def write_together(contents: Mapping[Path, bytes]) -> None:
  """Writes all files or none: each is whole on the disk before the first one takes its place."""
  with contextlib.ExitStack() as stack:
    news = {path: stack.enter_context(_whole(path, data)) for path, data in contents.items()}
    for path, new in news.items():
      new.replace(path)


@contextlib.contextmanager
def _whole(path: Path, data: bytes) -> Iterator[Path]:
  """A temporary file beside `path` with this content, on the disk."""
  clear_left_behind(path)
  with own_files.temporary(path) as (handle, new):
    with os.fdopen(os.dup(handle), 'wb') as file:
      file.write(data)
      file.flush()
      os.fsync(file.fileno())
    yield new


def clear_left_behind(path: Path) -> None:
  """Removes, and says, what a killed process was writing in the place of `path`."""
  for left in own_files.left_behind(path):
    log.info('%s: left by a process that was killed; removed', left)
    left.unlink(missing_ok=True)


def existing_parent(path: Path) -> Path:
  """The nearest folder above (or at) `path` that exists."""
  path = path.resolve()
  while not path.exists():
    path = path.parent
  return path


def user_cache(name: str) -> Path:
  """`~/.cache/flaxart/NAME`, or below `$XDG_CACHE_HOME`; not created here."""
  return Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache').expanduser() / 'flaxart' / name
