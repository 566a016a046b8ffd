"""What each column becomes, from its cells: a task, a text, a number, or nothing.

A label that repeats another is not a task to learn. An artist's year of death, number and biography
repeat the artist: they are carried along as text. A coarser label, such as the style of an artist,
stays a task; the table says what determines it.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from tfds_rijks.collection.column_names import is_label, is_maker
from tfds_rijks.words import counted

Becomes = Literal['task', 'number', 'text', 'left out', 'record']
COMMON = 0.5  # of the works with one value must have the other
AGREE = 0.95  # of the works whose value of one is shared must have one value of the other
EXPLAINED = 0.9  # of the errors of always answering the most frequent value
REPEATED = 0.2  # of the works must share their value, as identifiers determine everything
FEW = 20  # numbers that may be class names
SEVERAL = 3  # values that two columns of words need to count as one thing under two names
# Digits and their separators; codes such as Q42.
_CODE = re.compile(r'[^\W\d]?[-+±~ ]?\d[\d.,/:\s–—-]*[^\W\d]?')
_ADDRESS = re.compile(r'https?://\S+', re.IGNORECASE)


class Column(NamedTuple):
  """A row of the table of what became of each column."""

  name: str
  becomes: Becomes
  why: str
  option: str  # that would change it


class Candidate(NamedTuple):
  """A column that may become a task. `values` are the cleaned labels of each work."""

  name: str
  values: Sequence[Sequence[str]]
  asked: bool  # by --labels


def decide(candidates: Sequence[Candidate], *, min_per_class: int) -> list[Column]:
  """What each candidate becomes, in order."""
  coded = [_Coded(one) for one in candidates]
  decided: dict[str, Column] = {}
  tasks: list[_Coded] = []
  for one in sorted(coded, key=lambda one: one.rank):  # stable: then by the order of the table
    nothing = _no_label(one, min_per_class)
    by = [other for other in tasks if not one.asked and other.gives_away(one)]
    same = next((other for other in by if one.gives_away(other) and one.repeats(other)), None)
    if same:
      decided[one.name] = Column(one.name, 'text', f'one to one with {same.name}', '--labels')
    elif by and one.is_code:
      why = f'numbers or dates that {by[0].name} determines'
      decided[one.name] = Column(one.name, 'text', why, '--labels')
    elif nothing:
      decided[one.name] = nothing
    else:
      tasks.append(one)
  for one in tasks:
    by = [other for other in tasks if other is not one and other.gives_away(one)]
    decided[one.name] = _task(one, by, min_per_class)
  return [decided[one.name] for one in coded]


class _Coded:
  """A candidate with numbers for its sets of values; -1 is missing."""

  def __init__(self, candidate: Candidate):
    self.name, self.asked = candidate.name, candidate.asked
    self.counts = Counter(value for values in candidate.values for value in set(values))
    texts = ['\n'.join(sorted(values)) for values in candidate.values]
    numbers: dict[str, int] = {'': -1}
    self.codes = np.array([numbers.setdefault(text, len(numbers) - 1) for text in texts], np.int64)
    self.distinct = len(numbers) - 1
    shown = [text for text in numbers if text]
    self.is_address = _most(_ADDRESS, shown)
    self.is_code = self.is_address or _most(_CODE, shown)
    self.makers, self.named = is_maker(candidate.name), is_label(candidate.name)
    self.rank = (not self.asked, not self.named, self.is_code)

  def repeats(self, other: _Coded) -> bool:
    """Whether a column one to one with `other` repeats it, and is not a label of its own."""
    if self.named:
      return self.makers and other.makers
    return self.is_code or self.distinct >= SEVERAL

  def gives_away(self, other: _Coded) -> float:
    """How often this column's value gives the other's; 0 if it does not determine it.

    Counted over works that share their value: a unique one determines anything.
    """
    both = (self.codes >= 0) & (other.codes >= 0)
    mine, theirs = self.codes[both], other.codes[both]
    often = np.bincount(mine, minlength=self.distinct)[mine] > 1
    if both.sum() < COMMON * (other.codes >= 0).sum() or self.distinct < 2:
      return 0.0
    if not often.any() or often.mean() < REPEATED:
      return 0.0
    mine, theirs = mine[often], theirs[often]
    pairs, counts = np.unique(mine * other.distinct + theirs, return_counts=True)
    most = np.zeros(self.distinct, np.int64)
    np.maximum.at(most, pairs // other.distinct, counts)
    right, largest = int(most.sum()), int(np.bincount(theirs).max())
    wrong, floor = len(mine) - right, len(mine) - largest
    known = right >= AGREE * len(mine) and floor and wrong <= (1 - EXPLAINED) * floor
    return right / len(mine) if known else 0.0


def _most(pattern: re.Pattern[str], texts: Sequence[str]) -> bool:
  return bool(texts) and sum(map(bool, map(pattern.fullmatch, texts))) >= 0.9 * len(texts)


def _task(one: _Coded, by: Sequence[_Coded], min_per_class: int) -> Column:
  classes = sum(n >= min_per_class for n in one.counts.values())
  works = int((one.codes >= 0).sum())
  least = counted(min_per_class, 'work')
  why = f'{counted(classes, "class", "classes")} with {least} or more, '
  why += f'{counted(works, "work")} with a value'
  if by:
    why += f'; determined by {by[0].name}: label-only reaches {by[0].gives_away(one):.0%}'
  if one.is_code:
    return Column(one.name, 'task', f'{why}; they are numbers', f'--float_columns={_quoted(one)}')
  return Column(one.name, 'task', why, f'--text={_quoted(one)}')


def _no_label(one: _Coded, min_per_class: int) -> Column | None:
  """What a column without classes to learn becomes; None for a label."""
  if not one.counts:
    return Column(one.name, 'left out', 'no work has a value', '')
  value, most = one.counts.most_common(1)[0]
  if most < min_per_class:
    why = f'no value on {min_per_class:,} works; {_short(value)} on {most:,}'
    lower = f'--min_per_class={most}, ' if most > 1 else ''
    return Column(one.name, 'left out', why, f'{lower}--text={_quoted(one)}')
  if one.asked or one.named:
    return None
  if sum(n >= min_per_class for n in one.counts.values()) < 2:
    only = 'only one value' if one.distinct == 1 else f'only one value on {min_per_class:,} works'
    return Column(one.name, 'left out', f'{only}, {_short(value)}', '--labels')
  if one.is_address:
    return Column(one.name, 'text', 'web addresses', '--labels')
  if one.is_code and one.distinct > FEW:
    why = f'{one.distinct:,} different numbers or dates, which name no classes'
    return Column(one.name, 'left out', why, f'--float_columns={_quoted(one)}, --labels')
  return None


def _short(text: str) -> str:
  return repr(text if len(text) < 40 else f'{text[:37]}...')


def _quoted(one: _Coded) -> str:
  return shlex.quote(one.name)


def as_rows(columns: Sequence[Column]) -> list[Sequence[str]]:
  """The rows of the table for the report: tasks first."""
  order = ('record', 'task', 'number', 'text', 'left out')
  return [list(one) for one in sorted(columns, key=lambda one: order.index(one.becomes))]
