"""Likely copies in the build report: counts and pairs, a sentence, a page with doubtful pairs."""

from __future__ import annotations

import base64
import html
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfds_rijks.build_report import write_text
from tfds_rijks.copies.search import SHOWN, Found, Rule
from tfds_rijks.words import counted

SHEET = 'copies.html'
_LISTED = 200  # pairs in the report
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Doubtful copies</title>
<style>body{font:14px sans-serif;margin:2em}figure{display:inline-block;width:280px;
margin:0 12px 18px 0;vertical-align:top}img{width:134px;height:134px;margin-right:4px}
figcaption{overflow-wrap:anywhere}
</style></head><body>
<h1>Doubtful copies</h1>
<p>%s</p>
%s
</body></html>
"""


def summary(found: Found, *, rule: Rule, groups: Mapping[str, str]) -> dict[str, Any]:
  """For the build report.

  `groups`: picture -> its group in the end; a doubtful pair that is in one group anyway (parts of
  one object, for example) is not in doubt.
  """
  sizes = Counter(found.seed_of.values())
  doubtful = [pair for pair in found.doubtful if groups[pair[0]] != groups[pair[1]]]
  return {
    'rule': rule,
    'pictures': len(found.seed_of),
    'groups': len(sizes),
    'largest': max(sizes.values(), default=0),
    'doubtful': len(doubtful),
    'pairs': found.likely[:_LISTED],
    'doubtful_pairs': doubtful[:_LISTED],
  }


def note(about: Mapping[str, Any], *, tie: str) -> list[str]:
  """The sentences of a summary; `tie` says how the user can tie one pair."""
  if about['rule'] == 'equal':
    return ['Only equal pixels were searched for copies (--copies=equal).']
  text = 'No picture is a likely copy of another.'
  if about['pictures']:
    text = (
      f'{about["pictures"]:,} pictures are likely copies of each other (saved again, resized, '
      f'tinted, cropped or turned), in {counted(about["groups"], "group")}, the largest of '
      f'{about["largest"]:,}; --copies=equal ties equal pixels only.'
    )
  if about['doubtful']:
    text += (
      f' {counted(about["doubtful"], "doubtful pair is", "doubtful pairs are")} not tied: look at '
      f'{SHEET} beside the report; {tie}--copies=doubtful ties all.'
    )
  return [text]


def write_sheet(folder: Path, found: Found, *, groups: Mapping[str, str], tie: str) -> None:
  """Writes the page with the doubtful pairs, most alike first, into `folder`, if there are any."""
  pairs = [pair for pair in found.doubtful if groups[pair[0]] != groups[pair[1]]]
  shown = [pair for pair in pairs if pair[0] in found.small and pair[1] in found.small][:SHOWN]
  if not shown:
    return
  about = (
    f'{len(shown):,} of {counted(len(pairs), "pair")} of possible copies that are not tied, the '
    f'most alike first (difference: 0 equal; {tie}--copies=doubtful ties all). Pictures are made '
    'square here.'
  )
  figures = '\n'.join(_figure(found, *pair) for pair in shown)
  write_text(folder / SHEET, _PAGE % (html.escape(about), figures))


def _figure(found: Found, a: str, b: str, different: float) -> str:
  images = ''.join(
    f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(found.small[name]).decode()}">'
    for name in (a, b)
  )
  names = '<br>'.join(html.escape(name) for name in (a, b))
  return f'<figure>{images}<figcaption>{different:.2f}<br>{names}</figcaption></figure>'
