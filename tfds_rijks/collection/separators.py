"""Several values in one cell: split by the chosen separator, noticed where it is another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tfds_rijks.collection.table import Cell
from tfds_rijks.collection.values import plain, unescape

# As a shell takes them.
_USUAL = {';': "';'", '|': "'|'", '$': "'$'", '\n': r"'\n'"}

FEWEST = 0.005  # of the cells: fewer may be names with such a sign


class Noticed(NamedTuple):
  """Cells that hold a usual separator, but not the chosen one; the option that would split them."""

  option: str
  cells: int
  example: str


def split_cell(cell: Cell, separator: str) -> list[str]:
  """The values of a cell; what was escaped, such as `&amp;`, holds no separator."""
  return [part for part in places(cell, separator) if part]


def places(cell: Cell, separator: str) -> list[str]:
  """The values of a cell with the empty ones, in whose places another column may have some."""
  parts = cell if isinstance(cell, list) else unescape(cell).split(separator)
  return [plain(part) for part in parts]


def notice(cells: Iterable[Cell], separator: str) -> Noticed | None:
  """The usual separator that most cells hold, if any does; `separator` splits them already."""
  found: dict[str, list[str]] = {}
  filled = 0
  for cell in cells:
    filled += bool(cell)
    text = '' if isinstance(cell, list) else unescape(cell).strip()
    for sign in _USUAL.keys() - {separator}:
      if sign in text and all(part.strip() for part in text.split(sign)):
        found.setdefault(sign, []).append(plain(text.replace('\n', ' / ')))
  if not found:
    return None
  sign = max(sorted(found), key=lambda sign: len(found[sign]))
  if len(found[sign]) < FEWEST * filled:
    return None
  option = f'--multi_value_separator={_USUAL[sign]}'
  return Noticed(option, len(found[sign]), found[sign][0])
