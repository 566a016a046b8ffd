"""JSON files of a run, read back: one that is damaged is named in a line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tfds_rijks.errors import UserError


def read_object(path: Path, *, keys: Iterable[str] = ()) -> dict[str, Any]:
  """The object in a JSON file, which must have `keys`.

  Raises `UserError` if it is damaged, `FileNotFoundError` if it is not there.
  """
  try:
    found = json.loads(path.read_text(encoding='utf-8'))
  except ValueError as error:
    raise damaged(path, error) from None
  if not isinstance(found, dict):
    raise damaged(path, f'found {type(found).__name__}, expected an object')
  for key in keys:
    if key not in found:
      raise damaged(path, f'lacks {key!r}')
  return found


def damaged(path: Path, why: object) -> UserError:
  """What to raise for a file that is not as flaxart wrote it."""
  return UserError(f'{path}: is damaged ({why}); restore it from a copy')
