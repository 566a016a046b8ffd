"""Recognises object numbers that are parts of one object: `BK-NM-13348-A` and `-B`, the two sides
of a sheet. The rule is our reading of the museum's numbering. A part is a single capital after a
hyphen at the end (`BK-15751-A`), also followed by another capital or a small number
(`BK-14562-O-M-1`, `NG-2001-16-A-77`, a page of an album); `(R)` and `(V)` are the two sides of a
sheet. Not parts: the accession series of a year (`RP-T-1889-A-1922`) and a letter without hyphen
(`RP-P-OB-27.249X`). On the 7,788 object numbers of Tonkes and Sabatelli's material list 20 % are
parts, 18 % have a sibling in the list, and 94 % of sibling pairs have the same material (14 % and
98 % for capitals at the end alone: large sets are less alike, but pages of one album are not
independent).
"""

from __future__ import annotations

import re

_SIDE = re.compile(r'\s*\((?:R|V|recto|verso)\)$', re.IGNORECASE)
_PART = re.compile(r'^(?P<base>.*\d[^-]*?)(?P<part>(?:-[A-Z](?:-\d{1,2})?)+)$')
_SERIES = re.compile(r'^[A-Z]+(?:-[A-Z]+)*-(?:1[6-9]|20)\d\d$')


def base_number(number: str) -> str:
  """The object number shared by all parts.

  >>> base_number('BK-NM-13348-A'), base_number('RP-T-1937-22(V)'), base_number('RP-T-1889-A-1922')
  ('BK-NM-13348', 'RP-T-1937-22', 'RP-T-1889-A-1922')
  """
  number = _SIDE.sub('', number.strip())
  match = _PART.match(number)
  if match and not (_SERIES.match(match['base']) and match['part'][-1].isdigit()):
    return match['base']
  return number
