"""Errors for prepared data that cannot be read: the file, and what to do."""

from __future__ import annotations

import json
from pathlib import Path

from tfds_rijks import fingerprint
from tfds_rijks.errors import UserError

ADVICE = (
  'check the disk, then rebuild it: python -m tfds_rijks.prepare with the same '
  'options and --overwrite'
)


def check_files(folder: Path) -> None:
  """Raises `UserError` if a file is gone or its size differs from when it was written."""
  found, damage = fingerprint.examine(folder)
  if found and damage:  # only `tfds_rijks.prepare` writes fingerprints
    raise UserError(f'{folder}: is damaged: {"; ".join(damage[:6])};  {ADVICE}')


def explained(folder: Path, error: Exception, *, record: str = '') -> UserError:
  """The error for an exception while reading `folder`, with the file to blame."""
  if isinstance(error, UserError):
    return error
  first = str(error).strip().split('\n')[0][:200] or type(error).__name__
  what = f'record {record}, ' if record else ''
  return UserError(f'{_culprit(folder)}: is damaged or unreachable ({what}{first}); {ADVICE}')


def _culprit(folder: Path) -> Path:
  """The first file that is gone, has another size or cannot be read; the folder if none is."""
  if not folder.is_dir():
    return folder
  _, damage = fingerprint.examine(folder)
  named = [phrase.split(' ')[0] for phrase in damage if not phrase.startswith(fingerprint.FILE)]
  if named:
    return folder / named[0]
  for path in sorted(folder.iterdir()):
    try:
      if path.suffix == '.json':
        json.loads(path.read_bytes())
      elif '.array_record-' in path.name:
        _read_through(path)
    except Exception:  # damaged files make readers raise anything
      return path
  return folder


def _read_through(path: Path) -> None:
  from array_record.python.array_record_module import ArrayRecordReader

  reader = ArrayRecordReader(str(path))
  try:
    for i in range(reader.num_records()):
      reader.read([i])
  finally:
    reader.close()
