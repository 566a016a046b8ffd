"""Which picture belongs to which record of a museum: read from the museum's own table."""

from __future__ import annotations

import collections
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tfds_rijks.collection import table
from tfds_rijks.errors import UserError


def object_ids(metadata: Path, id_column: str, paths: Sequence[str]) -> dict[str, str]:
  """`{picture: record number as text}` for the pictures that the table knows.

  The table is of any kind that `tfds_rijks.prepare` reads. It has a column `image` (a relative path
  or a file name), or none: then a picture belongs to the record whose number its file name is. What
  could mean two records, or a name two pictures, decides nothing. Numbers stay text, leading zeros
  and all.
  """
  if not metadata.is_file():
    raise UserError(f'--metadata: {metadata} is no file; give the table with the numbers')
  try:
    found = table.read(metadata)
  except OSError as error:
    raise UserError(
      f'--metadata: {metadata} cannot be read ({error.strerror}); give the table with the numbers'
    ) from None
  if id_column not in found.columns:
    raise UserError(
      f'--id_column: {metadata} has no column {id_column!r}; its columns are '
      f'{", ".join(found.columns)}'
    )
  numbers = [_text(cell) for cell in found.column(id_column)]
  plain = {path: _plain(path) for path in paths}
  if 'image' not in found.columns:
    by_stem = {_plain(number).casefold(): number for number in numbers if number}
    stems = {path: PurePosixPath(name).stem.casefold() for path, name in plain.items()}
    return {path: by_stem[stem] for path, stem in stems.items() if stem in by_stem}
  by_path: dict[str, set[str]] = {}
  for cell, number in zip(found.column('image'), numbers, strict=True):
    if name := _text(cell):
      by_path.setdefault(_plain(name), set()).add(number)
  by_name: dict[str, set[str]] = {}
  for name, records in by_path.items():
    by_name.setdefault(_last(name), set()).update(records)
  # Another folder's file of a name whose own row is here is another picture.
  here = {_last(name) for name in plain.values() if name in by_path}
  pictures = collections.Counter(_last(name) for name in plain.values())
  result = {}
  for path, name in plain.items():
    records = by_path.get(name, set())
    if name not in by_path and _last(name) not in here and pictures[_last(name)] == 1:
      records = by_name.get(_last(name), set())
    if len(records) == 1:
      (result[path],) = records
  return result


def _text(cell: table.Cell) -> str:
  return (cell if isinstance(cell, str) else ' '.join(cell)).strip()


def _plain(path: str) -> str:
  """One spelling of a path: `a/b.png` for `a\\b.png` and `./a/b.png`, accents composed."""
  return os.path.normpath(unicodedata.normalize('NFC', path.replace('\\', '/')))


def _last(path: str) -> str:
  return PurePosixPath(path).name
