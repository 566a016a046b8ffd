"""The files of a source folder, without hidden ones, named by their path in the folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from tfds_rijks.errors import UserError
from tfds_rijks.images import SUFFIXES

# Of Synology and QNAP, macOS and Windows, and common names given by people.
NOT_OURS = frozenset(
  (
    *('@eadir', '@recycle', '#recycle', '#snapshot', '__macosx', '$recycle.bin'),
    *('system volume information', 'thumbs', 'thumbnails', '_thumbs', '_thumbnails'),
  )
)


def walk(folder: Path, *, without: Iterable[Path] = ()) -> Iterator[Path]:
  """All files below `folder`, sorted; hidden ones, folders of thumbnails and deleted files, and the
  folders in `without` are skipped. Links to folders are followed, each folder once, so that upward
  links end.
  """
  skip = {os.path.realpath(path) for path in without}
  seen: set[str] = set()

  def below(path: str) -> Iterator[str]:
    real = os.path.realpath(path)
    if real in seen or real in skip:
      return
    seen.add(real)
    with os.scandir(path) as entries:
      for entry in sorted(entries, key=lambda entry: entry.name):
        if entry.name.startswith('.'):
          continue
        if entry.is_dir():
          if entry.name.casefold() in NOT_OURS:
            continue
          yield from below(entry.path)
        elif entry.is_file():
          yield entry.path

  yield from (Path(path) for path in below(str(folder)))


def name_of(path: Path, *, folder: Path) -> str:
  """The path relative to `folder`, which names a picture everywhere.

  Raises `UserError` for a name that is not UTF-8, which no table and no dataset can hold.
  """
  name = path.relative_to(folder).as_posix()
  try:
    name.encode()
  except UnicodeEncodeError:
    raise UserError(f'{folder}: {name!a}: the name is not UTF-8; rename it') from None
  return name


def is_picture(path: Path) -> bool:
  """Whether a name is a picture's; the content is only known after decoding."""
  return path.suffix.lower() in SUFFIXES
