"""What the build report of a collection says."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tfds_rijks import labels
from tfds_rijks.build_report import examples
from tfds_rijks.collection import decisions
from tfds_rijks.collection.aliases import PROPOSED
from tfds_rijks.collection.flags import Flags
from tfds_rijks.collection.record import Kind, Record
from tfds_rijks.collection.records import Collection
from tfds_rijks.copies.report import note
from tfds_rijks.pictures import Shelf
from tfds_rijks.words import alphabetical, counted

LISTED = 200  # of long lists
TIE = 'the column group ties one, '


def tasks(
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


def used(collection: Collection, flags: Flags) -> set[str]:
  """Files reported elsewhere: the table, the pictures with and without a row."""
  matching = collection.report.get('matching', {})
  return {
    collection.report['table']['file'],
    os.path.normpath(flags.metadata or '.'),
    *(record.image for record in collection.records),
    *matching.get('pictures_without_row', ()),
    *matching.get('ambiguous', ()),
  }


def _describe_number(records: Sequence[Record], feature: str) -> dict[str, Any]:
  found = sorted(value for record in records if (value := record.numbers[feature]) == value)
  return {
    'labelled': len(found),
    'missing': len(records) - len(found),
    **({'least': found[0], 'median': found[len(found) // 2], 'most': found[-1]} if found else {}),
  }


def equal_pictures(
  records: Sequence[Record], shelf: Shelf, features: Sequence[str]
) -> dict[str, Any]:
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


def notes(report: Mapping[str, Any]) -> list[str]:
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


def _most_first(counts: Mapping[str, int]) -> list[str]:
  return sorted(counts, key=lambda name: (-counts[name], alphabetical(name)))
