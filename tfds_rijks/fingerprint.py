"""The fingerprint of a prepared version: its options and the content of its source folder.

It is stored beside the data, and compared before anything is built again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tfds_rijks import features_json, seal
from tfds_rijks.build_report import write_json
from tfds_rijks.errors import UserError
from tfds_rijks.listing import is_picture, walk

FILE = seal.FILE
MISSING = f'{FILE} is missing'
INFO = 'dataset_info.json'
OF_A_VERSION = (INFO, features_json.FILE, FILE)  # each of which may be gone
ADVICE = (
  'check the disk, then rebuild it: python -m tfds_rijks.prepare with the same '
  'options and --overwrite'
)
_ENDS = 1 << 20  # of a large file only the first and last MiB are read
_LARGE = 64 * _ENDS
_TABLE = 1 << 30  # the largest table; large files up to this size are read whole
# Usually uncompressed, so that another picture can have the same size.
_PLAIN = frozenset({'.bmp', '.ppm', '.pgm', '.pbm', '.pnm', '.tif', '.tiff'})
_SAMPLE = 4096  # bytes of a picture, at a quarter, half and three quarters


def write(path: Path, fingerprint: Mapping[str, Any]) -> None:
  """Writes the fingerprint of the version in `path`, with the sizes and hashes of its files."""
  write_json(path / FILE, seal.sealed(path, fingerprint))


def examine(path: Path, *, whole: bool = False) -> tuple[dict[str, Any], list[str]]:
  """The fingerprint of a prepared version, and its damage as short phrases.

  The content of records is compared only if `whole`.
  """
  # A pipe would be waited for, for ever.
  odd = (one.name for one in sorted(path.iterdir()) if not (one.is_file() or one.is_dir()))
  damage = [f'{name} is not a regular file' for name in odd]
  damage += [*_unread(path, INFO), *features_json.problems(path)]
  if wrong := _unread(path, FILE):
    return {}, [*wrong, *damage]
  found = features_json.read_object(path / FILE)
  # The same file may be wrong in two ways; the first is the plainer one.
  return found, [*dict.fromkeys([*seal.problems(path, found, whole=whole), *damage])]


def _unread(path: Path, name: str) -> list[str]:
  try:
    content = features_json.read_object(path / name)
  except FileNotFoundError:
    return [f'{name} is missing']
  except ValueError:
    content = {}
  needed = 'name' if name == INFO else 'input'
  return [] if needed in content else [f'{name} cannot be read']


def check(path: Path) -> bool:
  """Raises `UserError` for a damaged version that is to be read; returns whether it is sealed.

  A version without a fingerprint is not: other programs than `tfds_rijks.prepare` write none.
  """
  found, damage = examine(path)
  if damage := [phrase for phrase in damage if phrase != MISSING]:
    raise UserError(f'{path}: is damaged: {"; ".join(damage[:6])}; {ADVICE}')
  return seal.is_sealed(found)


def is_sealed(path: Path) -> bool:
  """Whether a version's fingerprint has the hashes of its files."""
  return seal.is_sealed(examine(path)[0])


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
  """The differences between two fingerprints, as short phrases."""
  was, now = old.get('options', {}), new['options']
  phrases = [
    f'{name} was {was.get(name)}, now {now.get(name)}'
    for name in sorted({*was, *now})
    if was.get(name) != now.get(name)
  ]
  return phrases + differences(old.get('input', {}), new['input'])


def summary(
  folder: Path, *, without: Iterable[Path] = (), also: Iterable[Path] = ()
) -> dict[str, Any]:
  """Name -> what identifies its content, per file at the top and per subfolder.

  Pictures count by name and size, uncompressed ones also by samples, all other files by content, so
  that an edited cell makes another table. `also` names hidden files that count.
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
      # A separate key, so that summaries without it stay valid.
      **({'closer': _digest(closer[top])} if top in closer else {}),
    }
    for top, files in sorted(parts.items())
  }


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
  """The changes between two summaries, as short phrases."""
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
  # Unreadable files are counted, and tolerated or not, when pictures are read.
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
