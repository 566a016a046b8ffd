"""Words for unknown makers and values, which are never a class: "unknown", "anoniem", "n/a"."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

LIST = Path(__file__).with_name('nobody.txt')
_ALSO = ' *'  # of a line: also before or behind other words, in a column of makers


class Nobody:
  """The words in `nobody.txt`, or in a file of the same kind."""

  def __init__(self, lines: Iterable[str]):
    texts = [text for line in lines if (text := line.strip()) and not text.startswith('#')]
    self._whole = {_folded(text.removesuffix(_ALSO)) for text in texts}
    self._words = {_folded(text.removesuffix(_ALSO)) for text in texts if text.endswith(_ALSO)}
    self._longest = max((word.count(' ') + 1 for word in self._words), default=0)

  def __call__(self, text: str, *, maker: bool = False) -> bool:
    """Whether the text names nobody; `maker`: it is in a column of makers."""
    folded = _folded(text)
    if folded in self._whole:
      return True
    if not maker:
      return False
    words = folded.split()
    return any(
      ' '.join(part) in self._words
      for n in range(1, self._longest + 1)
      for part in (words[:n], words[-n:])
    )


def _folded(text: str) -> str:
  """'[Unknown]' -> 'unknown', 'N. N.' -> 'n.n'; signs alone -> '-'."""
  text = unicodedata.normalize('NFKD', text.casefold())
  text = ''.join(c for c in text if not unicodedata.combining(c))
  text = re.sub(r'(?<=\b\w\.)\s+(?=\w\b)|\s+(?=/)|(?<=/)\s+', '', text)
  words = re.findall(r'\w+(?:[./]\w+)*', text)
  return ' '.join(words) or ('-' if text.strip() else '')


KNOWN = Nobody(LIST.read_text(encoding='utf-8').splitlines())
