"""The roles of a table's columns, as far as names and options decide them."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tfds_rijks.collection.column_names import Names, is_text, named
from tfds_rijks.collection.matching import Rule
from tfds_rijks.collection.table import Table
from tfds_rijks.errors import UserError
from tfds_rijks.labels import RARE, normalise

RESERVED = ('image', 'object_number', 'group')  # features of every collection
YEARS = ('year', 'year_begin', 'year_end')


def feature(column: str) -> str:
  """A column's name as feature and task: 'Object type' -> 'Object_type'."""
  name = re.sub(r'\W+', '_', normalise(column)).strip('_') or 'column'
  return name.lower() if name.lower() in YEARS else name


@dataclasses.dataclass(frozen=True)
class Roles:
  """Columns by role; '' or empty for none. `candidates` may become tasks."""

  id: str
  image: str
  group: str
  split: str
  years: dict[str, str]  # column -> year, year_begin or year_end
  numbers: list[str]
  texts: list[str]
  doubts: list[str]  # texts about the certainty of a maker
  candidates: list[str]
  left_out: list[str]  # because --labels names others
  features: dict[str, str]  # of every column that may become one

  @property
  def used(self) -> list[str]:
    """The columns whose cells are read."""
    single = [name for name in (self.id, self.image, self.group, self.split) if name]
    return [*single, *self.years, *self.numbers, *self.texts, *self.candidates]


def roles(
  content: Table,
  by: Rule,
  *,
  labels: Sequence[str],
  texts: Sequence[str],
  numbers: Sequence[str],
) -> Roles:
  """Assigns roles to the columns: those of the options and of `by` first."""
  names = Names(content)
  chosen = [names.asked('labels', name) for name in labels]
  floats = [names.asked('float_columns', name) for name in numbers]
  carried = [names.asked('text', name) for name in texts]
  for one, other, columns in (
    ('labels', 'text', {*chosen} & {*carried}),
    ('float_columns', 'text', {*floats} & {*carried}),
  ):
    if columns:
      raise UserError(f'--{one} and --{other} both name {min(columns)}; leave it out of one')
  group, split = names.first(named('group')), names.first(named('split'))
  taken = {by.id_column, by.image_column, group, split, *chosen, *floats, *carried}
  years: dict[str, str] = {}
  for name in YEARS:
    found = [column for column in names.all(named(name)) if column not in taken]
    years.update({found[0]: name} if found else {})
  taken |= years.keys()
  rest = [name for name in content.columns if name not in taken]
  free = {*rest}
  doubts = [name for name in names.all(named('doubt')) if name in free]
  carried += [name for name in rest if is_text(name) or name in doubts]
  texts_of = {*carried}
  rest = [name for name in rest if name not in texts_of]
  sorted_out = Roles(
    id=by.id_column,
    image=by.image_column,
    group=group,
    split=split,
    years=years,
    numbers=[name for name in floats if name not in chosen],
    texts=carried,
    doubts=doubts,
    candidates=chosen or rest,
    left_out=rest if chosen else [],
    features={name: feature(name) for name in content.columns} | years,
  )
  _check_features(sorted_out, path=content.path)
  return sorted_out


def _check_features(found: Roles, *, path: Path) -> None:
  columns = [*found.years, *found.numbers, *found.texts, *found.candidates]
  features = [found.features[column] for column in columns]
  counts = Counter(features)
  for column, name in zip(columns, features, strict=True):
    if counts[name] > 1:
      twice = [one for one in columns if found.features[one] == name]
      raise UserError(
        f'{path}: columns {", ".join(twice)} give the same feature name twice; rename one of them'
      )
    if name in RESERVED:
      raise UserError(
        f'{path}: the column {column} would replace the feature {name} of '
        'every collection; rename it, or leave it out with --labels'
      )
    if name.endswith(RARE) and name.removesuffix(RARE) in counts:
      raise UserError(
        f'{path}: the column {column} has the name reserved for rare values of '
        f'{name.removesuffix(RARE)}; rename it'
      )
