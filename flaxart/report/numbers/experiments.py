"""Runs that differ only in the seed are one experiment; experiments on the same test objects form a
section.
"""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flaxart.config import NO_PART
from flaxart.models import cards
from flaxart.report.numbers.runs import MODES, Run
from flaxart.tasks.task import Task


@dataclasses.dataclass(frozen=True, eq=False)
class Experiment:
  """Finished and tested runs with the same data and settings, one per seed, by rising seed.

  `label` is unique in its section; `settings` are those that define it.
  """

  label: str
  settings: dict[str, Any]
  runs: tuple[Run, ...]

  @property
  def first(self) -> Run:
    """The run with the smallest seed, which represents all in pictures and tables."""
    return self.runs[0]

  @property
  def tasks(self) -> list[str]:
    """The tasks of the runs."""
    return self.first.tasks

  @property
  def seeds(self) -> list[int]:
    """The seeds of the runs."""
    return [run.seed for run in self.runs]

  @property
  def weights(self) -> str | None:
    """SHA-256 of the trunk's weights that all seeds start from; None if there are none."""
    return _weights(self.first, self.settings)

  def task(self, name: str) -> Task:
    """One of `tasks`."""
    return self.first.labels[name]

  def scores(self, task: str, name: str, *, split: str = 'test') -> list[float | None]:
    """One score of every run; None if not recorded."""
    return [run.results.get(split, {}).get(task, {}).get(name) for run in self.runs]


@dataclasses.dataclass(frozen=True, eq=False)
class Section:
  """Experiments tested on the same objects, and so comparable."""

  dataset: str
  test_hash: str | None
  experiments: tuple[Experiment, ...]
  candidates: tuple[Run, ...]  # settings tried on val, never tested
  repeated: tuple[Run, ...]  # a repeated seed of an experiment: not counted
  settings: Mapping[Run, dict[str, Any]]  # the defining settings of each run

  @property
  def title(self) -> str:
    """`rijksmuseum/multitask 1.0.0, test split 1a2b3c4d`."""
    return f'{self.dataset}, test split {self.test_hash[:8] if self.test_hash else "none"}'

  @property
  def invented(self) -> bool:
    """Whether flaxart drew the objects of any run."""
    return any(run.invented for run in self.runs)

  @property
  def of_the_museum(self) -> bool:
    """Whether all runs are on the whole Rijksmuseum Challenge."""
    return all(run.of_the_museum for run in self.runs)

  @property
  def tasks(self) -> list[str]:
    """All tasks: material, type, artist in the paper's order, then the others."""
    found = list(dict.fromkeys(task for e in self.experiments for task in e.tasks))
    paper = [task for task in ('material', 'type', 'artist') if task in found]
    return paper + [task for task in found if task not in paper]

  @property
  def runs(self) -> list[Run]:
    """All runs of the section."""
    return [*(run for e in self.experiments for run in e.runs), *self.candidates, *self.repeated]


def sections(runs: Iterable[Run]) -> list[Section]:
  """The runs by test split (most runs first), then by experiment."""
  by_test: dict[Any, list[Run]] = defaultdict(list)
  for run in runs:
    by_test[run.test_key].append(run)
  return [
    _section(key, sorted(group, key=_order))
    for key, group in sorted(by_test.items(), key=lambda item: (-len(item[1]), str(item[0])))
  ]


def main_words(experiments: Iterable[Experiment]) -> str:
  """`accuracy, mean average precision or ...`: the main scores of the experiments' tasks."""
  of_tasks = (e.task(name).main_words for e in experiments for name in e.tasks)
  *first, last = dict.fromkeys(of_tasks)
  return f'{", ".join(first)} or {last}' if first else last


def _section(key: tuple[str, str | None], runs: Sequence[Run]) -> Section:
  groups: dict[Any, dict[int, Run]] = defaultdict(dict)
  repeated = []
  settings = _defining_settings(runs)
  for run in runs:
    if run.is_candidate:
      continue
    members = groups[_identity(run, settings[run])]
    if run.seed in members:
      repeated.append(run)
    else:
      members[run.seed] = run
  chosen = [tuple(members.values()) for members in groups.values()]
  labels = _labels({members[0]: settings[members[0]] for members in chosen})
  return Section(
    dataset=key[0],
    test_hash=key[1],
    experiments=tuple(
      Experiment(label, settings[members[0]], members)
      for label, members in zip(labels, chosen, strict=True)
    ),
    candidates=tuple(run for run in runs if run.is_candidate),
    repeated=tuple(repeated),
    settings=settings,
  )


def _defining_settings(runs: Sequence[Run]) -> dict[Run, dict[str, Any]]:
  """The settings that define each run's experiment, without tasks and seed.

  Runs that each start from a run of their own seed (`init=runs/first_s0`) start alike:
  `runs/first_s*`. A trunk shared by several seeds keeps its name.
  """
  own = {run: {k: v for k, v in run.settings.items() if k not in NO_PART} for run in runs}
  starred = {run: {**own[run], 'init': _of_any_seed(own[run]['init'], run.seed)} for run in runs}
  seeds, inits = defaultdict(set), defaultdict(set)
  for run in runs:
    seeds[run.data_key, repr(own[run])].add(run.seed)
    inits[run.data_key, repr(starred[run])].add(own[run]['init'])
  return {
    run: starred[run]
    if len(seeds[run.data_key, repr(own[run])]) == 1
    and len(inits[run.data_key, repr(starred[run])]) > 1
    else own[run]
    for run in runs
  }


def _of_any_seed(init: str, seed: int) -> str:
  """`runs/first_s*` of `runs/first_s0`; digits within a name are not a seed."""
  return re.sub(rf'(?<![A-Za-z0-9])s{seed}(?![A-Za-z0-9])', 's*', init)


def _identity(run: Run, settings: Mapping[str, Any]) -> tuple[Any, ...]:
  return (
    run.data_key,
    tuple(sorted(run.tasks)),
    tuple((task, run.labels[task].sha256) for task in sorted(run.tasks)),
    _weights(run, settings),
    tuple(sorted((key, str(value)) for key, value in settings.items())),
  )


def _weights(run: Run, settings: Mapping[str, Any]) -> str | None:
  if '*' in settings['init']:  # each seed has its own
    return None
  found: str | None = run.provenance.get('weights', {}).get('sha256')
  return found


def _labels(settings: Mapping[Run, Mapping[str, Any]]) -> list[str]:
  """A short name for each run, followed by what distinguishes equal names."""
  names = {run: base_label(run) for run in settings}
  labels = []
  for run, name in names.items():
    twins = {t: settings[t] for t, its in names.items() if its == name and t is not run}
    labels.append(', '.join([name, *_differences(run, settings[run], twins)]))
  return labels


def _differences(
  run: Run, mine: Mapping[str, Any], twins: Mapping[Run, Mapping[str, Any]]
) -> list[str]:
  fields = [
    key for key, value in mine.items() if any(its.get(key) != value for its in twins.values())
  ]
  parts = [f'{field}={mine[field]}' for field in fields]
  for split in ('train', 'val'):
    sha256 = run.split_hash(split)
    if any(twin.split_hash(split) != sha256 for twin in twins):
      records = run.provenance['splits'].get(split, {}).get('records', 0)
      parts.append(
        f'{split} split {sha256[:8]} ({records:,} records)' if sha256 else f'no {split} split'
      )
  for task in run.tasks:
    classes = run.labels[task].sha256
    if any(task in twin.tasks and twin.labels[task].sha256 != classes for twin in twins):
      parts.append(f'{task} classes {classes[:8]}')
  weights = _weights(run, mine)
  same_init = [twin for twin, its in twins.items() if its['init'] == mine['init']]
  if any(_weights(twin, twins[twin]) != weights for twin in same_init):
    parts.append(f'weights {str(weights)[:8]}')
  if any(set(run.tasks) != set(twin.tasks) and set(run.tasks) & set(twin.tasks) for twin in twins):
    parts.append(f'tasks {"+".join(run.tasks)}')
  return parts


def base_label(run: Run) -> str:
  """`ResNet50, fine-tuned`, with `multi-task` if the tasks share trained weights."""
  parts = [run.network, MODES[run.mode]]
  return ', '.join([*parts, *(['multi-task'] if run.joint else [])])


def _order(run: Run) -> tuple[Any, ...]:
  """The sort key: networks in the order of `cards()`, then others by name; then modes."""
  known = [*cards(), run.model]
  model = known.index(run.model), run.model
  return model, list(MODES).index(run.mode), not run.joint, run.seed, run.name
