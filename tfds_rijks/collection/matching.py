"""Matches pictures and rows of a museum's table, for preparing and predicting: by the path or file
name in a column, by the object number in the file name, or by the number that a photographer's
program has written into the file.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from tfds_rijks.collection.column_names import Names
from tfds_rijks.collection.embedded import Field, values
from tfds_rijks.collection.table import Table, check_ids, without_errors
from tfds_rijks.errors import UserError
from tfds_rijks.images import SUFFIXES
from tfds_rijks.labels import normalise

PATH, STEM = 'path', 'stem'
EXPECTED = 'path, stem, iptc:ObjectName or xmp:dc:identifier'
# Suffixes of object numbers by cameras and people: _1, -a, (2), _recto, _detail 2. Tried only if
# the whole name is not an object number, as many end like this (BK-NM-13348-A).
_VIEWS = (
  'recto|verso|front|back|top|bottom|side|left|right|inside|overall|obverse|reverse|view|detail|det|'
  'photo|img|voor|achter|voorzijde|achterzijde|binnen|boven|onder|links|rechts|foto|opname|'
  'vorderseite|rückseite|seite|ansicht|aufnahme|bild|face|dos|revers|avers|vue|détail|vz|az|kz|vs|rs'
)
_SUFFIX = re.compile(
  r'^(?P<base>.+?)(?:[ _-]*\(\d{1,3}\)|[ _.-]+(?:\d{1,3}|[a-z]|'
  rf'(?:{_VIEWS})[ _.-]?\d{{0,3}}))$',
  re.IGNORECASE,
)
# Those that are hardly ever a part of a number, for pictures without a table to compare with.
_WORDS = '|'.join(word for word in _VIEWS.split('|') if len(word) > 3)
_PLAIN_SUFFIX = re.compile(
  rf'^(?P<base>.+?)(?:[ _-]*\(\d{{1,3}}\)|[ _.-]+(?:{_WORDS})[ _.-]?\d{{0,3}})$', re.IGNORECASE
)
_SAME = re.compile(r'[\s._-]+')


@dataclasses.dataclass(frozen=True)
class Rule:
  """A `--match`, and the columns it uses ('' for none)."""

  match: str
  id_column: str
  image_column: str

  @property
  def field(self) -> Field | None:
    """The field of embedded metadata with the object number, if any."""
    return embedded_field(self.match)


def embedded_field(match: str) -> Field | None:
  """The field of `iptc:NAME` or `xmp:NAME`; `UserError` for an unknown rule."""
  if match in (PATH, STEM):
    return None
  try:
    return Field.parse(match)
  except ValueError as error:
    raise UserError(f'--match={match}: {error}; expected {EXPECTED}') from None


def rule(content: Table, match: str, *, id_column: str | None, image_column: str | None) -> Rule:
  """Checks `--match` against the columns; raises `UserError` if one is missing."""
  embedded_field(match)
  names = Names(content)
  image, number = names.image(image_column), names.id(id_column)
  if match == PATH and not image:
    raise UserError(
      f'{content.path}: has the columns {", ".join(content.columns)}; expected a '
      f'column image with paths relative to the folder; {_like_files(content)}rename one, or pair '
      'pictures and rows by object number (--match=stem --id_column=NAME)'
    )
  if match != PATH and not number:
    raise UserError(
      f'--match={match}: {content.path.name} has no column object_number or id; say '
      f'which of {", ".join(content.columns)} it is with --id_column=NAME'
    )
  return Rule(match, number, image)


def rows_of(
  content: Table, pictures: Sequence[str], by: Rule, *, folder: Path
) -> dict[str, list[int]]:
  """Picture -> the rows it may belong to: one, none, or several indistinguishable ones.

  Args:
    pictures: paths relative to `folder`, as `listing.name_of` writes them.
  """
  if by.match == PATH:
    without_errors(content, [by.image_column])
    return by_path([_one(cell) for cell in content.column(by.image_column)], pictures)
  rows = _by_number(content, by.id_column)
  if by.field is None:
    return {picture: _by_stem(PurePosixPath(picture).stem, rows) for picture in pictures}
  found = values([folder / picture for picture in pictures], by.field)
  return {picture: rows.get(key(value), []) for picture, value in zip(pictures, found, strict=True)}


def without_table(pictures: Sequence[str], match: str, *, folder: Path) -> dict[str, str]:
  """Picture -> record number, of pictures that have no row yet; those without one are left out.

  By `stem` it is the file name, without words such as `_recto` or `(2)` at its end: a number or a
  letter there may belong to it. Spellings of one number become the first of them.
  """
  field = embedded_field(match)
  if field is None:
    found = [_without_view(normalise(PurePosixPath(picture).stem)) for picture in pictures]
  else:
    found = [normalise(one) for one in values([folder / picture for picture in pictures], field)]
  first: dict[str, str] = {}
  return {
    picture: first.setdefault(key(number), number)
    for picture, number in zip(pictures, found, strict=True)
    if key(number)
  }


def _without_view(stem: str) -> str:
  for _ in range(2):
    if shorter := _PLAIN_SUFFIX.match(stem):
      stem = shorter['base']
  return stem


def by_path(names: Sequence[str], pictures: Sequence[str]) -> dict[str, list[int]]:
  """Picture -> the places of the names that mean it: its path, else its file name alone.

  In the same case, else in another. An ambiguous name means no picture, and a picture found by its
  path is not found again by its name.
  """
  result: dict[str, list[int]] = {picture: [] for picture in pictures}
  left = [i for i, name in enumerate(names) if name]
  for form in (plain, _folded, _last, _last_folded):
    here: dict[str, list[str]] = collections.defaultdict(list)
    for picture in pictures:
      here[form(picture)].append(picture)
    found = {
      i: one[0] for i in left if len(one := here[form(names[i])]) == 1 and not result[one[0]]
    }
    for i, picture in found.items():
      result[picture].append(i)
    left = [i for i in left if i not in found]
  return result


def plain(path: str) -> str:
  """One spelling of a path: `a/b.png` for `a\\b.png` and `./a/b.png`, accents composed."""
  return os.path.normpath(unicodedata.normalize('NFC', path.strip().replace('\\', '/')))


def key(text: str) -> str:
  """The key that spellings of one object number share: 'SK-A-1718', 'sk_a 1718', 'SK.A.1718'."""
  return _SAME.sub('-', unicodedata.normalize('NFC', text).casefold()).strip('-')


def _folded(path: str) -> str:
  return plain(path).casefold()


def _last(path: str) -> str:
  return PurePosixPath(plain(path)).name


def _last_folded(path: str) -> str:
  return _last(path).casefold()


def _one(cell: str | list[str]) -> str:
  return cell if isinstance(cell, str) else cell[0] if len(cell) == 1 else ''


def _by_number(content: Table, column: str) -> dict[str, list[int]]:
  """Rows by the key of their object number; refuses numbers that differ only in case."""
  without_errors(content, [column])
  check_ids(content, column)
  rows: dict[str, list[int]] = collections.defaultdict(list)
  first: dict[str, tuple[str, int]] = {}
  for i, cell in enumerate(content.column(column)):
    if isinstance(cell, list):
      raise UserError(
        f'{content.path}: line {content.lines[i]}: several values in {column}; '
        'expected one object number'
      )
    if not key(cell):
      continue
    rows[key(cell)].append(i)
    number = normalise(cell)
    other, line = first.setdefault(number.casefold(), (number, content.lines[i]))
    if other != number:
      raise UserError(
        f'{content.path}: line {content.lines[i]}: {number!r} differs from {other!r} of line '
        f'{line} only in case, which file names do not show reliably; rename one of them'
      )
  return rows


def _by_stem(stem: str, rows: Mapping[str, list[int]]) -> list[int]:
  """The rows of a file name: unchanged, else with up to two suffixes removed."""
  for _ in range(3):
    if key(stem) in rows:
      return rows[key(stem)]
    shorter = _SUFFIX.match(stem)
    if not shorter:
      return []
    stem = shorter['base']
  return []


def _like_files(content: Table) -> str:
  """A hint at columns whose cells look like names of pictures."""
  like = [
    column
    for column in content.columns
    if _share(_one(cell) for cell in content.column(column)) > 0.5
  ]
  return f'{like[0]!r} holds such names: --image_column={like[0]}; else ' if like else ''


def _share(cells: Iterator[str]) -> float:
  filled = [PurePosixPath(cell).suffix.lower() in SUFFIXES for cell in cells if cell]
  return sum(filled) / max(1, len(filled))
