"""The largest table that is read, so that a file made to fill the memory is refused by name."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from pathlib import Path

from tfds_rijks.errors import UserError

MAX_BYTES = 1 << 30  # of the file, and of a workbook unpacked
MAX_COLUMNS = 1 << 14  # those of a spreadsheet program
MAX_ROWS = 10_000_000
MAX_CELLS = 50_000_000  # the largest open export of a museum has 26 million
MAX_CHARACTERS = 1 << 29  # of all cells; blanks in OpenDocument and number formats multiply
# Spreadsheet programs pack XML to a fifth or a twentieth.
MAX_EXPANSION = 100
ALWAYS_UNPACKED = 64 << 20  # bytes; small workbooks may pack better


def check_size(path: Path, *, rows: int = 0, columns: int = 0, characters: int = 0) -> None:
  """Raises `UserError`, with the number found, for a table larger than flaxart reads."""
  for found, most, what, advice in (
    (columns, MAX_COLUMNS, 'columns', 'leave columns out'),
    (rows, MAX_ROWS, 'rows', 'split the table'),
    (rows * columns, MAX_CELLS, 'cells (rows times columns)', 'split it or leave columns out'),
    (characters, MAX_CHARACTERS, 'characters', 'split it or leave columns out'),
  ):
    if found > most:
      raise UserError(f'{path}: has {found:,} {what}; expected at most {most:,}; {advice}')


def check_unpacked(path: Path, unpacked: int) -> None:
  """Raises `UserError` for a workbook that unpacks to more bytes than flaxart reads."""
  packed = path.stat().st_size
  most = min(MAX_BYTES, max(ALWAYS_UNPACKED, MAX_EXPANSION * packed))
  if unpacked > most:
    raise UserError(
      f'{path}: unpacks from {packed:,} to {unpacked:,} bytes; expected a workbook of at most '
      f'{most:,}; remove pictures and further sheets, or save the table as CSV'
    )


class Growing:
  """Counts a table while it is read, row by row."""

  def __init__(self, path: Path):
    self.path = path
    self.rows = self.columns = self.characters = 0

  def add(self, row: Sequence[Sized], *, times: int = 1) -> None:
    """Counts a row of texts or lists, repeated `times`.

    Raises `UserError` when the table becomes too large.
    """
    self.rows += times
    self.columns = max(self.columns, len(row))
    self.characters += sum(map(len, row))  # repeated rows share their texts
    check_size(self.path, rows=self.rows, columns=self.columns, characters=self.characters)
