"""From a folder to records: a picture, an object number, ties to other pictures, labels."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from tfds_rijks.collection import folders, matching, table, values
from tfds_rijks.collection.flags import Flags, names
from tfds_rijks.collection.numbers import middle, number
from tfds_rijks.collection.table import Cell, Table
from tfds_rijks.errors import UserError
from tfds_rijks.labels import RARE, normalise
from tfds_rijks.splits import SPLIT_NAMES

Kind = Literal['label', 'labels', 'number']
IMAGE, ID, GROUP, SPLIT = ('image', 'file_name'), ('object_number', 'id'), ('group',), ('split',)
YEARS = ('year', 'year_begin', 'year_end')
LONGEST_NAME = 255  # bytes of a file's name, on all usual file systems
RESERVED = ('image', 'object_number', 'group')  # features that every collection has


@dataclasses.dataclass
class Record:
  """One picture; `image` is its path relative to the folder and its name everywhere."""

  image: str
  path: Path
  object_number: str
  group: str = ''
  split: str = ''
  labels: dict[str, list[str]] = dataclasses.field(default_factory=dict)
  numbers: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Collection:
  """All records of a folder, what kind each feature is, and what there is to report."""

  records: list[Record]
  kinds: dict[str, Kind]
  report: dict[str, Any]


def read(folder: Path, flags: Flags) -> Collection:
  """Reads the table of a folder, or the folder per class; raises `UserError` for bad input."""
  path = table.find(folder, flags.metadata)
  content = folders.read(folder) if path is None else table.read(path)
  cleaner = values.Cleaner(
    aliases=values.read_aliases(flags.aliases),
    phrases=values.read_phrases(flags.distancing),
    maker_columns=flags.maker_columns,
  )
  roles = _roles(content, flags)
  if path is not None:
    single = [roles[name] for name in ('image', 'id', 'group', 'split') if roles[name]]
    table.without_errors(content, [*single, *roles['labels'], *roles['numbers']])
  report: dict[str, Any] = {
    'table': {'file': content.path.name, 'rows': len(content.rows), 'encoding': content.encoding}
  }
  if flags.match == 'stem':
    pairs, report['matching'] = matching.match(content, id_column=roles['id'], folder=folder)
  else:
    # Paths that were found need not be understood, as those do that somebody wrote down.
    pairs = (
      [(str(image), i) for i, image in enumerate(content.column(roles['image']))]
      if path is None
      else _named(content, column=roles['image'], folder=folder)
    )
    report['rows_without_picture'] = len(content.rows) - len(pairs)
  if not pairs:
    raise UserError(f'{content.path}: no row has a picture; expected at least one')
  features = {column: _feature(column) for column in [*roles['labels'], *roles['numbers']]}
  if len(set(features.values())) < len(features):
    raise UserError(
      f'{content.path}: columns {", ".join(features)} give the same feature name '
      'twice; rename one of them'
    )
  for column, name in features.items():
    if name in RESERVED:
      raise UserError(
        f'{content.path}: the column {column} would take the place of the feature {name}, which '
        'every collection has; rename it, or leave it out by --labels'
      )
    if name.endswith(RARE) and name.removesuffix(RARE) in features.values():
      raise UserError(
        f'{content.path}: the column {column} has the name that is kept for rare values of '
        f'{name.removesuffix(RARE)}; rename it'
      )
  at = {column: i for i, column in enumerate(content.columns)}
  odd: dict[str, list[str]] = {}
  records = []
  for image, i in pairs:
    row = content.rows[i]
    record = Record(
      image=image,
      path=folder / image,
      object_number=_one(row, at, roles['id']) or image,
      group=_one(row, at, roles['group']),
    )
    if roles['split']:
      record.split = _split(
        _one(row, at, roles['split']), where=f'{content.path}: line {content.lines[i]}'
      )
    for column in roles['labels']:
      cleaned = (
        cleaner.clean(text, column=column)
        for text in _split_cell(row[at[column]], flags.multi_value_separator)
      )
      record.labels[features[column]] = list(dict.fromkeys(text for text in cleaned if text))
    for column in roles['numbers']:
      text = _one(row, at, column)
      value = number(text)
      if value is None:
        odd.setdefault(column, []).append(text)
      record.numbers[features[column]] = math.nan if value is None else value
    records.append(record)
  kinds: dict[str, Kind] = {
    features[column]: 'labels'
    if any(
      len(_split_cell(row[at[column]], flags.multi_value_separator)) > 1 for row in content.rows
    )
    else 'label'
    for column in roles['labels']
  }
  kinds.update({features[column]: 'number' for column in roles['numbers']})
  if {'year_begin', 'year_end'} <= kinds.keys() and 'year' not in kinds:
    kinds['year'] = 'number'
    for record in records:
      record.numbers['year'] = middle(record.numbers['year_begin'], record.numbers['year_end'])
  report.update(
    not_numbers=odd,
    aliases=dict(cleaner.aliased),
    alias_table=cleaner.aliases,  # travels with the data
    distancing=dict(cleaner.distanced.most_common()),
  )
  return Collection(records, kinds, report)


def _roles(content: Table, flags: Flags) -> dict[str, Any]:
  """Which column is what; raises `UserError` for names that are not there."""
  by_name = {_feature(name).casefold(): name for name in reversed(content.columns)}

  def find(wanted: Sequence[str]) -> str:
    return next((by_name[name] for name in wanted if name in by_name), '')

  def listed(flag: str, text: str | None) -> list[str]:
    found = names(text)
    for name in found:
      if name not in content.columns:
        raise UserError(
          f'--{flag}: {content.path.name} has no column {name!r}; its columns are '
          f'{", ".join(content.columns)}'
        )
    return found

  image = find(IMAGE)
  if not image and flags.match == 'path':
    raise UserError(
      f'{content.path}: has the columns {", ".join(content.columns)}; expected a '
      'column image with paths relative to the folder; rename one, or pair pictures '
      'and rows by object number (--match=stem --id_column=NAME)'
    )
  identity = (listed('id_column', flags.id_column) or [find(ID)])[0]
  if flags.match == 'stem' and not identity:
    raise UserError(
      f'--match=stem: {content.path.name} has no column object_number or id; say '
      f'which of {", ".join(content.columns)} it is with --id_column=NAME'
    )
  group, split = find(GROUP), find(SPLIT)
  numbers = listed('float_columns', flags.float_columns)
  numbers += [by_name[name] for name in YEARS if name in by_name and by_name[name] not in numbers]
  chosen = listed('labels', flags.labels)
  listed('maker_columns', flags.maker_columns)
  taken = {image, identity, group, split, *numbers}
  numbers = [name for name in numbers if name not in chosen or name in names(flags.float_columns)]
  labels = chosen or [name for name in content.columns if name not in taken and name]
  labels = [name for name in labels if name not in numbers]
  return {
    'image': image,
    'id': identity,
    'group': group,
    'split': split,
    'labels': labels,
    'numbers': numbers,
  }


def _named(content: Table, *, column: str, folder: Path) -> list[tuple[str, int]]:
  """(path relative to the folder, row) for each row that names a picture."""
  at = content.columns.index(column)
  seen: dict[str, int] = {}
  for i, row in enumerate(content.rows):
    where = f'{content.path}: line {content.lines[i]}'
    if isinstance(row[at], list):
      raise UserError(
        f'{where}: several pictures in one cell; expected a row for each, with the '
        'same object number'
      )
    name = _inside(str(row[at]).strip(), where=where, folder=folder)
    if not name:
      continue
    if name in seen:
      raise UserError(
        f'{where}: {name} stands in line {content.lines[seen[name]]} already; expected '
        'one row a picture; put several values of a column into one cell'
      )
    seen[name] = i
  return list(seen.items())


def _inside(name: str, *, where: str, folder: Path) -> str:
  """A path below the folder in its plain form; '' stays ''."""
  if not name:
    return ''
  if re.match(r'^[a-zA-Z][a-zA-Z0-9+.-]+://', name):
    raise UserError(
      f'{where}: image is the web address {name}; expected a file in the folder; '
      'download the pictures first'
    )
  if '\0' in name:
    raise UserError(f'{where}: image holds a zero byte; expected a path')
  if max(len(part.encode()) for part in re.split(r'[/\\]', name)) > LONGEST_NAME:
    raise UserError(
      f'{where}: image is {name[:40]!r} and so on, longer than any file name; expected a path '
      'relative to the folder'
    )
  if '\\' in name and not (folder / name).exists():
    name = name.replace('\\', '/')  # a table that was made on Windows
  plain = os.path.normpath(name)
  if Path(name).is_absolute() or re.match(r'^[a-zA-Z]:', name) or plain.split('/')[0] == '..':
    raise UserError(
      f'{where}: image is {name}, which lies outside the folder; expected a path relative to it'
    )
  for form in (plain, *(unicodedata.normalize(form, plain) for form in ('NFC', 'NFD'))):
    if (folder / form).exists():
      return Path(form).as_posix()
  return Path(plain).as_posix()


def _split_cell(cell: Cell, separator: str) -> list[str]:
  parts = cell if isinstance(cell, list) else cell.split(separator)
  return [part for part in map(normalise, parts) if part]


def _one(row: Sequence[Cell], at: dict[str, int], column: str) -> str:
  if not column:
    return ''
  cell = row[at[column]]
  return normalise(', '.join(cell) if isinstance(cell, list) else cell)


def _split(text: str, *, where: str) -> str:
  name = SPLIT_NAMES.get(text.casefold())
  if name is None:
    raise UserError(f'{where}: split is {text!r}; expected train, val or test')
  return name


def _feature(column: str) -> str:
  """A column's name as feature and task: 'Object type' -> 'Object_type'."""
  name = re.sub(r'\W+', '_', normalise(column)).strip('_') or 'column'
  return name.lower() if name.lower() in YEARS else name
