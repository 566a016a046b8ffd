"""`--objects=F.csv`: a list of stems that restricts a config, optionally with a split and
labels."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tfds_rijks.errors import UserError
from tfds_rijks.rijksmuseum.oai import clean
from tfds_rijks.splits import SPLIT_NAMES
from tfds_rijks.table_size import MAX_BYTES

STEM_COLUMNS = ('stem', 'jpg', 'image', 'imageid', 'image_id', 'file', 'filename')


@dataclass(frozen=True)
class ObjectList:
  """A list of objects.

  Attributes:
    name: the file's name.
    digest: SHA-256 of the relevant content (stems and splits, sorted), hexadecimal.
    stems: in the order of the file.
    splits: split by stem, None without a column `split`.
    labels: further columns by stem, to compare with the records.
  """

  name: str
  digest: str
  stems: tuple[str, ...] = field(repr=False)  # TFDS logs the whole config
  splits: Mapping[str, str] | None = field(repr=False)
  labels: Mapping[str, Mapping[str, str]] = field(repr=False)


def read(path: Path) -> ObjectList:
  """Reads the list (CSV, UTF-8): a column of stems or file names, optional `split`, optional
  labels.

  Raises:
    UserError: unreadable, no column of stems, no rows, a stem twice, an unknown split.
  """
  try:
    text = path.read_text(encoding='utf-8-sig')
  except OSError as error:
    raise UserError(f'--objects={path}: {error.strerror or error}') from None
  except UnicodeDecodeError as error:
    raise UserError(
      f'--objects={path}: not UTF-8 (byte {error.start}); save it as CSV in UTF-8'
    ) from None
  csv.field_size_limit(MAX_BYTES)  # for this process; another table may have raised it already
  try:
    rows = [row for row in csv.reader(io.StringIO(text, newline=''), strict=True) if row]
  except csv.Error as error:
    raise UserError(f'--objects={path}: {error}; expected a table with quotes in pairs') from None
  header = [name.strip().lower() for name in rows[0]] if rows else []
  column = next((header.index(name) for name in STEM_COLUMNS if name in header), None)
  if column is None:
    raise UserError(
      f'--objects={path}: columns {", ".join(header) or "none"}; expected one of '
      f'{", ".join(STEM_COLUMNS)} with stems such as 0000004_RP-P-1992-35'
    )
  split_column = header.index('split') if 'split' in header else None
  labels: dict[str, dict[str, str]] = {}
  splits: dict[str, str] = {}
  for line, row in enumerate(rows[1:], start=2):
    if len(row) != len(header):
      raise UserError(
        f'--objects={path}: line {line} has {len(row)} cells, the header {len(header)}'
      )
    stem = _stem(row[column])
    if not stem or stem in labels:
      raise UserError(
        f'--objects={path}: line {line} {f"{stem} occurs twice" if stem else "names no object"}'
      )
    labels[stem] = {
      name: clean(cell)
      for name, cell in zip(header, row, strict=True)
      if name not in ('', 'split', header[column])
    }
    if split_column is not None:
      split = SPLIT_NAMES.get(row[split_column].strip().lower())
      if split is None:
        raise UserError(
          f'--objects={path}: line {line}: split {row[split_column]!r}; expected train, val or test'
        )
      splits[stem] = split
  if not labels:
    raise UserError(f'--objects={path}: lists no objects')
  content = '\n'.join(f'{stem}\t{splits.get(stem, "")}' for stem in sorted(labels))
  return ObjectList(
    name=path.name,
    digest=hashlib.sha256(content.encode()).hexdigest(),
    stems=tuple(labels),
    splits=splits if split_column is not None else None,
    labels=labels,
  )


def _stem(cell: str) -> str:
  """`folder/0007810_BK-15071.jpg` -> `0007810_BK-15071`; dots in the object number stay."""
  name = cell.strip().replace('\\', '/').rpartition('/')[2]
  for ending in ('.jpg', '.jpeg', '.xml'):
    if name.lower().endswith(ending):
      return name[: -len(ending)]
  return name
