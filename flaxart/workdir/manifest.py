"""SHA-256 of every file of a checkpoint: Orbax notices a missing file, but not a flipped bit.
`checkpoints/<step>/manifest.json` covers all but the optimizer and the calibration. These have
their own manifests, so that one can be deleted and the other added while the rest stays sealed.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from flaxart.machine.files import write_text
from tfds_rijks import strict_json
from tfds_rijks.errors import UserError

FOLDER = 'checkpoints'  # of a workdir
OPTIMIZER, CALIBRATION = PARTS = 'optimizer', 'calibration'  # of a checkpoint
FILE = 'manifest.json'


def steps_in(folder: Path) -> list[int]:
  """The checkpoints in a folder, oldest first; those being saved or deleted have longer names."""
  if not folder.is_dir():
    return []
  return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


def seal(folder: Path) -> None:
  """Writes the manifests of a finished checkpoint; the one that makes it sealed comes last."""
  for part in (*(folder / name for name in PARTS), folder):
    if part.exists():
      write_text(part / FILE, _text(digests(part)))


def is_sealed(folder: Path) -> bool:
  """Whether a checkpoint has its manifest."""
  return (folder / FILE).exists()


def check(folder: Path, *, optimizer: bool = True) -> None:
  """Raises `UserError` if a checkpoint's files are not as written."""
  _refuse(problems(folder, optimizer=optimizer))


def problems(folder: Path, *, optimizer: bool = True) -> list[str]:
  """Differences from the manifests, one line per file; empty if everything is as written.

  Without `optimizer`, only the files needed to evaluate.
  """
  if not folder.is_dir():
    return [f'{folder}: does not exist']
  lines = _problems(folder)
  for part in PARTS if optimizer else [CALIBRATION]:
    if (folder / part).exists():
      lines += _problems(folder / part)
  return lines


def read(folder: Path, name: str) -> bytes:
  """A file of a checkpoint; raises `UserError` if it is sealed and not as written."""
  if is_sealed(folder):
    _refuse(_problems(folder, name))
  return (folder / name).read_bytes()


def digests(folder: Path, name: str = '*') -> dict[str, str]:
  """`{relative path: SHA-256}` of all files below `folder` that its manifest covers, or of one."""
  return {
    path.relative_to(folder).as_posix(): _sha256(path)
    for path in sorted(folder.rglob('*') if name == '*' else [folder / name])
    if path.is_file() and path != folder / FILE and path.relative_to(folder).parts[0] not in PARTS
  }


def _problems(folder: Path, name: str = '*') -> list[str]:
  try:
    expected = _expected(folder)
  except FileNotFoundError:
    return [f'{folder / FILE}: missing (the save was interrupted before it was complete)']
  except ValueError as error:
    return [str(error)]
  if name != '*':
    expected = {name: expected.get(name, '')}
  found = digests(folder, name)
  lines = [f'{folder / path}: missing' for path in sorted(expected.keys() - found.keys())]
  lines += [
    f'{folder / path}: not in the manifest' for path in sorted(found.keys() - expected.keys())
  ]
  lines += [
    f'{folder / path}: content changed (SHA-256 differs)'
    for path in sorted(expected.keys() & found.keys())
    if expected[path] != found[path]
  ]
  return lines


def _expected(folder: Path) -> dict[str, str]:
  """The content of the manifest; `ValueError` unless it is exactly what `seal` would write."""
  try:
    text = (folder / FILE).read_text(encoding='utf-8')
    expected: dict[str, str] = strict_json.parse(text)['sha256']
  except (ValueError, KeyError, TypeError):
    text, expected = '', {}
  if text != _text(expected):
    raise ValueError(f'{folder / FILE}: damaged')
  return expected


def _refuse(lines: list[str]) -> None:
  if lines:
    more = f' and {len(lines) - 1} more' if len(lines) > 1 else ''
    raise UserError(
      f'{lines[0]}{more}; the checkpoint is damaged: restore it from a copy, or give --fallback '
      'to use the newest intact one'
    )


def _text(sha256: dict[str, str]) -> str:
  return json.dumps({'sha256': sha256}, indent=1) + '\n'


def _sha256(path: Path) -> str:
  with path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()
