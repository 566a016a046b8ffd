"""Numbers and years as tables have them."""

from __future__ import annotations

import math
import re

LARGEST = 3.4e38  # of the float32 that a number is stored as
_NUMBER = re.compile(r'[-+]?\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?')
# "ca. 1650", "c 1650", "um 1650", "vers 1650", "±1650", "1650?"
_ABOUT = re.compile(
  r'^(?:circa|ca\.?|c\.?|ongeveer|omstreeks|um|vers|env\.?|around|about|±|~)\s*', re.IGNORECASE
)
_RANGE = re.compile(r'^(\d{3,4})\s*(?:-|–|—|/|to|tot|bis|à)\s*(\d{2,4})$', re.IGNORECASE)


def number(text: str) -> float | None:
  """A number, the middle of an interval of years, or NaN for an empty cell; None if neither.

  >>> number('1642'), number('ca. 1650'), number('1640-1650'), number('1640/50'), number('1,5')
  (1642.0, 1650.0, 1645.0, 1645.0, 1.5)
  """
  text = text.strip()
  if not text:
    return math.nan
  plain = _ABOUT.sub('', text).removesuffix('?').strip()
  if interval := _RANGE.match(plain):
    begin, end = interval.groups()
    last = int(begin[: max(0, len(begin) - len(end))] + end)
    # A shorter number leaves out what the first begins with; "1889-06" is a month.
    return None if len(end) < len(begin) and last < int(begin) else (int(begin) + last) / 2
  if _NUMBER.fullmatch(plain):
    value = float(plain.replace(',', '.'))
    return value if abs(value) <= LARGEST else None
  return None


def middle(begin: float, end: float) -> float:
  """Of an interval; where one end is missing (NaN), the other."""
  if math.isnan(begin) or math.isnan(end):
    return end if math.isnan(begin) else begin
  return (begin + end) / 2
