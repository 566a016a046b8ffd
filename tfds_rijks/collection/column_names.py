"""Names of columns in `column_names.txt`, and finding them in a table in any spelling."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from pathlib import Path

from tfds_rijks.build_report import examples
from tfds_rijks.collection.table import Table
from tfds_rijks.errors import UserError
from tfds_rijks.labels import normalise
from tfds_rijks.words import did_you_mean, nearest

LIST = Path(__file__).with_name('column_names.txt')


def key(name: str) -> str:
  """'Object Number', 'object_number' and 'object-number' -> 'object_number'."""
  return re.sub(r'[\W_]+', '_', normalise(name)).strip('_').casefold()


@functools.cache
def named(kind: str) -> tuple[str, ...]:
  """The keys of the names of a kind of column."""
  lines = (line.partition(':') for line in LIST.read_text(encoding='utf-8').splitlines())
  return tuple(
    key(name) for before, _, names in lines if key(before) == kind for name in names.split(',')
  )


def is_maker(column: str) -> bool:
  """Whether a column of this name holds makers: 'Artist Display Name', 'maker(s)'."""
  words = set(key(column).split('_'))
  makers = words & set(named('maker'))
  return bool(makers) and words - makers <= set(named('name'))


def is_text(column: str) -> bool:
  """Whether the name is that of a description: 'rights', 'Artist Display Bio'."""
  return any(f'_{key(column)}'.endswith(f'_{name}') for name in named('text'))


def is_label(column: str) -> bool:
  """Whether the name is that of makers or kinds: 'artist', 'Materiaal'."""
  return is_maker(column) or key(column) in named('label')


class Names:
  """The columns of a table, found in any case and with any blanks."""

  def __init__(self, content: Table):
    self.columns, self.file = content.columns, content.path.name
    self._by_key: dict[str, list[str]] = {}
    for column in content.columns:
      self._by_key.setdefault(key(column), []).append(column)

  def first(self, wanted: Iterable[str]) -> str:
    """The first of the names that the table has; '' if none."""
    return next((self._by_key[key][0] for key in map(key, wanted) if key in self._by_key), '')

  def all(self, wanted: Iterable[str]) -> list[str]:
    """All columns of these names, in the order of the names."""
    return [column for key in map(key, wanted) for column in self._by_key.get(key, ())]

  def asked(self, flag: str, name: str) -> str:
    """The column that an option names; raises `UserError` with the nearest name."""
    name = normalise(name)
    found = [name] if name in self.columns else self._by_key.get(key(name), [])
    if len(found) == 1:
      return found[0]
    if found:
      raise UserError(f'--{flag}={name}: {self.file} has {" and ".join(found)}; use its spelling')
    near = nearest(key(name), self._by_key)
    hint = did_you_mean(repr(self._by_key[near][0]) if near else '')
    raise UserError(
      f'--{flag}: {self.file} has no column {name!r}; {hint}its columns are '
      f'{examples(self.columns, most=100)}'
    )

  def id(self, asked: str | None) -> str:
    """The column of object numbers; '' if none is named and none has a usual name."""
    return self.asked('id_column', asked) if asked else self.first(named('id'))

  def image(self, asked: str | None) -> str:
    """The column of file names; '' if none is named and none has a usual name."""
    return self.asked('image_column', asked) if asked else self.first(named('image'))
