"""Texts that a spreadsheet would run as formulas, and the apostrophe that prevents it."""

from __future__ import annotations

FORMULA = ('=', '+', '-', '@', '\t', '\r', '\n')  # a spreadsheet runs a cell that starts with these


def defuse(cell: str) -> str:
  """Puts an apostrophe before a text that a spreadsheet would run as a formula.

  Also before one that already starts with apostrophes and such a character, so that `restore`
  gives every text back.
  """
  return f"'{cell}" if runs(cell) else cell


def as_string(cell: str) -> str:
  """The same for a workbook's cell of the type text, which is never run: only what `restore` would
  change gets its apostrophe.
  """
  return defuse(cell) if cell.startswith("'") else cell


def restore(cell: str) -> str:
  """The text that `defuse` or `as_string` was given."""
  return cell[1:] if cell.startswith("'") and runs(cell) else cell


def runs(cell: str) -> bool:
  """Whether a spreadsheet would run this text, perhaps after apostrophes are removed."""
  return cell.lstrip("'").startswith(FORMULA)
