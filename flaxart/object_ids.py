"""Which picture belongs to which record of a museum: read from the museum's own table."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tfds_rijks.errors import UserError


def object_ids(metadata: Path, id_column: str, paths: Sequence[str]) -> dict[str, str]:
  """`{picture: record number as text}` for the pictures that the table knows.

  The table has a column `image` (a relative path or a file name), or none: then a picture belongs
  to the record whose number its file name is. Numbers stay text, leading zeros and all.
  """
  try:
    with metadata.open(encoding='utf-8-sig', newline='') as file:
      rows = list(csv.DictReader(file, restval=''))
  except (UnicodeDecodeError, csv.Error) as error:
    raise UserError(
      f'--metadata: {metadata} is no CSV in UTF-8 ({error}); save it as "CSV UTF-8"'
    ) from None
  except OSError as error:
    raise UserError(
      f'--metadata: {metadata} cannot be read ({error.strerror}); give the CSV with the numbers'
    ) from None
  columns = list(rows[0]) if rows else []
  if id_column not in columns:
    raise UserError(
      f'--id_column: {metadata} has no column {id_column!r}; its columns are '
      f'{", ".join(columns) or "none"}'
    )
  if 'image' not in columns:
    by_stem = {row[id_column].strip().casefold(): row[id_column].strip() for row in rows}
    return {
      path: by_stem[stem]
      for path in paths
      if (stem := PurePosixPath(path).stem.casefold()) in by_stem
    }
  by_path = {row['image'].strip(): row[id_column].strip() for row in rows if row['image']}
  by_name: dict[str, set[str]] = {}
  for path, record in by_path.items():
    by_name.setdefault(PurePosixPath(path).name, set()).add(record)
  result = {}
  for path in paths:
    names = by_name.get(PurePosixPath(path).name, set())
    if path in by_path:
      result[path] = by_path[path]
    elif len(names) == 1:  # a file name that two records share decides nothing
      result[path] = next(iter(names))
  return result
