"""Cells for a spreadsheet."""

from __future__ import annotations

FORMULA = ('=', '+', '-', '@', '\t', '\r', '\n')  # a spreadsheet runs a cell that begins so


def defuse(cell: str) -> str:
  """A text that a spreadsheet would run as a formula gets an apostrophe in front."""
  return f"'{cell}" if cell.startswith(FORMULA) else cell
