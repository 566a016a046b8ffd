"""The published protocols: which objects, which classes, which split. Pure functions of the labels.

Each takes the objects (sorted by stem) and returns an `Outcome`. The README has the rules in words,
with the papers; for ambiguous rules, it and the function have our reading.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tfds_rijks import nobody, splits
from tfds_rijks.rijksmuseum.creators import Attribution, Creator, artist
from tfds_rijks.rijksmuseum.groundtruth import GroundTruth

TASKS = ('artist', 'type', 'material')
FRACTIONS: Mapping[str, float] = {'train': 0.8, 'val': 0.1, 'test': 0.1}
REST = 'rest'
OFFICIAL_MIN_TEST = 10
MULTITASK_MIN = 3
BALANCED_CLASSES, BALANCED_MAX, BALANCED_SEEDS = 30, 1000, range(5)
MAX_YEAR_SPAN = 100  # years; challenge2014 uses only intervals shorter than this

Label = str | tuple[str, ...]  # one label ('' = missing) or several (() = none)


@dataclass(frozen=True)
class Object:
  """An object for a protocol. `group` names the thing that it is a part or a picture of."""

  stem: str
  group: str
  creators: tuple[Creator, ...] = ()
  types: tuple[str, ...] = ()
  materials: tuple[str, ...] = ()


@dataclass
class Outcome:
  """The decisions of a protocol.

  Attributes:
    splits: stems by split.
    labels: per stem the value of each label feature.
    classes: class names by feature, sorted: the class ids.
    excluded: why objects are not in the set, with counts. dropped: classes that the rule dropped,
    by feature: name and number of objects.
  """

  splits: dict[str, list[str]] = field(default_factory=dict)
  labels: dict[str, dict[str, Label]] = field(default_factory=dict)
  classes: dict[str, list[str]] = field(default_factory=dict)
  excluded: Counter[str] = field(default_factory=Counter)
  dropped: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
  """The user's choices for a protocol.

  Attributes:
    attribution: see `creators.artist`.
    seed: of the split, if the protocol does not have its own. listed: True if `--objects` already
    made the selection. splits: the split of a stem if the list gives one.
  """

  attribution: Attribution
  seed: int = 0
  listed: bool = False
  splits: Mapping[str, str] | None = None

  def split(self, stem: str, key: str, *, seed: int | None = None) -> str:
    """The split of `stem`: the list's, else drawn for `key` (a group or a stem)."""
    if self.splits is not None:
      return self.splits[stem]
    seed = self.seed if seed is None else seed
    return splits.assign(key, seed=seed, fractions=FRACTIONS)


def run(
  protocol: str,
  objects: Sequence[Object],
  choice: Choice,
  *,
  stems: Sequence[str],
  truth: GroundTruth | None,
) -> Outcome:
  """Runs a protocol by name; `stems` are the rows of the ground truth, for `challenge2014`."""
  if protocol == 'challenge2014':
    assert truth is not None
    return challenge2014(objects, choice, stems=stems, truth=truth)
  family, _, rest = protocol.partition('_')
  if family == 'eccv2018':
    return eccv2018(objects, choice, task=rest)
  if family == 'balanced30':
    task, _, seed = rest.rpartition('_s')
    return balanced30(objects, choice, task=task, seed=int(seed))
  return {'multitask': multitask, 'full': full}[protocol](objects, choice)


def first(thing: Object, task: str, attribution: Attribution) -> str:
  """The single label: the first value, as in the published single-label sets."""
  if task == 'artist':
    return artist(thing.creators, attribution=attribution)
  values = thing.types if task == 'type' else thing.materials
  return values[0] if values else ''


def _known(thing: Object) -> Object:
  """The object without values such as `onbekend`, which are not classes in this project's
  protocols."""
  types = tuple(name for name in thing.types if not nobody.KNOWN(name))
  materials = tuple(name for name in thing.materials if not nobody.KNOWN(name))
  return replace(thing, types=types, materials=materials)


def full(objects: Sequence[Object], choice: Choice) -> Outcome:
  """Every object with every label; split by group."""
  out = Outcome()
  for thing in map(_known, objects):
    _put(
      out,
      thing.stem,
      choice.split(thing.stem, thing.group),
      {
        'artist': first(thing, 'artist', choice.attribution),
        'type': thing.types,
        'material': thing.materials,
      },
    )
  return _close(out, TASKS)


def multitask(objects: Sequence[Object], choice: Choice) -> Outcome:
  """Objects with all three labels; classes of at least 3 objects after the filter, present in
  train.

  Dropping an object for a rare artist can make its type rare, so the filter runs until nothing
  changes.
  """
  out = Outcome()
  labels: dict[str, dict[str, str]] = {}
  split: dict[str, str] = {}
  for thing in map(_known, objects):
    one = {task: first(thing, task, choice.attribution) for task in TASKS}
    missing = [task for task in TASKS if not one[task]]
    if missing:
      out.excluded[f'no {" and no ".join(missing)}'] += 1
      continue
    labels[thing.stem], split[thing.stem] = one, choice.split(thing.stem, thing.group)
  before = {task: Counter(one[task] for one in labels.values()) for task in TASKS}
  while True:
    counts = {task: Counter(one[task] for one in labels.values()) for task in TASKS}
    train = {
      task: {one[task] for stem, one in labels.items() if split[stem] == 'train'} for task in TASKS
    }
    rare = [
      stem
      for stem, one in labels.items()
      if any(
        counts[task][one[task]] < MULTITASK_MIN or one[task] not in train[task] for task in TASKS
      )
    ]
    if not rare:
      break
    out.excluded['a class that the rule drops'] += len(rare)
    for stem in rare:
      del labels[stem]
  for stem, one in labels.items():
    _put(out, stem, split[stem], dict(one))
  _close(out, TASKS)
  out.dropped = {task: _without(before[task], out.classes[task]) for task in TASKS}
  return out


def eccv2018(objects: Sequence[Object], choice: Choice, *, task: str) -> Outcome:
  """Sabatelli et al. 2018: first label, 80/10/10 by record, classes present in every split."""
  out = Outcome()
  rows = [(thing.stem, first(thing, task, choice.attribution)) for thing in objects]
  labelled = [(stem, label, choice.split(stem, stem)) for stem, label in rows if label]
  if len(rows) > len(labelled):
    out.excluded[f'no {task}'] = len(rows) - len(labelled)
  present = [{label for _, label, split in labelled if split == name} for name in FRACTIONS]
  kept = set.intersection(*present)
  for stem, label, split in labelled:
    if label in kept:
      _put(out, stem, split, {task: label})
    else:
      out.excluded['a class that the rule drops'] += 1
  _close(out, (task,))
  out.dropped = {task: _without(Counter(label for _, label, _ in labelled), kept)}
  return out


def balanced30(objects: Sequence[Object], choice: Choice, *, task: str, seed: int) -> Outcome:
  """Tonkes and Sabatelli 2022: one label, the 30 largest classes, at most 1,000 per class.

  The artist keeps the role (`prentmaker: Jan`), as published. The 1,000 and the split are drawn by
  a hash of (seed, stem): the published sets were drawn at random and only some were released. A
  list (`choice.listed`) is the selection itself.
  """
  out = Outcome()
  labelled: dict[str, str] = {}
  for thing in objects:
    if task == 'artist':
      named = [creator for creator in thing.creators if not creator.anonymous]
      values = tuple(_with_role(creator) for creator in thing.creators)
      if not named or (
        choice.attribution == 'strict' and not artist(thing.creators, attribution='strict')
      ):
        values = ()
    else:
      values = thing.types if task == 'type' else thing.materials
    if len(values) == 1:
      labelled[thing.stem] = values[0]
    else:
      out.excluded[f'several values of {task}' if values else f'no {task}'] += 1
  counts = Counter(labelled.values())
  largest = [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
  kept = set(largest if choice.listed else largest[:BALANCED_CLASSES])
  taken: Counter[str] = Counter()
  for stem in sorted(labelled, key=lambda stem: _draw(seed, stem)):
    label = labelled[stem]
    if label not in kept:
      out.excluded['a class that the rule drops'] += 1
    elif taken[label] >= BALANCED_MAX and not choice.listed:
      out.excluded[f'more than {BALANCED_MAX:,} of its class'] += 1
    else:
      taken[label] += 1
      _put(out, stem, choice.split(stem, stem, seed=seed), {task: label})
  _close(out, (task,))
  out.dropped = {task: _without(counts, kept)}
  return out


def challenge2014(
  objects: Sequence[Object], choice: Choice, *, stems: Sequence[str], truth: GroundTruth
) -> Outcome:
  """Mensink and van Gemert 2014: `gt.set`; classes in all three splits and at least 10 times in
  test.

  The class rule counts every row of the ground truth, even without a picture. Dropped classes
  become the class `rest` (artist, also anonymous ones) or leave the list (type, material). With
  `strict`, a distanced first creator is a missing label instead.
  """
  out = Outcome()
  counted = {
    'artist': _official(truth.splits, [(name,) if name else () for name in truth.creators]),
    'type': _official(truth.splits, truth.types),
    'material': _official(truth.splits, truth.materials),
  }
  row = {stem: i for i, stem in enumerate(stems)}
  for thing in objects:
    i = row[thing.stem]
    name = truth.creators[i] if truth.creators[i] in counted['artist'][0] else REST
    if (
      choice.attribution == 'strict'
      and thing.creators
      and not artist(thing.creators, attribution='strict')
    ):
      name = ''
    split = choice.splits[thing.stem] if choice.splits is not None else truth.splits[i]
    _put(
      out,
      thing.stem,
      split,
      {
        'artist': name,
        'type': tuple(label for label in truth.types[i] if label in counted['type'][0]),
        'material': tuple(label for label in truth.materials[i] if label in counted['material'][0]),
      },
    )
  out.classes = {task: sorted(counted[task][0]) for task in TASKS}
  out.classes['artist'].append(REST)
  out.dropped = {task: counted[task][1] for task in TASKS}
  return _sorted(out)


def _official(
  split: Sequence[str], labels: Sequence[tuple[str, ...]]
) -> tuple[set[str], dict[str, int]]:
  """The classes that the official rule keeps, and those it drops with their counts."""
  by_split: dict[str, Counter[str]] = {name: Counter() for name in FRACTIONS}
  for name, values in zip(split, labels, strict=True):
    by_split[name].update(values)
  every = sum(by_split.values(), Counter())
  kept = {
    label
    for label in every
    if all(by_split[name][label] for name in FRACTIONS)
    and by_split['test'][label] >= OFFICIAL_MIN_TEST
  }
  return kept, _without(every, kept)


def _with_role(creator: Creator) -> str:
  role = ' '.join(part for part in (creator.qualifier, creator.role) if part)
  return f'{role}: {creator.name}' if role else creator.name


def _draw(seed: int, stem: str) -> bytes:
  """A random order that is a pure function of (seed, stem)."""
  return hashlib.sha256(f'balanced30:{seed}:{stem}'.encode()).digest()


def _put(out: Outcome, stem: str, split: str, labels: dict[str, Label]) -> None:
  out.splits.setdefault(split, []).append(stem)
  out.labels[stem] = labels


def _close(out: Outcome, tasks: Iterable[str]) -> Outcome:
  """Collects the class names from the labels."""
  for task in tasks:
    names: set[str] = set()
    for one in out.labels.values():
      value = one[task]
      names.update((value,) if isinstance(value, str) else value)
    out.classes[task] = sorted(names - {''})
  return _sorted(out)


def _sorted(out: Outcome) -> Outcome:
  out.splits = {
    name: sorted(out.splits[name])
    for name in (*FRACTIONS, *sorted(out.splits.keys() - FRACTIONS))
    if out.splits.get(name)
  }
  return out


def _without(counts: Mapping[str, int], kept: Iterable[str]) -> dict[str, int]:
  keep = set(kept)
  return {name: count for name, count in sorted(counts.items()) if name not in keep}
