"""A worksheet as it was read, and which one of a workbook it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from tfds_rijks.errors import UserError


@dataclasses.dataclass(frozen=True)
class Merged:
  """A range of cells shown as one; rows and columns count from 0, the last ones belong to it."""

  top: int
  left: int
  bottom: int
  right: int

  def __str__(self) -> str:
    return f'{_letters(self.left)}{self.top + 1}:{_letters(self.right)}{self.bottom + 1}'


@dataclasses.dataclass
class Sheet:
  """All cells of a worksheet as text; a row may be shorter than others.

  `others` are the sheets that were not read, with `(hidden)` behind a hidden one; `hidden_rows`
  counts rows that a filter hides: they are read.
  """

  name: str
  rows: list[list[str]]
  merged: list[Merged]
  others: list[str]
  hidden_rows: int = 0


def choose(sheets: Sequence[tuple[str, bool]], wanted: str, *, path: Path) -> tuple[int, list[str]]:
  """The place of the sheet to read among (name, visible), and the names of the others.

  It is `wanted`, or the first one that a reader of the workbook sees.
  """
  named = [f'{name}{"" if visible else " (hidden)"}' for name, visible in sheets]
  if wanted:
    found = [i for i, (name, _) in enumerate(sheets) if name == wanted]
    found = found or [i for i, (n, _) in enumerate(sheets) if n.casefold() == wanted.casefold()]
    if not found:
      raise UserError(f'--sheet={wanted}: {path} has no such sheet; its sheets are {listed(named)}')
  else:
    found = [i for i, (_, visible) in enumerate(sheets) if visible]
    if not found:
      raise UserError(
        f'{path}: has no sheet that can be seen, only {listed(named)}; show the one that is the '
        'table, or name it by --sheet=NAME'
      )
  return found[0], named[: found[0]] + named[found[0] + 1 :]


def listed(names: Sequence[str]) -> str:
  """Names for a message."""
  return ', '.join(names) or 'none'


def _letters(column: int) -> str:
  """0 -> A, 25 -> Z, 26 -> AA."""
  text = ''
  column += 1
  while column:
    column, rest = divmod(column - 1, 26)
    text = chr(65 + rest) + text
  return text
