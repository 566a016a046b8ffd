"""What `apply` needs of a museum's export, whatever kind of file it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

Edits = Mapping[int, Mapping[str, str]]  # record (its place) -> column -> text for an empty cell


class Export(Protocol):
  """A table with one row for each record.

  Attributes: `path`; `columns` their names, normalised, in order ('' for none); `lines` the line of
  each record, as in an editor or a spreadsheet.
  """

  path: Path
  columns: list[str]
  lines: list[int]

  def cells(self, columns: Sequence[str]) -> dict[str, list[str]]:
    """Column -> the texts of its cells, of every record."""
    raise NotImplementedError

  def check(self, text: str) -> None:
    """Raises `UserError` for a text that the file cannot hold."""

  def edited(self, added: Sequence[str], edits: Edits) -> bytes:
    """The file with the columns `added` at the end and the texts of `edits` in empty cells.

    Everything else stays as it was.
    """
    raise NotImplementedError
