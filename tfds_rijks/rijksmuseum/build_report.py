"""The build report of a config: input, omissions and their reasons, classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from tfds_rijks import labels, splits
from tfds_rijks.copies.report import note, summary
from tfds_rijks.pictures import Shelf
from tfds_rijks.rijksmuseum import configs, groundtruth, protocols, survey
from tfds_rijks.rijksmuseum.creators import PUBLISHERS, parse
from tfds_rijks.rijksmuseum.layout import Layout, object_number
from tfds_rijks.words import counted

INVENTED = 'Invented objects, drawn by flaxart: no score on them says anything about real ones.'
PUBLISHED_OBJECTS = 112_039
PUBLISHED_LISTS = {'type': 9_607, 'material': 7_788, 'artist': 6_530}  # Tonkes and Sabatelli 2022


def build_report(
  *,
  config: configs.RijksConfig,
  layout: Layout,
  records: survey.Records,
  shelf: Shelf,
  groups: Mapping[str, str],
  outcome: protocols.Outcome,
  truth: groundtruth.GroundTruth | None,
) -> dict[str, Any]:
  """The report as plain data for JSON; `tfds_rijks.build_report.text` makes a table of it."""
  split_of = {stem: split for split, stems in outcome.splits.items() for stem in stems}
  kept_groups = {stem: groups[stem] for stem in split_of}
  siblings = splits.siblings(kept_groups, split_of)
  about = configs.PROTOCOLS[config.protocol]
  by_group = about.by_group and not (config.objects and config.objects.splits)
  report: dict[str, Any] = {
    'config': config.name,
    'protocol': config.protocol,
    'rule': about.description,
    'attribution': config.attribution,
    'image_size': config.image_size,
    'drawn': layout.drawn,
    'objects': len(layout.stems),
    'pictures_without_record': layout.without_record,
    'records_without_picture': layout.without_picture,
    'other_files': list(layout.other_files),
    'unreadable': shelf.unreadable(),
    'picture_notes': dict(shelf.notes),
    'records_refused': {reason: sorted(those) for reason, those in sorted(records.refused.items())},
    'records_repaired': dict(records.repaired.most_common()),
    'records_of_another_number': sorted(records.other_number),
    'numbers_used_twice': _twice(layout),
    'excluded': dict(outcome.excluded.most_common()),
    'splits': {name: len(stems) for name, stems in outcome.splits.items()},
    'tasks': _tasks(outcome),
    'creators': _creators(records),
    'dated': sum(
      records.by_stem[stem].years is not None for stem in split_of if stem in records.by_stem
    ),
    'groups': {
      'groups': len(set(kept_groups.values())),
      'largest': _largest(kept_groups),
      'split_by_group': by_group,
    },
    'siblings_in_train': {**siblings, 'share': siblings['leaked'] / max(1, siblings['test'])},
    'copies': summary(shelf.copies, rule=config.copies, groups=groups),
    'complete': len(layout.stems) == PUBLISHED_OBJECTS and not layout.drawn,
    'comparable': comparable(config, layout),
  }
  if report['groups']['split_by_group']:
    report['leak'] = splits.leak(kept_groups, seed=config.seed, fractions=protocols.FRACTIONS)
  if config.objects is not None:
    report['list'] = _list(config, layout, records)
  if truth is not None:
    report['ground_truth_rows'] = len(truth.splits)
  report['notes'] = notes(report)
  return report


def comparable(config: configs.RijksConfig, layout: Layout) -> dict[str, Any]:
  """Whether results on this set are comparable with published ones, and why."""
  why, objects = '', len(layout.stems)
  if layout.drawn:
    why = 'the objects are invented'
  elif config.protocol in ('multitask', 'full'):
    why = 'a protocol of this project'
  elif config.attribution != 'as_published':
    why = 'attribution is strict; the published sets take every first creator'
  elif config.protocol.startswith('eccv2018'):
    why = 'the rule is that of the paper, but its splits were never released'
  elif config.protocol.startswith('balanced30'):
    want = PUBLISHED_LISTS[config.tasks[0]]
    if config.objects is None or len(config.objects.stems) != want:
      why = f'drawn again by the published rule; give the published list of {want:,} with --objects'
  elif config.objects is not None:
    why = 'restricted to a list of objects'
  elif objects != PUBLISHED_OBJECTS:
    why = f'{counted(objects, "object")}; the published set has {PUBLISHED_OBJECTS:,}'
  published = 'the published objects; where they were split at random, compare means over splits'
  return {'published': not why, 'why': why or published}


def notes(report: Mapping[str, Any]) -> list[str]:
  """Notes for the reader at the end of the build."""
  found = [INVENTED] if report['drawn'] else []
  for key, (what, how) in (
    ('pictures_without_record', ('picture', 'without XML')),
    ('records_without_picture', ('XML file', 'without picture')),
    ('records_of_another_number', ('XML file', 'about another object number than its name')),
    ('numbers_used_twice', ('object number', 'used by several records')),
  ):
    if report[key]:
      found.append(f'{counted(len(report[key]), what)} {how}, such as {next(iter(report[key]))}.')
  for reason, those in report['records_refused'].items():
    found.append(f'{counted(len(those), "XML file")} refused: {reason}, such as {those[0]}.')
  for what, count in report['records_repaired'].items():
    found.append(f'{counted(count, "XML file")} repaired: {what}.')
  if excluded := report['excluded']:
    reasons = ', '.join(f'{count:,} {reason}' for reason, count in excluded.items())
    found.append(f'{counted(sum(excluded.values()), "object")} left out: {reasons}.')
  unknown = report['creators']['unknown_roles']
  if unknown:
    found.append(
      f'{counted(len(unknown), "creator role")} not in the table, treated as makers: '
      + ', '.join(list(unknown)[:5])
      + '.'
    )
  if report['groups']['split_by_group']:
    found += note(report['copies'], tie='')
  siblings = report['siblings_in_train']
  found.append(
    f'{siblings["leaked"]:,} of {siblings["test"]:,} test objects ({siblings["share"]:.1%}) have '
    'a part of the same object, or an equal picture, in train.'
  )
  verdict = report['comparable']
  may = 'May' if verdict['published'] else 'May not'
  found.append(f'{may} be compared with published numbers: {verdict["why"]}.')
  return found


def _tasks(outcome: protocols.Outcome) -> dict[str, Any]:
  described = {}
  for task, names in outcome.classes.items():
    values = [one[task] for one in outcome.labels.values()]
    train = Counter(
      name
      for stem in outcome.splits.get('train', ())
      for name in _listed(outcome.labels[stem][task])
    )
    vocabulary = labels.vocabulary(values)
    counts = {name: vocabulary.counts.get(name, 0) for name in names}
    dropped = outcome.dropped.get(task, {})
    about = labels.describe(values, labels.Vocabulary(tuple(names), counts, dropped))
    about['counts'] = counts
    about['train_counts'] = {name: train[name] for name in names}
    described[task] = about
  return described


def _listed(value: protocols.Label) -> tuple[str, ...]:
  return value if isinstance(value, tuple) else (value,) if value else ()


def _creators(records: survey.Records) -> dict[str, Any]:
  """Every role and qualifier met, and how many objects are anonymous."""
  roles: Counter[str] = Counter()
  qualifiers: Counter[str] = Counter()
  unknown: Counter[str] = Counter()
  anonymous = distanced = published = without = 0
  for record in records.by_stem.values():
    creators = [parse(text) for text in record.creators]
    without += not creators
    if creators:
      anonymous += creators[0].anonymous
      distanced += creators[0].distanced and not creators[0].anonymous
      published += creators[0].role in PUBLISHERS
    for creator in creators:
      roles[creator.role or '(none)'] += 1
      if creator.qualifier:
        qualifiers[creator.qualifier] += 1
      if not creator.known_role:
        unknown[creator.role] += 1
  return {
    'first_anonymous': anonymous,
    'first_distanced': distanced,
    'first_publisher': published,
    'without_creator': without,
    'roles': dict(roles.most_common()),
    'qualifiers': dict(qualifiers.most_common()),
    'unknown_roles': dict(unknown.most_common()),
  }


def _twice(layout: Layout) -> dict[str, list[str]]:
  """Object numbers with several stems."""
  stems: dict[str, list[str]] = {}
  for stem in layout.stems:
    stems.setdefault(object_number(stem), []).append(stem)
  return {number: those for number, those in stems.items() if len(those) > 1}


def _largest(groups: Mapping[str, str]) -> dict[str, Any]:
  name, count = Counter(groups.values()).most_common(1)[0]
  return {'group': name, 'records': count}


def _list(config: configs.RijksConfig, layout: Layout, records: survey.Records) -> dict[str, Any]:
  """How the list fits the museum: missing objects, and labels that differ from the records'."""
  listed = config.objects
  assert listed is not None
  there = set(layout.stems)
  differ: dict[str, list[str]] = {}
  for stem in listed.stems:
    record = records.by_stem.get(stem)
    for task, label in listed.labels[stem].items():
      own = {'type': record.types, 'material': record.materials}.get(task) if record else None
      if own is not None and label and label not in own:
        differ.setdefault(task, []).append(stem)
  return {
    'name': listed.name,
    'sha256': listed.digest,
    'stems': len(listed.stems),
    'not_in_the_museum': [stem for stem in listed.stems if stem not in there],
    'labels_that_differ': differ,
    'has_splits': listed.splits is not None,
  }
