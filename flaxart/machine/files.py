"""Files written whole or not at all, and read with one-line errors."""

from __future__ import annotations

import logging
import os
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
  clear_left_behind(path)
  with own_files.temporary(path) as (handle, new), os.fdopen(os.dup(handle), 'wb') as file:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())
    new.replace(path)


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
