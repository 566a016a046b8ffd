"""The text that a spreadsheet cell shows: formatted numbers, dates, and unusable cells."""

from __future__ import annotations

import datetime
import re


class Fault(str):
  """A cell without a usable value; the text says why, and what to do."""


class Remade(str):
  """A number or date as text that may have been an object number.

  `1965-03` becomes a day, `1E5` a number shown as 1.00E+05, `12:30` a time.
  """


NO_VALUE = Fault(
  'holds a formula that no program has calculated; open and save the file in a spreadsheet program'
)
HALF = Fault('holds half a character; enter that text again')
_SPACING = re.compile(r'_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)  # also [Red], [$-409]
_QUOTED = re.compile(r'"[^"]*"|\\.|(?<=s)[.,]0+', re.IGNORECASE)
_LITERAL = re.compile(r'"([^"]*)"|\\(.)|([-+ /:()!^&~{}=<>$])')


def number(value: float, number_format: str = '') -> str:
  """The number as text, with zeros that only its format shows (`000`, `"BK-"0000`)."""
  whole = value == int(value) if abs(value) < 1e300 else False
  if '00' in number_format and whole and value >= 0:
    shown = _padded(int(value), _SPACING.sub('', number_format.split(';')[0]))
    if shown is not None:
      return shown
  text = str(int(value)) if whole else f'{value:.15g}'  # 15 digits are what the programs keep
  return Remade(text) if 'E+' in number_format.upper() else text


def _padded(value: int, number_format: str) -> str | None:
  """7 in `000` is 007, 123 in `00-00` is 01-23; None for formats other than 0 and literals."""
  parts: list[str] = []  # '' is a digit, everything else a literal
  at = 0
  while at < len(number_format):
    if number_format[at] == '0':
      parts.append('')
      at += 1
    elif literal := _LITERAL.match(number_format, at):
      parts.append(next(group for group in literal.groups() if group is not None))
      at = literal.end()
    else:
      return None
  digits = str(value).zfill(parts.count(''))
  spare = len(digits) - parts.count('')
  shown = []
  for part in parts:
    if part:
      shown.append(part)
    else:  # the first place takes the extra digits
      shown.append(digits[: spare + 1])
      digits, spare = digits[spare + 1 :], 0
  return ''.join(shown)


def date_parts(number_format: str) -> str:
  """The letters of a date's format: 'dmy', 'y', 'hm'; '' for the format of a number."""
  plain = _QUOTED.sub('', _SPACING.sub('', number_format.split(';')[0])).lower()
  if 'general' in plain or '0' in plain or '#' in plain:
    return ''
  return ''.join(dict.fromkeys(re.findall('[ymdhs]', plain)))


def date(serial: float, parts: str, *, since_1904: bool) -> str:
  """Days since the workbook's epoch as text: 1950-03-01; the year alone if no more is shown."""
  if set(parts) <= set('hms'):
    return Remade(str(datetime.timedelta(days=serial)))
  epoch = datetime.datetime(1904, 1, 1) if since_1904 else datetime.datetime(1899, 12, 30)
  if not since_1904 and serial < 60:
    epoch += datetime.timedelta(days=1)  # spreadsheet programs have a 29 February 1900
  try:
    moment = epoch + datetime.timedelta(seconds=round(serial * 86400))
  except OverflowError:
    return number(serial)
  if parts == 'y':
    return str(moment.year)
  return Remade(moment.isoformat(' ') if moment.time() != datetime.time() else str(moment.date()))
