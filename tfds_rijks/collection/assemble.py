"""Records and pictures -> groups, splits, classes, examples and the report."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfds_rijks import labels, splits
from tfds_rijks.build_report import examples
from tfds_rijks.collection import decisions
from tfds_rijks.collection.aliases import PROPOSED, spellings
from tfds_rijks.collection.draw import Group, draw
from tfds_rijks.collection.flags import Flags
from tfds_rijks.collection.record import Kind, Record
from tfds_rijks.collection.records import Collection
from tfds_rijks.copies.report import note, summary
from tfds_rijks.errors import UserError
from tfds_rijks.passed_over import passed_over
from tfds_rijks.pictures import Shelf
from tfds_rijks.words import alphabetical, counted

LISTED = 200  # of long lists in the report
TIE = 'the column group ties one, '


@dataclasses.dataclass
class Assembled:
  """`examples` per split: (picture name, every feature but image); `names`: classes per feature."""

  examples: dict[str, list[tuple[str, dict[str, Any]]]]
  names: dict[str, tuple[str, ...]]
  report: dict[str, Any]
  groups: dict[str, str]  # picture -> group


def assemble(collection: Collection, shelf: Shelf, flags: Flags, *, folder: Path) -> Assembled:
  """Draws the splits by group, counts the classes, and reports."""
  records = [record for record in collection.records if record.image in shelf.pictures]
  if not records:
    raise UserError(f'{folder}: no picture could be read; expected at least one')
  given = any(record.split for record in records)
  # A given split is kept: copies across it are reported.
  groups = _groups(records, shelf, {} if given else shelf.copies.seed_of)
  vocabularies = _vocabularies(records, collection.kinds, flags)
  shares = flags.shares()
  if given:
    split_of = {record.image: record.split for record in records}
    _check_given(groups, split_of, folder=folder)
  else:
    drawn = draw(_to_draw(records, groups, vocabularies), seed=flags.seed, fractions=shares)
    split_of = {image: drawn[group] for image, group in groups.items()}
  account: dict[str, Any] = {}
  if collection.decisions:
    records, account = decisions.teach(
      records, collection.decisions, collection.kinds, split_of=split_of
    )
    vocabularies = _vocabularies(records, collection.kinds, flags)
  tasks = _tasks(records, collection.kinds, vocabularies)
  for feature, vocabulary in vocabularies.items():
    if not vocabulary.names:
      raise UserError(
        f'{folder}: no class of {feature} has {flags.min_per_class} '
        'readable pictures; lower --min_per_class or leave the column out'
      )
    for split in ('train', 'test'):
      shown = {
        name
        for record in records
        if split_of[record.image] == split
        for name in record.labels[feature]
      }
      tasks[feature][f'classes_not_in_{split}'] = [n for n in vocabulary.names if n not in shown]
  counts = splits.counts(split_of)
  made: dict[str, list[tuple[str, dict[str, Any]]]] = {name: [] for name in counts}
  for record in records:
    made[split_of[record.image]].append(
      (
        record.image,
        {
          'object_number': record.object_number,
          'group': groups[record.image],
          **{
            feature: _ids(record.labels[feature], vocabulary, collection.kinds[feature])
            for feature, vocabulary in vocabularies.items()
          },
          **{
            feature + labels.RARE: _rare(record.labels[feature], vocabulary)
            for feature, vocabulary in vocabularies.items()
            if collection.kinds[feature] == 'label'
          },
          **record.numbers,
          **record.texts,
        },
      )
    )
  sizes = Counter(groups.values())
  report: dict[str, Any] = {
    **collection.report,
    'columns': [one._asdict() for one in collection.columns],
    'records': len(collection.records),
    'splits': counts,
    'split_rule': 'column split'
    if given
    else f'by group within classes, {shares}, seed {flags.seed}',
    'shares': {} if given else shares,
    'groups': {
      'groups': len(sizes),
      'records_in_groups_of_several': sum(n for n in sizes.values() if n > 1),
      'largest': max(sizes.values()),
    },
    'tasks': tasks,
    'unreadable': shelf.unreadable(),
    'picture_notes': dict(shelf.notes),
    'passed_over': passed_over(folder, used=_used(collection, flags)),
    'spellings': {
      feature: spellings(proposed) for feature, proposed in collection.proposals.items()
    },
    'equal_pictures': _equal(records, shelf, list(vocabularies)),
    'copies': summary(shelf.copies, rule=flags.rule(), groups=groups),
    **({'decisions': account} if account else {}),
  }
  if not given:
    # Compares with a split by object, the naive rule; by picture is the same if each has one.
    report['leak'] = splits.leak(groups, seed=flags.seed, fractions=shares)
  else:
    torn = [(a, b) for a, b, _ in shelf.copies.likely if split_of[a] != split_of[b]]
    report['copies']['across_the_given_split'] = len(torn)
    report['copies']['first_across'] = torn[:LISTED]
  report['notes'] = _notes(report)
  return Assembled(
    made,
    {feature: vocabulary.names for feature, vocabulary in vocabularies.items()},
    report,
    groups,
  )


def _vocabularies(
  records: Sequence[Record], kinds: Mapping[str, Kind], flags: Flags
) -> dict[str, labels.Vocabulary]:
  """The classes of each feature that has some."""
  return {
    feature: labels.vocabulary(
      [record.labels[feature] for record in records], min_per_class=flags.min_per_class
    )
    for feature, kind in kinds.items()
    if kind in ('label', 'labels')
  }


def _tasks(
  records: Sequence[Record],
  kinds: Mapping[str, Kind],
  vocabularies: Mapping[str, labels.Vocabulary],
) -> dict[str, dict[str, Any]]:
  """What the report says about each feature that can be learned."""
  return {
    feature: _describe_number(records, feature)
    if kind == 'number'
    else labels.describe([record.labels[feature] for record in records], vocabularies[feature])
    for feature, kind in kinds.items()
    if kind != 'text'
  }


def _used(collection: Collection, flags: Flags) -> set[str]:
  """Files reported elsewhere: the table, the pictures with and without a row."""
  matching = collection.report.get('matching', {})
  return {
    collection.report['table']['file'],
    os.path.normpath(flags.metadata or '.'),
    *(record.image for record in collection.records),
    *matching.get('pictures_without_row', ()),
    *matching.get('ambiguous', ()),
  }


def _groups(records: Sequence[Record], shelf: Shelf, seed_of: Mapping[str, str]) -> dict[str, str]:
  """Picture -> group: the value of `group`, else the object number, merged over equal pixels and
  likely copies.
  """
  keys: dict[str, list[str]] = defaultdict(list)
  for record in records:
    name = record.group or record.object_number
    keys[name].append(f'object:{record.object_number}')
    if digest := shelf.pictures[record.image].digest:
      keys[name].append(f'pixels:{digest}')
    if seed := seed_of.get(record.image):
      keys[name].append(f'copy:{seed}')
  named = splits.merge(keys)
  return {record.image: named[record.group or record.object_number] for record in records}


def _to_draw(
  records: Sequence[Record],
  groups: Mapping[str, str],
  vocabularies: Mapping[str, labels.Vocabulary],
) -> dict[str, Group]:
  """Group -> how many pictures it has, and their classes, in the order of the columns."""
  count = Counter(groups[record.image] for record in records)
  classes: dict[str, dict[tuple[str, str], None]] = {name: {} for name in count}
  for feature, vocabulary in vocabularies.items():
    known = set(vocabulary.names)
    for record in records:
      for name in sorted(known.intersection(record.labels[feature])):
        classes[groups[record.image]][feature, name] = None
  return {name: Group(n, tuple(classes[name])) for name, n in count.items()}


def _check_given(groups: Mapping[str, str], split_of: Mapping[str, str], *, folder: Path) -> None:
  """Raises `UserError` if a given split divides a group."""
  first: dict[str, str] = {}
  torn: list[tuple[str, str]] = []
  for image, group in groups.items():
    other = first.setdefault(group, image)
    if split_of[other] != split_of[image]:
      torn.append((other, image))
  if torn:
    a, b = torn[0]
    raise UserError(
      f'{folder}: the column split puts pictures of one group into two splits, '
      f'{counted(len(torn), "time")}; first: {a} ({split_of[a]}) and {b} ({split_of[b]}), which '
      'have the same pixels, object number or group; give both one split, or remove the '
      'column to draw splits by group'
    )


def _ids(found: Sequence[str], vocabulary: labels.Vocabulary, kind: str) -> int | list[int]:
  if kind == 'labels':
    return vocabulary.ids(found)
  return vocabulary.id(found[0]) if found else -1


def _rare(found: Sequence[str], vocabulary: labels.Vocabulary) -> str:
  """The value that became a missing label because too few pictures have it, else ''."""
  return found[0] if found and vocabulary.id(found[0]) < 0 else ''


def _describe_number(records: Sequence[Record], feature: str) -> dict[str, Any]:
  found = sorted(value for record in records if (value := record.numbers[feature]) == value)
  return {
    'labelled': len(found),
    'missing': len(records) - len(found),
    **({'least': found[0], 'median': found[len(found) // 2], 'most': found[-1]} if found else {}),
  }


def _equal(records: Sequence[Record], shelf: Shelf, features: Sequence[str]) -> dict[str, Any]:
  """Pictures with the same pixels, and those among them whose labels differ."""
  twins: dict[str, list[Record]] = defaultdict(list)
  for record in records:
    if digest := shelf.pictures[record.image].digest:
      twins[digest].append(record)
  several = [same for same in twins.values() if len(same) > 1]
  differing = {
    feature: [
      {record.image: record.labels[feature] for record in same}
      for same in several
      if len({tuple(record.labels[feature]) for record in same}) > 1
    ]
    for feature in features
  }
  return {
    'records_with_a_twin': sum(map(len, several)),
    'with_different_labels': {f: len(found) for f, found in differing.items() if found},
    'different': {f: found[:LISTED] for f, found in differing.items() if found},
  }


def _most_first(counts: Mapping[str, int]) -> list[str]:
  return sorted(counts, key=lambda name: (-counts[name], alphabetical(name)))


def _notes(report: Mapping[str, Any]) -> list[str]:
  notes = [*report['table']['notes']]
  if report['table']['encoding'] == 'cp1252':
    notes.append(f'{report["table"]["file"]}: not UTF-8, and read as Windows-1252')
  for feature, task in report['tasks'].items():
    if dropped := task.get('dropped_classes'):
      notes.append(f'{feature}: too rare, now missing: {examples(_most_first(dropped), most=8)}')
    if absent := task.get('classes_not_in_train'):
      notes.append(f'{feature}: not in train: {examples(sorted(absent, key=alphabetical), most=8)}')
    if absent := task.get('classes_not_in_test') if 'test' in report['splits'] else ():
      notes.append(
        f'{feature}: {counted(len(absent), "class", "classes")} without a test picture: '
        f'{examples(sorted(absent, key=alphabetical), most=8)}'
      )
  for feature, found in report['spellings'].items():
    shown = '; '.join(' = '.join(group) for group in found[:5])
    notes.append(
      f'{feature}: {counted(len(found), "name seems", "names seem")} to have several spellings: '
      f'{shown}; check '
      f'{PROPOSED} beside the data, and give it back with --aliases'
    )
  notes += note(report['copies'], tie=TIE)
  if torn := report['copies'].get('first_across'):
    a, b = torn[0]
    n = report['copies']['across_the_given_split']
    notes.append(
      f'{counted(n, "pair")} of likely copies in different splits of the '
      f'table, such as {a} and {b}; test scores with them are too good'
    )
  for feature, n in report['equal_pictures']['with_different_labels'].items():
    notes.append(f'{feature}: {counted(n, "set")} of equal pictures with different values')
  if phrases := report['distancing']:
    shown = ', '.join(f'{phrase} {n}' for phrase, n in list(phrases.items())[:8])
    notes.append(f'makers set to missing: {shown} (--distancing)')
  for column, texts in report['nobody'].items():
    shown = ', '.join(f'{text!r} {n}' for text, n in list(texts.items())[:8])
    notes.append(f'{column}: unknown, and so missing: {shown} (--nobody)')
  for column, seen in report['several_values'].items():
    notes.append(
      f'{column}: {counted(seen["cells"], "cell seems", "cells seem")} to hold several values, '
      f'such as {seen["example"]!r}; {seen["option"]} splits them'
    )
  for column, odd in report['not_numbers'].items():
    are = counted(len(odd), 'cell is not a number or year', 'cells are not numbers or years')
    notes.append(f'{column}: {are}: {examples(odd)}')
  if 'decisions' in report:
    notes += decisions.note(report['decisions'])
  if columns := report.get('columns_left_out'):
    notes.append(f'no class with enough pictures, left out: {", ".join(columns)}')
  return notes
