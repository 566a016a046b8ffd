"""The files of a source folder, without hidden ones, named by their path in the folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from tfds_rijks.errors import UserError
from tfds_rijks.images import SUFFIXES
from tfds_rijks.picture_file import NOT_A_FILE, OUTSIDE, is_within

VANISHED = 'vanished while the folder was read'
# Of Synology and QNAP, macOS and Windows, and common names given by people.
NOT_OURS = frozenset(
  (
    *('@eadir', '@recycle', '#recycle', '#snapshot', '__macosx', '$recycle.bin'),
    *('system volume information', 'thumbs', 'thumbnails', '_thumbs', '_thumbnails'),
  )
)


def walk(folder: Path, *, without: Iterable[Path] = ()) -> Iterator[Path]:
  """All regular files below `folder`, sorted, as of `entries`.

  Raises `UserError` for a folder that vanishes meanwhile.
  """
  for path, why in entries(folder, without=without):
    if why == VANISHED:
      raise UserError(f'{path}: {why}; try again when nothing changes there')
    if not why:
      yield path


def entries(
  folder: Path, *, without: Iterable[Path] = (), inside: bool = False
) -> Iterator[tuple[Path, str]]:
  """Everything below `folder`, sorted: regular files with '', and others with the reason why they
  are not used.

  Hidden files, folders of thumbnails and of deleted files, and the folders in `without` are
  skipped. Links are followed, only those that stay `inside` the folder if so asked; each folder
  once, so that upward links end.
  """
  skip = {os.path.realpath(path) for path in without}
  seen: set[str] = set()

  def below(path: str) -> Iterator[tuple[str, str]]:
    real = os.path.realpath(path)
    if real in seen or real in skip:
      return
    seen.add(real)
    try:
      with os.scandir(path) as scanned:
        found = sorted(scanned, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
      yield path, VANISHED
      return
    for entry in found:
      if entry.name.startswith('.'):
        continue
      try:
        is_folder, is_file = entry.is_dir(), entry.is_file()
      except OSError as error:  # links in a circle
        yield entry.path, f'cannot be opened: {error.strerror}'
        continue
      if inside and entry.is_symlink() and not is_within(entry.path, folder):
        yield entry.path, OUTSIDE
      elif not is_folder:
        yield entry.path, '' if is_file else NOT_A_FILE
      elif entry.name.casefold() not in NOT_OURS:
        yield from below(entry.path)

  yield from ((Path(path), why) for path, why in below(str(folder)))


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
