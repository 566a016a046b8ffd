"""Label texts of a table: normalised, spellings merged, doubtful makers set to missing."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tfds_rijks.collection.flags import names
from tfds_rijks.collection.table import decode
from tfds_rijks.errors import UserError
from tfds_rijks.labels import normalise

# "Workshop of Rembrandt" is not Rembrandt. What stands here says that somebody else made it, or
# that nobody knows; the same words are used by museums' own cataloguing rules (RKD, CCO, AAT).
DISTANCING = (
  # Dutch
  'naar',
  'naar ontwerp van',
  'kopie naar',
  'atelier van',
  'werkplaats van',
  'omgeving van',
  'school van',
  'navolger van',
  'manier van',
  'toegeschreven aan',
  'mogelijk',
  'verworpen',
  'vermeld op object',
  # English
  'after',
  'after design by',
  'copy after',
  'copy of',
  'workshop of',
  'studio of',
  'circle of',
  'school of',
  'follower of',
  'followers of',
  'manner of',
  'style of',
  'imitator of',
  'attributed to',
  'attr. to',
  'attr.',
  'possibly',
  'probably',
  'formerly attributed to',
  # German
  'nach',
  'nach entwurf von',
  'kopie nach',
  'werkstatt von',
  'werkstatt des',
  'umkreis von',
  'schule von',
  'schule des',
  'nachfolger von',
  'nachfolger des',
  'art des',
  'in der art von',
  'zugeschrieben',
  'möglicherweise',
  'vermutlich',
  # French
  'd’après',
  "d'après",
  'atelier de',
  'atelier d’',
  "atelier d'",
  'entourage de',
  'cercle de',
  'école de',
  'suiveur de',
  'manière de',
  'à la manière de',
  'attribué à',
  'attribuée à',
  'peut-être',
  'copie d’après',
  "copie d'après",
  '?',
)
MAKER_COLUMNS = frozenset(
  {
    'artist',
    'artists',
    'maker',
    'makers',
    'creator',
    'creators',
    'author',
    'painter',
    'sculptor',
    'kunstenaar',
    'vervaardiger',
    'maker(s)',
    'schilder',
    'künstler',
    'kuenstler',
    'hersteller',
    'artiste',
    'auteur',
    'peintre',
  }
)


class Cleaner:
  """Cell text -> label text, with a count of what it changed (`aliased`, `distanced`)."""

  def __init__(self, *, aliases: dict[str, str], phrases: Sequence[str], maker_columns: str | None):
    self.aliases = aliases
    self.makers = {name.casefold() for name in names(maker_columns)} or MAKER_COLUMNS
    self._pattern = _pattern(phrases)
    self.aliased: Counter[str] = Counter()
    self.distanced: Counter[str] = Counter()

  def clean(self, text: str, *, column: str) -> str:
    """The label, or '' for a missing one."""
    text = normalise(text)
    if text in self.aliases:
      self.aliased[text] += 1
      text = self.aliases[text]
    if self._pattern and column.casefold() in self.makers and (found := self._pattern.search(text)):
      self.distanced[found['phrase'].casefold()] += 1
      return ''
    return text


def _pattern(phrases: Iterable[str]) -> re.Pattern[str] | None:
  """A phrase counts at the start, after a comma, or in brackets; one without letters anywhere."""
  words = sorted(
    {normalise(p) for p in phrases if any(c.isalpha() for c in p)}, key=len, reverse=True
  )
  signs = sorted({s for p in phrases if (s := normalise(p)) and not any(c.isalpha() for c in p)})
  parts = []
  if words:
    parts.append(
      r'(?:^|[,(\[;:])\s*(?P<words>' + '|'.join(map(re.escape, words)) + r')(?:(?<=[’\'])|(?!\w))'
    )
  if signs:
    parts.append('(?P<signs>' + '|'.join(map(re.escape, signs)) + ')')
  if not parts:
    return None
  return re.compile(f'(?P<phrase>{"|".join(parts)})', re.IGNORECASE)


def read_phrases(path: str | None) -> Sequence[str]:
  """The distancing phrases: of a file, the default list, or nothing for 'none'."""
  if path is None:
    return DISTANCING
  if path == 'none':
    return ()
  text = _read_text(path, flag='--distancing')
  phrases = [line.strip() for line in text.splitlines() if line.strip() and line[0] != '#']
  if not phrases:
    raise UserError(
      f'--distancing={path}: holds no phrase; expected one a line, or --distancing=none'
    )
  return phrases


def read_aliases(path: str | None) -> dict[str, str]:
  """`from,to` -> {from: to}, followed to the end where a target is itself renamed."""
  if path is None:
    return {}
  text = io.StringIO(_read_text(path, flag='--aliases'), newline='')
  try:
    rows = [row for row in csv.reader(text, strict=True) if any(row)]
  except csv.Error as error:
    raise UserError(f'--aliases={path}: {error}; expected CSV with quotes in pairs') from None
  if not rows or [normalise(cell).casefold() for cell in rows[0][:2]] != ['from', 'to']:
    found = ', '.join(rows[0]) if rows else 'nothing'
    raise UserError(f'--aliases={path}: begins with {found}; expected the columns from,to')
  table: dict[str, str] = {}
  for line, row in enumerate(rows[1:], start=2):
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


def _read_text(path: str, *, flag: str) -> str:
  file = Path(path).expanduser()
  if not file.is_file():
    raise UserError(f'{flag}={path}: no such file')
  return decode(file.read_bytes(), path=file)[0]
