"""Numbers and years in tables."""

from __future__ import annotations

import math
import re

LARGEST = 3.4e38  # of float32, in which numbers are stored
FIRST_YEAR, LAST_YEAR = 100, 2100  # "99" may be 1999, 0 and 9999 mean unknown
_NUMBER = re.compile(r'[-+]?\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?')
_THOUSANDS = re.compile(r'[-+]?\d{1,3},\d{3}')  # 1234 or 1.234, which is ambiguous
_YEAR = re.compile(r'\d{3,4}(?:[.,](?:0+|5))?')
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
  if interval := _interval(plain):
    return sum(interval) / 2
  if _NUMBER.fullmatch(plain) and not _THOUSANDS.fullmatch(plain):
    value = float(plain.replace(',', '.'))
    return value if abs(value) <= LARGEST else None
  return None


def year(text: str) -> float | None:
  """As `number`, for years from 100 to 2100: None for `1.650`, `-500`, `500 BC`, 0 and 9999."""
  text = text.strip()
  if not text:
    return math.nan
  plain = _ABOUT.sub('', text).removesuffix('?').strip()
  found: tuple[float, ...] | None = _interval(plain)
  if found is None and _YEAR.fullmatch(plain):
    found = (float(plain.replace(',', '.')),)
  if found is None or not all(FIRST_YEAR <= one <= LAST_YEAR for one in found):
    return None
  return sum(found) / len(found)


def _interval(plain: str) -> tuple[int, int] | None:
  """`1640-1650`, `1640/50`; not `1889-06`, which is a month, nor an end before its start."""
  if not (interval := _RANGE.match(plain)):
    return None
  begin, end = interval.groups()
  last = int(begin[: max(0, len(begin) - len(end))] + end)
  return (int(begin), last) if last >= int(begin) else None


def middle(begin: float, end: float) -> float:
  """The middle of an interval; if one end is missing (NaN), the other."""
  if math.isnan(begin) or math.isnan(end):
    return end if math.isnan(begin) else begin
  return (begin + end) / 2
