"""Records and pictures -> groups, splits, classes, examples and the report."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfds_rijks import labels, splits
from tfds_rijks.collection import account, decisions
from tfds_rijks.collection.aliases import spellings
from tfds_rijks.collection.draw import Group, draw
from tfds_rijks.collection.flags import Flags
from tfds_rijks.collection.record import Kind, Record
from tfds_rijks.collection.records import Collection
from tfds_rijks.copies.report import summary
from tfds_rijks.errors import UserError
from tfds_rijks.passed_over import passed_over
from tfds_rijks.pictures import Shelf
from tfds_rijks.words import counted


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
  taught: dict[str, Any] = {}
  if collection.decisions:
    records, taught = decisions.teach(
      records, collection.decisions, collection.kinds, split_of=split_of
    )
    vocabularies = _vocabularies(records, collection.kinds, flags)
  tasks = account.tasks(records, collection.kinds, vocabularies)
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
    'passed_over': passed_over(folder, used=account.used(collection, flags)),
    'spellings': {
      feature: spellings(proposed) for feature, proposed in collection.proposals.items()
    },
    'equal_pictures': account.equal_pictures(records, shelf, list(vocabularies)),
    'copies': summary(shelf.copies, rule=flags.rule(), groups=groups),
    **({'decisions': taught} if taught else {}),
  }
  if not given:
    # Compares with a split by object, the naive rule; by picture is the same if each has one.
    report['leak'] = splits.leak(groups, seed=flags.seed, fractions=shares)
  else:
    torn = [(a, b) for a, b, _ in shelf.copies.likely if split_of[a] != split_of[b]]
    report['copies']['across_the_given_split'] = len(torn)
    report['copies']['first_across'] = torn[: account.LISTED]
  report['notes'] = account.notes(report)
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
