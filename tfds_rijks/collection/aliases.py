"""Spellings of one name: given by the user (`from,to`), or proposed by `prepare`."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tfds_rijks import delimited
from tfds_rijks.collection.values import read_text
from tfds_rijks.errors import UserError
from tfds_rijks.labels import normalise, skeleton
from tfds_rijks.words import alphabetical

PROPOSED = 'aliases-proposed.csv'
COLUMNS = ('from', 'to', 'why', 'works')
# "(1606-1669)", ", 1606-1669", "(Leiden 1606 - 1669 Amsterdam)", "(born 1930)"; never "(II)".
_LIFE = re.compile(
  r'[\s,]*(?:[(\[][^()\[\]]*\d{3}[^()\[\]]*[)\]]|,\s*(?:ca?\.?\s*)?\d{3,4}\s*[-–].{0,9})$'
)


class Proposal(NamedTuple):
  """A spelling that seems to be the same as another, for a person to check; `works` have
  `from_`."""

  from_: str
  to: str
  why: str
  works: int


def read(path: str | None) -> dict[str, str]:
  """`from,to` -> {from: to}, followed to the end if a target is itself renamed.

  Further columns, as in `aliases-proposed.csv`, are ignored.
  """
  if path is None:
    return {}
  text, file = read_text(path, flag='--aliases'), Path(path)
  try:
    rows = list(delimited.rows(text, path=file))
  except UserError as error:
    raise UserError(f'--aliases={error}') from None
  if not rows or [normalise(cell).casefold() for cell in rows[0][1][:2]] != ['from', 'to']:
    found = ', '.join(rows[0][1]) if rows else 'nothing'
    raise UserError(f'--aliases={path}: starts with {found}; expected the columns from,to')
  table: dict[str, str] = {}
  for line, row in rows[1:]:
    if len(row) < 2 or not normalise(row[0]):
      raise UserError(f'--aliases={path}: row {line} is {",".join(row)}; expected from,to')
    source, target = normalise(row[0]), normalise(row[1])
    if table.get(source, target) != target:
      raise UserError(
        f'--aliases={path}: {source!r} becomes {table[source]!r} and {target!r}; '
        'expected one of them'
      )
    table[source] = target
  for source in table:
    seen, target = {source}, table[source]
    while target in table and target != table[target]:
      if target in seen:
        raise UserError(f'--aliases={path}: {source!r} leads back to itself; expected an end')
      seen.add(target)
      target = table[target]
    table[source] = target
  return table


def propose(values: Iterable[Sequence[str]], *, makers: bool) -> list[Proposal]:
  """Values that differ only in case, accents or signs; for makers also in the order of names
  (`Luyken, Jan`) and in dates after them. The one with most works is proposed for all.
  """
  works = Counter(name for record in values for name in set(record))
  groups: dict[str, list[str]] = defaultdict(list)
  for name in works:
    groups[skeleton(_in_order(name)) if makers else skeleton(name)].append(name)
  found = []
  for key, names in sorted(groups.items()):
    # A name with accents, capitals and small letters is the most precise.
    names.sort(key=lambda n: (-works[n], ',' in n, n.isascii(), n in (n.lower(), n.upper()), n))
    found += [
      Proposal(name, names[0], _why(name, names[0]), works[name]) for name in names[1:] if key
    ]
  return found


def spellings(proposed: Iterable[Proposal]) -> list[list[str]]:
  """The proposals as groups of one name each, sorted."""
  groups: dict[str, list[str]] = {}
  for one in proposed:
    groups.setdefault(one.to, [one.to]).append(one.from_)
  in_order = [sorted(group, key=alphabetical) for group in groups.values()]
  return sorted(in_order, key=lambda group: alphabetical(group[0]))


def _in_order(name: str) -> str:
  """'Rijn, Rembrandt van (1606-1669)' -> 'Rembrandt van Rijn'."""
  name = _LIFE.sub('', name)
  last, comma, first = name.partition(',')
  return f'{first} {last}' if comma and ',' not in first else name


def _why(name: str, other: str) -> str:
  if skeleton(name) == skeleton(other):
    return 'case, accents or signs'
  if skeleton(_LIFE.sub('', name)) == skeleton(_LIFE.sub('', other)):
    return 'dates after the name'
  return 'order of the names'


def proposals_as_csv(found: Mapping[str, Sequence[Proposal]]) -> str:
  """The table to check and give back with `--aliases`, with each pair once."""
  works: dict[tuple[str, str, str], int] = {}
  for proposals in found.values():
    for one in proposals:
      key = (one.from_, one.to, one.why)
      works[key] = works.get(key, 0) + one.works
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\r\n')
  writer.writerows([COLUMNS, *((*key, n) for key, n in works.items())])
  return text.getvalue()
