"""Which cells of an export get decided values, and the provenance beside them."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence

from flaxart.apply.decided import Decided
from flaxart.apply.export import Export
from tfds_rijks.build_report import examples
from tfds_rijks.collection import columns, separators, table
from tfds_rijks.collection.column_names import Names, named
from tfds_rijks.errors import UserError
from tfds_rijks.labels import normalise
from tfds_rijks.suggestions import Suggestion

VALUE = '_suggested'
# Column after `FIELD_suggested`: what of the decision is in it.
PROVENANCE = {
  '_uri': 'value_uri',
  '_status': 'status',
  '_reviewer': 'reviewer',
  '_reviewed_at': 'reviewed_at',
  '_generator': 'generator',
  '_model': 'model_sha256',
}
USUAL = '|'  # between several values, where the export shows no other


@dataclasses.dataclass(frozen=True)
class Choices:
  """Options of `apply`: '' for what the export shows itself; `fill` empty cells of the field."""

  id_column: str = ''
  separator: str = ''
  fill: bool = False


@dataclasses.dataclass
class Additions:
  """New columns, texts by record and column, and counts of values.

  `same` are there already; `kept` says where the export has another value, which stays.
  """

  added: list[str] = dataclasses.field(default_factory=list)
  edits: dict[int, dict[str, str]] = dataclasses.field(default_factory=dict)
  written: int = 0
  same: int = 0
  kept: list[str] = dataclasses.field(default_factory=list)


def additions(export: Export, decided: Decided, choices: Choices) -> Additions:
  """What to write; raises `UserError` for records that the export does not have exactly once."""
  names = Names(table.Table(export.path, export.columns, [], []))
  place_of = _places(export, decided, names.id(choices.id_column or None))
  fields = list(dict.fromkeys(field for values in decided.values() for field in values))
  own = {field: _column(names, field) for field in fields}
  into = {field: _target(export, field, own[field], fill=choices.fill) for field in fields}
  for field, other in itertools.combinations(fields, 2):
    if into[field] == into[other]:
      raise UserError(
        f'--fill: {field} and {other} would both fill the column {into[field]!r}; use one name for '
        'the field in the decisions, or leave --fill out'
      )
  new = [name for field in fields for name in (into[field], *_provenance(field))]
  found = Additions([name for name in new if name not in export.columns])
  needed = dict.fromkeys([*filter(None, own.values()), *new])
  cells = export.cells([name for name in needed if name in export.columns])
  for field in fields:
    joiner = _Joiner(export, cells.get(own[field]), choices.separator)
    for record, values in decided.items():
      if field not in values:
        continue
      place = place_of[record]
      text = joiner.joined([one.value for one in values[field]], f'{record}: {field}')
      at = cells[into[field]][place] if into[field] in cells else ''
      if at.strip():
        where = f'line {export.lines[place]}: {into[field]} is {at!r}, the decision {text!r}'
        found.same += at == text
        found.kept += [where] if at != text else []
        continue
      found.written += 1
      edit = found.edits.setdefault(place, {})
      edit[into[field]] = text
      for name, attribute in _provenance(field).items():
        if not (name in cells and cells[name][place].strip()):
          edit[name] = joiner.provenance(values[field], attribute)
  for text in {text for edit in found.edits.values() for text in edit.values()} | {*found.added}:
    export.check(text)
  return found


def _provenance(field: str) -> dict[str, str]:
  """Column -> attribute of the decision."""
  return {f'{field}{VALUE}{end}': attribute for end, attribute in PROVENANCE.items()}


def _places(export: Export, decided: Decided, column: str) -> dict[str, int]:
  """Record -> its place in the export."""
  path = export.path
  if not column:
    raise UserError(
      f'{path}: has no column object_number or id; say which of '
      f'{examples(export.columns, most=100)} has the record numbers with --id_column=NAME'
    )
  rows: list[list[table.Cell]] = [[number] for number in export.cells([column])[column]]
  ids = table.Table(path, [column], rows, export.lines)
  table.without_errors(ids, [column])
  table.check_ids(ids, column)
  places: dict[str, int] = {}
  for place, cell in enumerate(ids.column(column)):
    number = normalise(str(cell))
    if number in decided and number in places:
      raise UserError(
        f'{path}: {column} {number!r} is in line {export.lines[places[number]]} and in line '
        f'{export.lines[place]}; expected each decided record once; correct one of them'
      )
    places[number] = place
  missing = [number for number in decided if number not in places]
  if missing:
    raise UserError(
      f'{path}: has no record {examples([repr(one) for one in missing])} in {column}, for which '
      f'there are decisions ({len(missing):,} of {len(decided):,} records); give the export they '
      'were made for, or another --id_column'
    )
  return places


def _column(names: Names, field: str) -> str:
  """The export's own column of a field; '' if it has none."""
  same = (name for name in names.columns if name and columns.feature(name) == field)
  of_years = named(field) if field in columns.YEARS else ()
  return next(same, '') or names.first([field, *of_years])


def _target(export: Export, field: str, own: str, *, fill: bool) -> str:
  """The column for the values of a field."""
  if fill and not own:
    raise UserError(
      f'--fill: {export.path} has no column for {field}; its columns are '
      f'{examples(export.columns, most=100)}; rename one, or leave --fill out'
    )
  for name in (own, field + VALUE, *_provenance(field)):
    if export.columns.count(name) > 1:
      raise UserError(f'{export.path}: the column {name!r} occurs twice; rename one of them')
  return own if fill else field + VALUE


class _Joiner:
  """Joins several values of a field as the export does; `cells` are the field's own column."""

  def __init__(self, export: Export, cells: Sequence[str] | None, asked: str):
    self.export, self.asked, self.own = export, asked, cells or ()
    self.single = any(self.own) and not (asked or separators.usual(self.own))

  @functools.cached_property
  def sign(self) -> str:
    """What separates values: as asked, in the field's column, in any column."""
    if sign := self.asked or separators.usual(self.own):
      return sign
    whole = self.export.cells([name for name in dict.fromkeys(self.export.columns) if name])
    return separators.usual(cell for column in whole.values() for cell in column) or USUAL

  def joined(self, texts: Sequence[str], where: str) -> str:
    """One text; raises `UserError` if the export could not tell the values apart."""
    if len(texts) == 1:
      return texts[0]
    shown = ' and '.join(map(repr, texts))
    if self.single:
      raise UserError(
        f'{where} is decided as {shown}, but {self.export.path} has one value in each cell of that '
        'column; reject one, or say what separates several with --multi_value_separator'
      )
    if any(self.sign in text for text in texts):
      raise UserError(
        f'{where} is decided as {shown}, one of which contains the separator {self.sign!r}; choose '
        'another --multi_value_separator'
      )
    return self.sign.join(texts)

  def provenance(self, values: Sequence[Suggestion], attribute: str) -> str:
    """What the values have in common, else one text for each, in their order."""
    texts = [str(getattr(one, attribute)) for one in values]
    return texts[0] if len({*texts}) == 1 else self.sign.join(texts)
