"""Errors for prepared data that cannot be read: the file, and what to do."""

from __future__ import annotations

import logging
from pathlib import Path

from tfds_rijks import features_json, fingerprint, seal
from tfds_rijks.errors import UserError
from tfds_rijks.progress import working

log = logging.getLogger('flaxart')


def check_files(folder: Path) -> None:
  """Raises `UserError` if a file is gone or differs from when it was written; see `seal`."""
  with working('checking the prepared data'):
    sealed = fingerprint.check(folder)
  if not sealed:
    log.warning(
      '%s: is unsealed (prepared by an earlier version): altered files may go unnoticed; '
      'tfds_rijks.prepare with --overwrite seals it',
      folder,
    )


def explained(folder: Path, error: Exception, *, record: str = '') -> UserError:
  """The error for an exception while reading `folder`, with the file to blame."""
  if isinstance(error, UserError):
    return error
  first = str(error).strip().split('\n')[0][:200] or type(error).__name__
  what = f'record {record}, ' if record else ''
  return UserError(
    f'{_culprit(folder)}: is damaged or unreachable ({what}{first}); {fingerprint.ADVICE}'
  )


def all_damage(folder: Path) -> list[str]:
  """What is wrong with a prepared version, records included, as short phrases."""
  found, lines = fingerprint.examine(folder, whole=True)
  lines = [line for line in lines if line != fingerprint.MISSING]
  if not lines and not seal.is_sealed(found):
    try:
      lines = [f'{name} is missing' for name in _records(folder) if not (folder / name).is_file()]
    except Exception:  # TFDS raises nearly anything over damaged files
      lines = [f'{fingerprint.INFO} cannot be read']
    if not lines and (culprit := _unreadable(folder)):
      lines = [f'{culprit.name} cannot be read']
  return lines


def _records(folder: Path) -> list[str]:
  """The files of records that a version has by its `dataset_info.json`."""
  import tensorflow_datasets as tfds

  splits = tfds.builder_from_directory(str(folder)).info.splits.values()
  return [Path(path).name for split in splits for path in split.filepaths]


def _culprit(folder: Path) -> Path:
  """The first file that is gone, has another size or cannot be read; the folder if none is."""
  if not folder.is_dir():
    return folder
  _, damage = fingerprint.examine(folder)
  named = [phrase.split(' ')[0] for phrase in damage if not phrase.startswith(fingerprint.FILE)]
  if named:
    return folder / named[0]
  return _unreadable(folder) or folder


def _unreadable(folder: Path) -> Path | None:
  for path in sorted(folder.iterdir()):
    try:
      if path.suffix == '.json':
        features_json.read_object(path)
      elif '.array_record-' in path.name:
        _read_through(path)
    except Exception:  # damaged files make readers raise anything
      return path
  return None


def _read_through(path: Path) -> None:
  from array_record.python.array_record_module import ArrayRecordReader

  reader = ArrayRecordReader(str(path))
  try:
    for i in range(reader.num_records()):
      reader.read([i])
  finally:
    reader.close()
