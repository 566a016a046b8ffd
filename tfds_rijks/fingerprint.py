"""What a prepared version was made from: its options, and what its source folder held.

It lies beside the data, short enough to keep, and is compared before anything is built again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tfds_rijks.build_report import write_json
from tfds_rijks.listing import is_picture, walk

FILE = 'fingerprint.json'
_ENDS = 1 << 20  # of a large file the first and last MiB stand for all
_LARGE = 64 * _ENDS
_TABLE = 1 << 30  # the largest table; up to there large files are read whole as well
# As a rule not compressed, so that another picture has the same size.
_PLAIN = frozenset({'.bmp', '.ppm', '.pgm', '.pbm', '.pnm', '.tif', '.tiff'})
_SAMPLE = 4096  # bytes of a picture, at a quarter, half and three quarters


def write(path: Path, fingerprint: Mapping[str, Any]) -> None:
  """Leaves the fingerprint of the version in `path`, with the sizes of the files that lie there."""
  sizes = {file.name: file.stat().st_size for file in sorted(path.iterdir()) if file.is_file()}
  write_json(path / FILE, {**fingerprint, 'files': sizes})


def examine(path: Path) -> tuple[dict[str, Any], list[str]]:
  """The fingerprint of a prepared version, and what is damaged there, as short phrases."""
  file = path / FILE
  if not file.exists():
    return {}, [f'{FILE} is missing']
  try:
    found = dict(json.loads(file.read_bytes()))
  except (ValueError, TypeError):
    return {}, [f'{FILE} cannot be read']
  damage = []
  for name, size in found.get('files', {}).items():  # older fingerprints have no sizes
    if not (path / name).is_file():
      damage.append(f'{name} is missing')
    elif (now := (path / name).stat().st_size) != size:
      damage.append(f'{name} has {now:,} bytes, {size:,} when it was written')
  return found, damage


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
  """What differs between two fingerprints, as short phrases."""
  was, now = old.get('options', {}), new['options']
  phrases = [
    f'{name}={was.get(name)} then, {now.get(name)} now'
    for name in sorted({*was, *now})
    if was.get(name) != now.get(name)
  ]
  return phrases + differences(old.get('input', {}), new['input'])


def summary(
  folder: Path, *, without: Iterable[Path] = (), also: Iterable[Path] = ()
) -> dict[str, Any]:
  """Name -> what identifies its content, per file at the top and per subfolder.

  Pictures count by name and size, those that are not compressed by samples too, all other files by
  content: a table whose cell was edited in place is another table. `also` names files that count
  although they are hidden.
  """
  parts: dict[str, list[tuple[str, str, int]]] = defaultdict(list)
  closer: dict[str, list[tuple[str, str]]] = defaultdict(list)
  walked = list(walk(folder, without=without))
  for path in walked + [path for path in also if path not in walked]:
    relative = path.relative_to(folder)
    top = f'{relative.parts[0]}/' if len(relative.parts) > 1 else relative.parts[0]
    top = os.fsencode(top).decode(errors='backslashreplace')
    size = path.stat().st_size
    parts[top].append((relative.as_posix(), '' if is_picture(path) else _content(path, size), size))
    if path.suffix.lower() in _PLAIN:
      closer[top].append((relative.as_posix(), _samples(path, size)))
    elif not is_picture(path) and _LARGE < size <= _TABLE:
      closer[top].append((relative.as_posix(), _whole(path)))
  return {
    top: {
      'files': len(files),
      'bytes': sum(size for *_, size in files),
      'sha256': _digest(files),
      # A key of its own: summaries that were written without it stay valid.
      **({'closer': _digest(closer[top])} if top in closer else {}),
    }
    for top, files in sorted(parts.items())
  }


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
  """What changed between two summaries, as short phrases."""
  phrases = []
  for name in sorted({*old, *new}):
    if name not in new:
      phrases.append(f'{name} is gone')
    elif name not in old:
      if not name.startswith('.'):  # older summaries have no hidden file
        phrases.append(f'{name} is new')
    elif any(old[name][key] != new[name][key] for key in old[name].keys() & new[name].keys()):
      was, now = old[name]['files'], new[name]['files']
      phrases.append(
        f'{name} has changed' + (f' ({was:,} files then, {now:,} now)' if was != now else '')
      )
  return phrases


def _digest(files: list[Any]) -> str:
  return hashlib.sha256(repr(files).encode()).hexdigest()


def _samples(path: Path, size: int) -> str:
  digest = hashlib.sha256()
  # What cannot be opened is counted, and put up with or not, when pictures are read.
  with contextlib.suppress(OSError), path.open('rb') as file:
    for quarter in (1, 2, 3):
      file.seek(max(0, (size * quarter - 2 * _SAMPLE) // 4))
      digest.update(file.read(_SAMPLE))
  return digest.hexdigest()


def _whole(path: Path) -> str:
  with path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def _content(path: Path, size: int) -> str:
  digest = hashlib.sha256()
  with path.open('rb') as file:
    if size <= _LARGE:
      digest.update(file.read())
    else:
      digest.update(file.read(_ENDS))
      file.seek(-_ENDS, os.SEEK_END)
      digest.update(file.read())
  return digest.hexdigest()
