"""Several values in one cell: split by the chosen separator, noticed if by another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tfds_rijks.collection.table import Cell
from tfds_rijks.collection.values import plain, unescape

# As typed in a shell.
_USUAL = {';': "';'", '|': "'|'", '$': "'$'", '\n': r"'\n'"}

FEWEST = 0.005  # of the cells: fewer may be names with this character


class Noticed(NamedTuple):
  """Cells with a usual separator other than the chosen one, and the option to split them."""

  option: str
  cells: int
  example: str


def split_cell(cell: Cell, separator: str) -> list[str]:
  """The values of a cell; escaped text, such as `&amp;`, does not contain separators."""
  return [part for part in places(cell, separator) if part]


def places(cell: Cell, separator: str) -> list[str]:
  """The values of a cell including empty ones, where another column may have some."""
  parts = cell if isinstance(cell, list) else unescape(cell).split(separator)
  return [plain(part) for part in parts]


def notice(cells: Iterable[Cell], separator: str) -> Noticed | None:
  """The most frequent usual separator in the cells, if any; `separator` splits them already."""
  sign, split = _most_frequent(cells, _USUAL.keys() - {separator})
  if not sign:
    return None
  return Noticed(f'--multi_value_separator={_USUAL[sign]}', len(split), split[0])


def usual(cells: Iterable[Cell]) -> str:
  """What seems to separate several values in the cells; '' if each has one."""
  return _most_frequent(cells, _USUAL.keys())[0]


def _most_frequent(cells: Iterable[Cell], signs: Iterable[str]) -> tuple[str, list[str]]:
  """The sign that most cells contain between texts, and these cells; '' for none."""
  found: dict[str, list[str]] = {}
  filled = 0
  for cell in cells:
    filled += bool(cell)
    text = '' if isinstance(cell, list) else unescape(cell).strip()
    for sign in signs:
      if sign in text and all(part.strip() for part in text.split(sign)):
        found.setdefault(sign, []).append(plain(text.replace('\n', ' / ')))
  sign = max(sorted(found), key=lambda sign: len(found[sign]), default='')
  return (sign, found[sign]) if sign and len(found[sign]) >= FEWEST * filled else ('', [])
