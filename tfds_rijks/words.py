"""Numbers and names as a person reads them."""

from __future__ import annotations

import unicodedata


def counted(n: int, noun: str, plural: str = '') -> str:
  """`1 run`, `1,200 runs`."""
  return f'{n:,} {noun if n == 1 else plural or f"{noun}s"}'


def alphabetical(name: str) -> tuple[str, str]:
  """The key to sort names by: É is beside E, and case does not matter."""
  plain = ''.join(c for c in unicodedata.normalize('NFKD', name) if not unicodedata.combining(c))
  return plain.casefold(), name
