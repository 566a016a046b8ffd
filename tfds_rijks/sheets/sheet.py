"""A worksheet, and its choice among the sheets of a workbook."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from tfds_rijks.errors import UserError


@dataclasses.dataclass(frozen=True)
class Merged:
  """A range of cells shown as one; rows and columns count from 0, the last ones included."""

  top: int
  left: int
  bottom: int
  right: int

  def __str__(self) -> str:
    return f'{_letters(self.left)}{self.top + 1}:{_letters(self.right)}{self.bottom + 1}'


@dataclasses.dataclass
class Sheet:
  """All cells of a worksheet as text; a row may be shorter than others.

  `others` are the sheets not read, with `(hidden)` after hidden ones; `hidden_rows` counts rows
  hidden by a filter, which are read.
  """

  name: str
  rows: list[list[str]]
  merged: list[Merged]
  others: list[str]
  hidden_rows: int = 0


def choose(sheets: Sequence[tuple[str, bool]], wanted: str, *, path: Path) -> tuple[int, list[str]]:
  """The place of the sheet to read among (name, visible), and the names of the others.

  It is `wanted`, or the first visible one.
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
        f'{path}: has no visible sheet, only {listed(named)}; unhide the right one, '
        'or choose it with --sheet=NAME'
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
