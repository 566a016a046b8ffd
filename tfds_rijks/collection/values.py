"""Label texts of a table: normalised, spellings merged, doubtful and unknown makers missing."""

from __future__ import annotations

import html
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from tfds_rijks import nobody
from tfds_rijks.collection.column_names import is_maker
from tfds_rijks.delimited import decode
from tfds_rijks.errors import UserError
from tfds_rijks.labels import normalise

NONE = 'none'  # in place of a file: the rule is off
DISTANCING = Path(__file__).with_name('distancing.txt')
_ENTITY = re.compile(r'&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,30});')
_ESCAPED = re.compile(r'_x00(0[0-9A-Fa-f]|1[0-9A-Fa-f]|7F)_')  # a control character, by a workbook
_LIFE = re.compile(r'\([^()]*\d[^()]*\)')


def unescape(text: str) -> str:
  """The text without escapes by other programs, up to two levels: `&amp;amp;`, `_x000D_`."""
  for _ in range(2):
    if '&' in text:
      text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
  return _ESCAPED.sub(lambda code: chr(int(code[1], 16)), text) if '_x00' in text else text


def plain(text: str) -> str:
  """The text unescaped and normalised."""
  return normalise(unescape(text))


class Cleaner:
  """Cell text -> label text; counts its changes.

  Attributes: `aliased` {text: n}, `distanced` {phrase: n}, `nobody` {column: {text: n}}.
  """

  def __init__(
    self,
    *,
    aliases: dict[str, str],
    phrases: Sequence[str],
    nobodies: nobody.Nobody,
    maker_columns: Sequence[str] = (),
  ):
    self.aliases, self.nobodies = aliases, nobodies
    self._chosen = {name.casefold() for name in maker_columns}
    self._pattern = _pattern(phrases)
    self.aliased: Counter[str] = Counter()
    self.distanced: Counter[str] = Counter()
    self.nobody: defaultdict[str, Counter[str]] = defaultdict(Counter)

  def makers(self, column: str) -> bool:
    """Whether the column holds makers: by `--maker_columns`, else by its name."""
    return column.casefold() in self._chosen if self._chosen else is_maker(column)

  def clean(self, text: str, *, column: str) -> str:
    """The label, or '' for a missing one."""
    text = plain(text)
    if text in self.aliases:
      self.aliased[text] += 1
      text = self.aliases[text]
    makers = self.makers(column)
    if text and self.nobodies(text, maker=makers):
      self.nobody[column][text] += 1
      return ''
    return '' if makers and self.doubts(text) else text

  def doubts(self, text: str) -> bool:
    """Whether the text expresses doubt, in a maker's name or in a column beside it."""
    found = self._pattern.search(_LIFE.sub('', plain(text))) if self._pattern else None
    if found:
      self.distanced[next(filter(None, found.groups())).casefold()] += 1
    return found is not None


def _pattern(phrases: Iterable[str]) -> re.Pattern[str] | None:
  """See the top of `distancing.txt`; the first matching group is the phrase."""
  listed = [one for phrase in phrases if (one := normalise(phrase))]
  words = [one for one in listed if any(c.isalpha() for c in one)]
  inner = {one[1:-1].strip() for one in words if one.startswith('(') and one.endswith(')')}
  outer = {one for one in words if not one.startswith('(')}
  parts = []
  if outer:
    one = rf'({_any(outer)})(?:(?<=[’\'])|(?=[\s:)\]]|$))'
    parts.append(rf'(?:^|[,(\[;:])\s*{one}')
  if inner:
    parts.append(rf'[(\[]\s*({_any(inner)})\s*[)\],;]|,\s*({_any(inner)})$')
  if at_the_end := outer - inner:
    parts.append(rf'\s({_any(at_the_end)})$')
  if signs := [one for one in listed if not any(c.isalpha() for c in one)]:
    parts.append(f'({_any(signs)})')
  return re.compile('|'.join(parts), re.IGNORECASE) if parts else None


def _any(phrases: Iterable[str]) -> str:
  return '|'.join(map(re.escape, sorted(phrases, key=lambda one: (-len(one), one))))


def read_phrases(path: str | None) -> Sequence[str]:
  """The distancing phrases: of a file, the default list, or nothing for 'none'."""
  if path is None:
    return _lines(DISTANCING.read_text(encoding='utf-8'))
  return () if path == NONE else _phrases(path, flag='--distancing')


def read_nobody(path: str | None) -> nobody.Nobody:
  """The words for nobody: of a file, the default list, or nothing for 'none'."""
  if path is None:
    return nobody.KNOWN
  return nobody.Nobody(() if path == NONE else _phrases(path, flag='--nobody'))


def _phrases(path: str, *, flag: str) -> Sequence[str]:
  phrases = _lines(read_text(path, flag=flag))
  if not phrases:
    raise UserError(f'{flag}={path}: has no phrases; expected one per line, or {flag}=none')
  return phrases


def _lines(text: str) -> Sequence[str]:
  return [line.strip() for line in text.splitlines() if line.strip() and line[0] != '#']


def read_text(path: str, *, flag: str) -> str:
  """The text of a flag's file."""
  file = Path(path).expanduser()
  if not file.is_file():
    raise UserError(f'{flag}={path}: no such file; give the path of one')
  return decode(file.read_bytes(), path=file)[0]
