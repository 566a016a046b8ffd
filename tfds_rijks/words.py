"""Numbers and names as a person reads them."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable


def counted(n: int, noun: str, plural: str = '') -> str:
  """`1 run`, `1,200 runs`."""
  return f'{n:,} {noun if n == 1 else plural or f"{noun}s"}'


def alphabetical(name: str) -> tuple[str, str]:
  """The key to sort names by: É is beside E, and case does not matter."""
  plain = ''.join(c for c in unicodedata.normalize('NFKD', name) if not unicodedata.combining(c))
  return plain.casefold(), name


def nearest(wrong: str, names: Iterable[str]) -> str:
  """The name that a wrong one may mean, in any case; '' if none is like it."""
  by_key = {name.casefold(): name for name in names}
  like = difflib.get_close_matches(wrong.casefold(), by_key, n=1)
  return by_key[like[0]] if like else ''


def did_you_mean(name: str) -> str:
  """`did you mean artist? `, or '' without a name."""
  return f'did you mean {name}? ' if name else ''
