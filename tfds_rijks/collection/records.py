"""Records from a folder: a picture, an object number, ties to other pictures, labels."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

from tfds_rijks import label_origin
from tfds_rijks.collection import (
  aliases,
  columns,
  decisions,
  folders,
  kinds,
  matching,
  table,
  values,
)
from tfds_rijks.collection.column_names import Names, key
from tfds_rijks.collection.columns import YEARS
from tfds_rijks.collection.flags import Flags, names
from tfds_rijks.collection.kinds import Column
from tfds_rijks.collection.numbers import middle, number, year
from tfds_rijks.collection.pairs import Pairs, pair
from tfds_rijks.collection.record import Kind, Record
from tfds_rijks.collection.separators import Noticed, notice, places, split_cell
from tfds_rijks.collection.table import Table
from tfds_rijks.errors import UserError
from tfds_rijks.splits import SPLIT_NAMES

NOT_ASKED = '--labels names others'


@dataclasses.dataclass
class Collection:
  """All records of a folder, the kind of each feature, and notes for the report.

  `columns` says what became of each column, `proposals` which spellings of a feature may be one
  name, `problem` why no picture has a row: a build ends with it. `decisions` are those of
  `--decisions`.
  """

  records: list[Record]
  kinds: dict[str, Kind]
  columns: list[Column]
  proposals: dict[str, list[aliases.Proposal]]
  report: dict[str, Any]
  problem: str = ''
  decisions: decisions.Decisions | None = None


def read(folder: Path, flags: Flags) -> Collection:
  """Reads the table of a folder, or the folder per class; raises `UserError` for bad input."""
  path = table.find(folder, flags.metadata)
  content = (
    folders.read(folder)
    if path is None
    else table.restored(table.read(path, sheet=flags.sheet or ''))
  )
  by = matching.rule(
    content, flags.match, id_column=flags.id_column, image_column=flags.image_column
  )
  roles = columns.roles(
    content,
    by,
    labels=names(flags.labels),
    texts=names(flags.text),
    numbers=names(flags.float_columns),
  )
  cleaner = _cleaner(content, flags)
  if path is None:
    # Paths found on disk need no interpretation, unlike those written by people.
    found = Pairs([(str(image), i) for i, image in enumerate(content.column(roles.image))], {})
  else:
    table.without_errors(content, roles.used)
    if roles.id:
      table.check_ids(content, roles.id)
    found = pair(content, by, folder=folder)
  # A dry run without pictures shows the columns of the whole table.
  rows = [i for _, i in found.pairs] or list(range(len(content.rows)))
  cells = _Cells(content, roles, rows, flags.separator)
  labels = {column: cells.labels(column, cleaner) for column in roles.candidates}
  numbers, odd = cells.numbers()
  decided = _decide(roles, labels, numbers, odd, flags)
  records = [
    Record(
      image=image,
      path=folder / image,
      object_number=cells.text(roles.id, i) or image,
      group=cells.text(roles.group, i),
      split=cells.split(i),
    )
    for image, i in found.pairs
  ]
  features: dict[str, Kind] = {}
  for one in decided:
    name = columns.feature(one.name) if one.becomes == 'text' else roles.features[one.name]
    if one.becomes == 'task':
      features[name] = cells.kind(one.name)
      for record, several in zip(records, labels[one.name], strict=False):
        record.labels[name] = several
    elif one.becomes == 'number':
      features[name] = 'number'
      for record, value in zip(records, numbers[one.name], strict=False):
        record.numbers[name] = value
    elif one.becomes == 'text':
      features[name] = 'text'
      for record, (_, i) in zip(records, found.pairs, strict=True):
        record.texts[name] = cells.text(one.name, i)
  if features.get('year_begin') == features.get('year_end') == 'number' and 'year' not in features:
    features['year'] = 'number'
    for k, record in enumerate(records):
      # If one end is not a year, as in -50 to 120, the other is not the middle.
      unread = any(k in odd.get(column, {}) for column in roles.years)
      between = middle(record.numbers['year_begin'], record.numbers['year_end'])
      record.numbers['year'] = math.nan if unread else between
  tasks = [one.name for one in decided if one.becomes == 'task']
  decided_by_people = _decisions(flags, features, cleaner, roles)
  return Collection(
    records,
    features,
    decided,
    {
      roles.features[column]: proposed
      for column in tasks
      if (proposed := aliases.propose(labels[column], makers=cleaner.makers(column)))
    },
    {
      'table': {
        'file': content.path.name,
        'rows': len(content.rows),
        'encoding': content.encoding,
        'sheet': content.sheet,
        'notes': content.notes,
      },
      **found.report,
      'not_numbers': {column: list(cells_of.values()) for column, cells_of in odd.items()},
      'several_values': {
        column: seen._asdict() for column in tasks if (seen := cells.notice(column))
      },
      'aliases': dict(cleaner.aliased),
      'alias_table': cleaner.aliases,  # stored with the data
      'distancing': dict(cleaner.distanced.most_common()),
      'nobody': {column: dict(texts.most_common()) for column, texts in cleaner.nobody.items()},
    },
    found.problem,
    decided_by_people,
  )


def _decisions(
  flags: Flags, features: dict[str, Kind], cleaner: values.Cleaner, roles: columns.Roles
) -> decisions.Decisions | None:
  """Those of `--decisions`, which add the feature `label_origin`."""
  if flags.decisions is None:
    return None
  if label_origin.FEATURE in features:
    raise UserError(
      f'--decisions: the table has a column {label_origin.FEATURE}, in which the origin of decided '
      'labels would be; rename it'
    )
  column_of = {feature: column for column, feature in roles.features.items()}
  found = decisions.read(
    Path(flags.decisions),
    features,
    weight=flags.decisions_weight,
    clean=lambda text, feature: cleaner.clean(text, column=column_of.get(feature, feature)),
  )
  features[label_origin.FEATURE] = 'text'
  return found


class _Cells:
  """The cells of a table in the rows that count, by role of their columns."""

  def __init__(self, content: Table, roles: columns.Roles, rows: list[int], separator: str):
    self.content, self.roles, self.rows, self.separator = content, roles, rows, separator
    self.at = {column: i for i, column in enumerate(content.columns)}

  def text(self, column: str, row: int) -> str:
    """The cell as one text; '' for the column ''."""
    if not column:
      return ''
    cell = self.content.rows[row][self.at[column]]
    return values.plain(', '.join(cell) if isinstance(cell, list) else cell)

  def split(self, row: int) -> str:
    """train, val or test, if the table has it."""
    if not self.roles.split:
      return ''
    text = self.text(self.roles.split, row)
    if text.casefold() not in SPLIT_NAMES:
      raise UserError(
        f'{self.content.path}: line {self.content.lines[row]}: split is {text!r}; expected train, '
        'val or test'
      )
    return SPLIT_NAMES[text.casefold()]

  def labels(self, column: str, cleaner: values.Cleaner) -> list[list[str]]:
    """The labels of each row, without repetition; [] if it has none."""
    beside = self.roles.doubts if cleaner.makers(column) else []
    found = []
    for row in self.rows:
      cells = self.content.rows[row]
      parts = places(cells[self.at[column]], self.separator)
      doubted = {
        i
        for other in beside
        for i, text in enumerate(places(cells[self.at[other]], self.separator))
        if text and cleaner.doubts(text)
      }
      sure = [part for i, part in enumerate(parts) if part and i not in doubted]
      cleaned = (cleaner.clean(part, column=column) for part in sure)
      found.append(list(dict.fromkeys(one for one in cleaned if one)))
    return found

  def kind(self, column: str) -> Kind:
    """Whether any row of the table has several labels."""
    cells = self.content.column(column)
    several = any(len(split_cell(cell, self.separator)) > 1 for cell in cells)
    return 'labels' if several else 'label'

  def numbers(self) -> tuple[dict[str, list[float]], dict[str, dict[int, str]]]:
    """The numbers of each row, NaN for missing; and by column the texts that are not numbers."""
    found: dict[str, list[float]] = {}
    odd: dict[str, dict[int, str]] = {}
    for column in [*self.roles.years, *self.roles.numbers]:
      parse = year if self.roles.features[column] in YEARS else number
      found[column] = []
      for k, row in enumerate(self.rows):
        value = parse(text := self.text(column, row))
        if value is None:
          odd.setdefault(column, {})[k] = text
        found[column].append(math.nan if value is None else value)
    return found, odd

  def notice(self, column: str) -> Noticed | None:
    """Notes a separator that occurs in the cells but does not split them."""
    at = self.at[column]
    return notice((self.content.rows[row][at] for row in self.rows), self.separator)


def _cleaner(content: Table, flags: Flags) -> values.Cleaner:
  lookup = Names(content)
  return values.Cleaner(
    aliases=aliases.read(flags.aliases),
    phrases=values.read_phrases(flags.distancing),
    nobodies=values.read_nobody(flags.nobody),
    maker_columns=[lookup.asked('maker_columns', name) for name in names(flags.maker_columns)],
  )


def _decide(
  roles: columns.Roles,
  labels: dict[str, list[list[str]]],
  numbers: dict[str, list[float]],
  odd: dict[str, dict[int, str]],
  flags: Flags,
) -> list[Column]:
  """What becomes of every column of the table."""
  asked = bool(flags.labels)
  decided = [
    Column(column, 'record', what, option)
    for column, what, option in (
      (roles.image, 'names the picture', '--image_column'),
      (roles.id, 'the object number', '--id_column'),
      (roles.group, 'ties pictures together', ''),
      (roles.split, 'train, val or test', ''),
    )
    if column
  ]
  candidates = [kinds.Candidate(column, found, asked) for column, found in labels.items()]
  decided += kinds.decide(candidates, min_per_class=flags.min_per_class)
  for column, name in roles.years.items():
    known = sum(value == value for value in numbers[column])
    unread = len(odd.get(column, {}))
    if unread > known and key(column) != name:
      why = f'by its name a year, but {unread:,} of {known + unread:,} cells are not'
      decided.append(Column(column, 'text', why, '--labels, --float_columns'))
    else:
      why = f'the {name.replace("_", " ")} of {known:,} works, by its name'
      decided.append(Column(column, 'number', why, '--labels, --text'))
  decided += [Column(column, 'number', '--float_columns', '') for column in roles.numbers]
  decided += [
    Column(column, 'text', '--text' if column in names(flags.text) else 'by its name', '--labels')
    for column in roles.texts
  ]
  decided += [Column(column, 'left out', NOT_ASKED, '--labels') for column in roles.left_out]
  return decided
