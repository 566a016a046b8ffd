"""SHA-256 of every file of a checkpoint: Orbax notices a missing file, never a flipped bit."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from flaxart.machine.files import write_text

FILE = 'manifest.json'


def seal(folder: Path) -> None:
  """Writes `manifest.json` over all files of a finished checkpoint."""
  write_text(folder / FILE, _text(digests(folder)))


def problems(folder: Path) -> list[str]:
  """What differs from the manifest, one line a file; empty if everything is as it was written."""
  try:
    text = (folder / FILE).read_text(encoding='utf-8')
    expected = json.loads(text)['sha256']
  except FileNotFoundError:
    return [f'{folder / FILE}: missing (the save was interrupted before it was complete)']
  except (ValueError, KeyError, TypeError):
    return [f'{folder / FILE}: damaged']
  if text != _text(expected):
    return [f'{folder / FILE}: damaged']
  found = digests(folder)
  lines = [f'{folder / name}: missing' for name in sorted(expected.keys() - found.keys())]
  lines += [
    f'{folder / name}: not in the manifest' for name in sorted(found.keys() - expected.keys())
  ]
  lines += [
    f'{folder / name}: content changed (SHA-256 differs)'
    for name in sorted(expected.keys() & found.keys())
    if expected[name] != found[name]
  ]
  return lines


def digests(folder: Path) -> dict[str, str]:
  """`{relative path: SHA-256}` of all files below `folder` but the manifest itself."""
  return {
    path.relative_to(folder).as_posix(): _sha256(path)
    for path in sorted(folder.rglob('*'))
    if path.is_file() and path != folder / FILE
  }


def _text(sha256: dict[str, str]) -> str:
  return json.dumps({'sha256': sha256}, indent=1) + '\n'


def _sha256(path: Path) -> str:
  with path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()
