"""Sizes and hashes of a prepared version's files, in its fingerprint: damage is named, not read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE = 'fingerprint.json'
SIZES, HASHES, SEAL = 'files', 'sha256', 'seal'  # keys of the fingerprint
_RECORDS, _CLASSES = '.array_record-', '.labels.txt'  # in names of files


def sealed(folder: Path, fingerprint: Mapping[str, Any]) -> dict[str, Any]:
  """The fingerprint with the size and SHA-256 of every file beside it, and a hash of itself."""
  files = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name != FILE]
  content = {
    **fingerprint,
    SIZES: {path.name: path.stat().st_size for path in files},
    HASHES: {path.name: sha256(path) for path in files},
  }
  return {**content, SEAL: _digest(content)}


def is_sealed(fingerprint: Mapping[str, Any]) -> bool:
  """Whether it has hashes; those of earlier versions have sizes at most."""
  return SIZES in fingerprint and SEAL in fingerprint


def problems(folder: Path, fingerprint: Mapping[str, Any], *, whole: bool) -> list[str]:
  """What differs from the fingerprint, as short phrases.

  All sizes are compared, and the hashes of small files; those of records only if `whole`, as it
  takes as long as reading them.
  """
  if SIZES not in fingerprint:
    return []
  hashed = SEAL in fingerprint or HASHES in fingerprint
  if hashed and fingerprint.get(SEAL) != _digest(fingerprint):
    return [f'{FILE} has changed']
  sizes, hashes = fingerprint[SIZES], fingerprint[HASHES] if hashed else {}
  if not isinstance(hashes, dict) or not isinstance(sizes, dict):
    return [f'{FILE} cannot be read']
  if not all(isinstance(size, int) for size in sizes.values()):
    return [f'{FILE} cannot be read']
  found = []
  for name, size in sizes.items():
    path = folder / Path(name).name  # never a file elsewhere
    if not path.is_file():
      found.append(f'{name} is missing')
    elif (now := path.stat().st_size) != size:
      found.append(f'{name} has {now:,} bytes, {size:,} when it was written')
    elif hashed and (whole or _RECORDS not in name) and sha256(path) != hashes.get(name):
      found.append(f'{name} has changed: another SHA-256 than when it was written')
  for path in sorted(folder.iterdir()):
    if path.name not in sizes and (_RECORDS in path.name or path.name.endswith(_CLASSES)):
      found.append(f'{path.name} was not there when it was written')
  return found


def sha256(path: Path) -> str:
  """SHA-256 of a file."""
  with path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def _digest(fingerprint: Mapping[str, Any]) -> str:
  content = {key: value for key, value in fingerprint.items() if key != SEAL}
  return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
