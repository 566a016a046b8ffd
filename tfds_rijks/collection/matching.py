"""Pairs pictures and rows by the object number in the file name, as museums' exports need it."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from pathlib import Path
from typing import Any

from tfds_rijks.build_report import examples
from tfds_rijks.collection.table import Table
from tfds_rijks.errors import UserError
from tfds_rijks.listing import is_picture, name_of, walk

SHOWN = 10
# What cameras and people put behind an object number: _1, -a, (2), _recto. Tried only where the
# whole name is no object number, for many end in just such parts (BK-NM-13348-A).
_SUFFIX = re.compile(
  r'^(?P<base>.+?)'
  r'(?:[ _-]*\(\d{1,3}\)|[ _.-]+(?:\d{1,3}|[a-z]|recto|verso|detail))$',
  re.IGNORECASE,
)
_SAME = re.compile(r'[\s._-]+')


def match(
  content: Table, *, id_column: str, folder: Path
) -> tuple[list[tuple[str, int]], dict[str, Any]]:
  """(path relative to the folder, row) for each picture that belongs to one row, and a report.

  Case, `_`, `-`, blanks and dots are equal. A number that stands in several rows is ambiguous: its
  pictures are left out and listed, as are pictures and rows without a partner.
  """
  at = content.columns.index(id_column)
  rows: dict[str, list[int]] = defaultdict(list)
  for i, row in enumerate(content.rows):
    if isinstance(row[at], list):
      raise UserError(
        f'{content.path}: line {content.lines[i]}: several values in {id_column}; '
        'expected one object number'
      )
    if found := key(str(row[at])):
      rows[found].append(i)
  pairs: list[tuple[str, int]] = []
  unmatched: list[str] = []
  ambiguous: list[str] = []
  for path in walk(folder):
    if not is_picture(path):
      continue
    name = name_of(path, folder=folder)
    here = _rows_of(path.stem, rows)
    if not here:
      unmatched.append(name)
    elif len(here) > 1:
      ambiguous.append(name)
    else:
      pairs.append((name, here[0]))
  taken = {i for _, i in pairs}
  without = [str(row[at]) for i, row in enumerate(content.rows) if i not in taken]
  shown = pairs[:: max(1, len(pairs) // SHOWN)][:SHOWN]
  print(
    f'{content.path.name}: {len(pairs):,} pictures belong to {len(taken):,} of '
    f'{len(content.rows):,} rows by {id_column}; for example'
  )
  for name, i in shown:
    print(f'  {name}  ->  {content.rows[i][at]}')
  for what, listed in (
    ('pictures without a row', unmatched),
    ('rows without a picture', without),
    ('pictures whose number stands in several rows', ambiguous),
  ):
    if listed:
      print(f'  {len(listed):,} {what}: {examples(listed)}')
  if not pairs:
    raise UserError(
      f'--match=stem: no file name below {folder} holds a number from the column '
      f'{id_column} (such as {without[0] if without else ""!r}); expected names such '
      'as NUMBER.jpg or NUMBER_1.jpg; check --id_column'
    )
  return pairs, {
    'pictures': len(pairs),
    'objects': len(taken),
    'pictures_without_row': unmatched,
    'rows_without_picture': without,
    'ambiguous': ambiguous,
  }


def _rows_of(stem: str, rows: dict[str, list[int]]) -> list[int]:
  """The rows of a file name: as it is, else with up to two suffixes taken off."""
  for _ in range(3):
    if key(stem) in rows:
      return rows[key(stem)]
    shorter = _SUFFIX.match(stem)
    if not shorter:
      return []
    stem = shorter['base']
  return []


def key(text: str) -> str:
  """What two spellings of one object number share: 'SK-A-1718', 'sk_a 1718', 'SK.A.1718'."""
  return _SAME.sub('-', unicodedata.normalize('NFC', text).casefold()).strip('-')
