"""Pairs pictures and rows of a collection by `--match`, and shows examples before the build."""

from __future__ import annotations

import dataclasses
import os
import re
import unicodedata
from pathlib import Path
from typing import Any

from tfds_rijks.build_report import examples
from tfds_rijks.collection import matching
from tfds_rijks.collection.matching import PATH, Rule
from tfds_rijks.collection.table import Table
from tfds_rijks.errors import UserError
from tfds_rijks.listing import is_picture, name_of, walk
from tfds_rijks.terminal import say
from tfds_rijks.words import counted

LONGEST_NAME = 255  # bytes of a file's name, on all common file systems
SHOWN = 10


@dataclasses.dataclass
class Pairs:
  """(path relative to the folder, row) of each picture that belongs to one row.

  `problem` says why there is none: a build ends with it, a dry run still shows the table.
  """

  pairs: list[tuple[str, int]]
  report: dict[str, Any]
  problem: str = ''


def pair(content: Table, by: Rule, *, folder: Path) -> Pairs:
  """Pairs pictures and rows; unless by path, prints ten pairs and the rest."""
  if by.match == PATH:
    pairs = _by_path(content, by, folder=folder)
    report: dict[str, Any] = {'rows_without_picture': len(content.rows) - len(pairs)}
    problem = '' if pairs else f'{content.path}: no row has a picture; expected at least one'
    return Pairs(pairs, report, problem)
  pictures = [name_of(path, folder=folder) for path in walk(folder) if is_picture(path)]
  rows = matching.rows_of(content, pictures, by, folder=folder)
  pairs = [(name, found[0]) for name, found in rows.items() if len(found) == 1]
  numbers = [str(cell) for cell in content.column(by.id_column)]
  taken = {i for _, i in pairs}
  left = {
    'pictures_without_row': [name for name, found in rows.items() if not found],
    'rows_without_picture': [number for i, number in enumerate(numbers) if i not in taken],
    'ambiguous': [name for name, found in rows.items() if len(found) > 1],
  }
  say(
    f'{content.path.name}: {counted(len(pairs), "picture belongs", "pictures belong")} to '
    f'{len(taken):,} of {counted(len(content.rows), "row")} by {by.id_column}'
    f'{"; for example" if pairs else ""}'
  )
  for name, i in pairs[:: max(1, len(pairs) // SHOWN)][:SHOWN]:
    say(f'  {name}  ->  {numbers[i]}')
  for (what, how), listed in (
    (('picture', 'without a row'), left['pictures_without_row']),
    (('row', 'without a picture'), left['rows_without_picture']),
    (('picture', 'whose number is in several rows'), left['ambiguous']),
  ):
    if listed:
      say(f'  {counted(len(listed), what)} {how}: {examples(listed)}')
  report = {'matching': {'pictures': len(pairs), 'objects': len(taken), **left}}
  return Pairs(pairs, report, '' if pairs else _nothing(by, numbers, folder=folder))


def _nothing(by: Rule, numbers: list[str], *, folder: Path) -> str:
  number = repr(numbers[0]) if numbers else "''"
  if by.field is None:
    return (
      f'--match={by.match}: no file name below {folder} contains a number from the column '
      f'{by.id_column} (such as {number}); expected names such as NUMBER.jpg or NUMBER_1.jpg; '
      'check --id_column'
    )
  return (
    f'--match={by.match}: no picture below {folder} has a number from the column {by.id_column} '
    f'(such as {number}) in that field; check the field and --id_column'
  )


def _by_path(content: Table, by: Rule, *, folder: Path) -> list[tuple[str, int]]:
  """(path, row) for each row that names a picture; a missing one keeps its name."""
  at = content.columns.index(by.image_column)
  names = []
  for row, line in zip(content.rows, content.lines, strict=True):
    where, cell = f'{content.path}: line {line}', row[at]
    if isinstance(cell, list):
      raise UserError(
        f'{where}: several pictures in one cell; expected a row for each, with '
        'the same object number'
      )
    names.append(_inside(cell.strip(), where=where, column=by.image_column, folder=folder))
  lost = [i for i, name in enumerate(names) if name and not (folder / name).exists()]
  if lost:  # a table with only file names, or in another case
    taken = set(names)
    pictures = [name_of(path, folder=folder) for path in walk(folder) if _has_text_name(path)]
    free = [one for one in pictures if one not in taken]
    for picture, here in matching.by_path([names[i] for i in lost], free).items():
      if len(here) == 1:
        names[lost[here[0]]] = picture
  seen: dict[str, int] = {}
  for i, name in enumerate(names):
    if name and name in seen:
      raise UserError(
        f'{content.path}: line {content.lines[i]}: {name} is already '
        f'in line {content.lines[seen[name]]}; expected one row per picture; put several values '
        'of a column into one cell'
      )
    if name:
      seen[name] = i
  return list(seen.items())


def _has_text_name(path: Path) -> bool:
  try:
    os.fspath(path).encode()
  except UnicodeEncodeError:
    return False  # a table cannot name it
  return is_picture(path)


def _inside(name: str, *, where: str, column: str, folder: Path) -> str:
  """A path below the folder in plain form; '' stays ''."""
  if not name:
    return ''
  if re.match(r'^[a-zA-Z][a-zA-Z0-9+.-]+://', name):
    raise UserError(
      f'{where}: {column} is the web address {name}; expected a file in the folder; '
      'download the pictures first'
    )
  if '\0' in name:
    raise UserError(f'{where}: {column} holds a zero byte; expected a path')
  if max(len(part.encode()) for part in re.split(r'[/\\]', name)) > LONGEST_NAME:
    raise UserError(
      f'{where}: {column} is {name[:40]!r} and so on, longer than any file name; expected a path '
      'relative to the folder'
    )
  if '\\' in name and not (folder / name).exists():
    name = name.replace('\\', '/')  # a table from Windows
  plain = os.path.normpath(name)
  if Path(name).is_absolute() or re.match(r'^[a-zA-Z]:', name) or plain.split('/')[0] == '..':
    raise UserError(
      f'{where}: {column} is {name}, which is outside the folder; expected a path relative to it'
    )
  for form in (plain, *(unicodedata.normalize(form, plain) for form in ('NFC', 'NFD'))):
    if (folder / form).exists():
      return Path(form).as_posix()
  return Path(plain).as_posix()
