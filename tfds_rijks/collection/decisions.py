"""Decisions about suggestions as labels of the training split: `--decisions`.

Splits are drawn, and val and test are labelled, by the museum's own table alone: a label that
somebody accepted after a network suggested it would measure how well the network agrees with
itself.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfds_rijks import label_origin, suggestions
from tfds_rijks.build_report import examples
from tfds_rijks.collection.columns import YEARS
from tfds_rijks.collection.numbers import number, year
from tfds_rijks.collection.record import Kind, Record
from tfds_rijks.collection.values import plain
from tfds_rijks.errors import UserError
from tfds_rijks.label_origin import Origin
from tfds_rijks.suggestions import DECIDED, Suggestion


@dataclasses.dataclass
class Decision:
  """Of one feature of one record: the values that it has, with their statuses, and has not."""

  values: dict[str, str] = dataclasses.field(default_factory=dict)
  rejected: dict[str, None] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Decisions:
  """Decisions by record (its object number, or its picture if it has none) and feature."""

  weight: float
  of: dict[str, dict[str, Decision]] = dataclasses.field(default_factory=dict)
  ignored: Counter[str] = dataclasses.field(default_factory=Counter)  # rows, by field


def read(
  path: Path,
  kinds: Mapping[str, Kind],
  *,
  weight: float,
  clean: Callable[[str, str], str],
) -> Decisions:
  """The decided rows of a table of suggestions.

  `kinds` of the features; `clean` makes the label, '' for none, of a text and its feature. Raises
  `UserError` for decisions that contradict each other, or that are about other features.
  """
  found = Decisions(weight)
  for row in suggestions.read(path):
    if row.status not in (*DECIDED, 'rejected'):
      continue
    kind = kinds.get(row.field, 'text')
    if kind == 'text':
      found.ignored[row.field] += 1
      continue
    if not (record := plain(row.record_id) or row.image):
      raise UserError(
        f'--decisions={path}: {row.field} {row.value!r} is {row.status} without a record_id; fill '
        'in the number of the record'
      )
    decision = found.of.setdefault(record, {}).setdefault(row.field, Decision())
    value = _number(row, path) if kind == 'number' else clean(row.value, row.field)
    if row.status == 'rejected':
      decision.rejected[value] = None
    elif value:
      decision.values[value] = row.status
    if contradicted := decision.values.keys() & decision.rejected.keys():
      raise UserError(
        f'--decisions={path}: {record}: {row.field} {contradicted.pop()!r} is accepted in one row '
        'and rejected in another; give both rows one status'
      )
    if kind != 'labels' and len(decision.values) > 1:
      raise UserError(
        f'--decisions={path}: {record}: {row.field} is decided as '
        f'{" and ".join(map(repr, decision.values))}; expected one value; reject the others'
      )
  if found.ignored and not found.of:
    raise UserError(
      f'--decisions={path}: decides {examples(found.ignored)}; expected fields among '
      f'{examples((name for name, kind in kinds.items() if kind != "text"), most=100)}'
    )
  return found


def _number(row: Suggestion, path: Path) -> str:
  parse = year if row.field in YEARS else number
  value = parse(row.value)
  if value is None or value != value:
    raise UserError(
      f'--decisions={path}: {row.record_id}: {row.field} is {row.value!r}; expected a '
      f'{"year from 100 to 2100" if row.field in YEARS else "number"}'
    )
  return repr(value)


def teach(
  records: Sequence[Record],
  decisions: Decisions,
  kinds: Mapping[str, Kind],
  *,
  split_of: Mapping[str, str],
) -> tuple[list[Record], dict[str, Any]]:
  """The records with decided labels in train, all with `label_origin`; and an account of them."""
  labels: Counter[str] = Counter()
  elsewhere: Counter[str] = Counter()
  replaced, used = [], set()
  taught = []
  for record in records:
    name = record.object_number if record.object_number in decisions.of else record.image
    decided = decisions.of.get(name, {})
    used |= {name} & decisions.of.keys()
    split = split_of[record.image]
    if split != 'train':
      elsewhere[split] += sum(bool(one.values) for one in decided.values())
      decided = {}
    origins: dict[str, Origin] = {}
    new = dataclasses.replace(record, labels={**record.labels}, numbers={**record.numbers})
    for feature, decision in decided.items():
      if kinds[feature] == 'number':
        origin, old = _teach_number(new, feature, decision)
      else:
        origin, old = _teach_labels(new, feature, decision, several=kinds[feature] == 'labels')
      if origin:
        origins[feature] = dataclasses.replace(origin, weight=decisions.weight)
        labels[feature] += 1
        replaced += [f'{record.object_number}: {feature} was {old}'] if old else []
    new.texts = {**record.texts, label_origin.FEATURE: label_origin.text(origins)}
    taught.append(new)
  return taught, {
    'weight': decisions.weight,
    'labels': dict(labels),
    'replaced': replaced,
    'not_used_in': dict(elsewhere),
    'without_picture': sorted(decisions.of.keys() - used),
    'ignored_fields': dict(decisions.ignored),
  }


def _teach_number(record: Record, feature: str, decision: Decision) -> tuple[Origin | None, str]:
  """Sets the number; gives its origin, if it is new, and the museum's number that it replaces."""
  old = record.numbers[feature]
  for text, status in decision.values.items():
    if float(text) != old:
      record.numbers[feature] = float(text)
      return Origin(status), f'{old:g}' if old == old else ''
  return None, ''


def _teach_labels(
  record: Record, feature: str, decision: Decision, *, several: bool
) -> tuple[Origin | None, str]:
  """Sets the labels; gives their origin, if any is new, and the museum's label that it replaces."""
  old = record.labels[feature]
  new = [value for value in decision.values if value not in old]
  if not new:
    return None, ''
  status = 'changed' if 'changed' in [decision.values[value] for value in new] else 'accepted'
  if not several:
    record.labels[feature] = new
    return Origin(status, values=(*new,)), ''.join(old)
  # The museum's own list is whole: what it does not have is absent. Without one, only what somebody
  # decided is known.
  record.labels[feature] = [*old, *new]
  known = {*record.labels[feature], *decision.values}
  rejected = () if old else tuple(one for one in decision.rejected if one and one not in known)
  return Origin(status, values=(*new,), rejected=rejected, partial=not old), ''


def note(report: Mapping[str, Any]) -> list[str]:
  """Lines about the account of `teach`, for the build report."""
  labels = ', '.join(f'{feature} {n:,}' for feature, n in report['labels'].items())
  lines = [f'decisions: labels in train: {labels or "none"}; weight {report["weight"]:g}']
  if others := report['not_used_in']:
    where = ', '.join(f'{n:,} in {split}' for split, n in others.items() if n)
    lines += [f"decisions: not used: {where}, which have the museum's labels only"] if where else []
  for what, found in (
    ("replace the museum's label", report['replaced']),
    ('about records without a picture here', report['without_picture']),
    ('about other columns', [f'{name} {n:,}' for name, n in report['ignored_fields'].items()]),
  ):
    lines += [f'decisions: {len(found):,} {what}: {examples(found)}'] if found else []
  return lines
