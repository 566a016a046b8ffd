"""Skipped files of a collection, which by their names are not pictures: each with a reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container
from pathlib import Path

from tfds_rijks import formats
from tfds_rijks.errors import ImageError
from tfds_rijks.formats import heif
from tfds_rijks.formats.unread import kind_of
from tfds_rijks.listing import is_picture, walk
from tfds_rijks.picture_file import open_regular

_HEAD = 4096  # bytes that identify a file
_PREPARED = 'dataset_info.json'  # of a dataset that was prepared into the folder


def passed_over(folder: Path, *, used: Container[str]) -> dict[str, list[str]]:
  """Reason -> paths relative to `folder` of files neither `used` nor hidden nor prepared data."""
  reasons: dict[str, list[str]] = defaultdict(list)
  for path in walk(folder):
    name = path.relative_to(folder).as_posix()
    if name not in used and not (path.parent / _PREPARED).exists():
      reasons[reason(path)].append(name.encode(errors='surrogateescape').decode(errors='replace'))
  return dict(sorted(reasons.items(), key=lambda item: -len(item[1])))


def reason(path: Path, *, within: Path | None = None) -> str:
  """Why a file is skipped, as a short phrase to count by; read only if it is `within` a folder."""
  if is_picture(path):
    return 'a picture that belongs to no row'
  try:
    with open_regular(path, name=str(path), within=within) as file:
      head = file.read(_HEAD)
  except ImageError as error:
    return error.reason
  except OSError as error:
    return f'cannot be opened: {error.strerror}'
  suffix = path.suffix.lower() or 'no suffix'
  if heif.is_heic(head) and not heif.INSTALLED:
    return f'{heif.MISSING}; {heif.ADVICE}'
  if kind := kind_of(head):
    return f'not a supported picture: {kind}'
  if formats.is_known(head):
    return f'a picture with another ending ({suffix}); name it .jpg, .png or what it is'
  return f'not a picture ({suffix})'
