"""Scores of experiments with both intervals, and differences on common objects."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterable
from typing import Any

from flaxart.config import OF_MODE, OF_NETWORK, OF_TASKS
from flaxart.report.numbers.answers import Answers, common, count_groups, read_answers, score_of
from flaxart.report.numbers.experiments import Experiment, Section
from flaxart.report.numbers.statistics import (
  OverSeeds,
  bootstrap,
  difference_of,
  mean_of,
  of_proportion,
  over_seeds,
  value_of,
)
from flaxart.tasks.redrawn import Redrawn
from tfds_rijks.progress import Progress


@dataclasses.dataclass(frozen=True)
class Cell:
  """One score of one experiment on one task; floor and baselines are means over the runs.
  `interval` is from the bootstrap, None if predictions were not recorded; `objects` are test
  groups.
  """

  task: str
  metric: str
  seeds: OverSeeds
  interval: tuple[float, float] | None
  records: int
  objects: int | None
  floors: dict[str, float | None]


@dataclasses.dataclass(frozen=True)
class Difference:
  """`a - b`: `value` with its bootstrap interval on `objects` common test groups, and by seed."""

  task: str
  metric: str
  axis: str
  a: Experiment
  b: Experiment
  value: float
  interval: tuple[float, float] | None
  records: int
  objects: int
  seeds: OverSeeds

  @property
  def is_clear(self) -> bool:
    """Whether the interval over objects excludes zero."""
    return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]


@functools.cache
def answers_of(experiment: Experiment, task: str) -> tuple[Answers, ...] | None:
  """The answers of every run on its test records; None if one run recorded none."""
  found = [read_answers(run, task) for run in experiment.runs]
  return None if any(a is None for a in found) else tuple(a for a in found if a is not None)


def cell(experiment: Experiment, task: str, metric: str) -> Cell:
  """One entry of the main table."""
  scores = experiment.first.results['test'][task]
  by_run = [
    experiment.task(task).floors(metric, run.results['test'][task]) for run in experiment.runs
  ]
  floors = {name: over_seeds([own[name] for own in by_run]).mean for name in by_run[0]}
  answers = answers_of(experiment, task)
  aligned = common(answers) if answers else []
  interval, objects = None, None
  if aligned and len(aligned[0].ids):
    objects = count_groups(aligned[0])
    interval = of_proportion(mean_of([score_of(a, metric) for a in aligned]), objects)
  return Cell(
    task,
    metric,
    over_seeds(experiment.scores(task, metric)),
    interval,
    scores['n'],
    objects,
    floors,
  )


def difference(
  a: Experiment, b: Experiment, task: str, metric: str, *, axis: str = ''
) -> Difference | None:
  """The difference on records that both have with the same label; None without predictions.

  Raises:
    ValueError: the two were not tested on the same objects.
  """
  if a.first.test_key != b.first.test_key:
    raise ValueError(f'{a.label} and {b.label} were tested on different objects')
  of_a, of_b = answers_of(a, task), answers_of(b, task)
  if not of_a or not of_b:
    return None
  aligned = common([*of_a, *of_b])
  if not aligned or not len(aligned[0].ids):
    return None
  groups = count_groups(aligned[0])
  scores: list[Redrawn] = [score_of(answers, metric) for answers in aligned]
  score = difference_of(mean_of(scores[: len(of_a)]), mean_of(scores[len(of_a) :]))
  by_seed = dict(zip(b.seeds, b.scores(task, metric), strict=True))
  pairs = [
    (own, by_seed[seed])
    for seed, own in zip(a.seeds, a.scores(task, metric), strict=True)
    if seed in by_seed
  ]
  return Difference(
    task,
    metric,
    axis,
    a,
    b,
    value_of(score, groups),
    bootstrap(score, groups),
    len(aligned[0].ids),
    groups,
    over_seeds([x - y for x, y in pairs if x is not None and y is not None]),
  )


def differences(section: Section) -> list[Difference]:
  """Differences of all pairs that differ in one thing: network, mode, sharing, or another
  setting."""
  wanted = [
    (a, b, task, axis)
    for task in section.tasks
    for a, b in itertools.combinations([e for e in section.experiments if task in e.tasks], 2)
    if (axis := differs_in(a, b))
  ]
  progress = Progress('comparing experiments', len(wanted), unit='pair')
  found = []
  for i, (a, b, task, axis) in enumerate(wanted, start=1):
    found.append(difference(a, b, task, a.task(task).main, axis=axis))
    progress.update(i)
  progress.close()
  return [d for d in found if d is not None]


def differs_in(a: Experiment, b: Experiment) -> str | None:
  """The only thing in which two experiments differ; None if there are several."""
  left, right = a.first, b.first
  axes = []
  ignored: set[str] = set()
  if left.model != right.model:
    axes.append('network')
    ignored |= OF_NETWORK
  if left.mode != right.mode:
    axes.append('mode')
    ignored |= OF_MODE
  if left.joint != right.joint or (left.joint and set(left.tasks) != set(right.tasks)):
    axes.append('tasks')
    ignored |= OF_TASKS
  fields = [f for f in _changed(a.settings, b.settings) if f not in ignored]
  if left.data_key != right.data_key:
    fields.append('training data')
  elif any(
    left.labels[task].sha256 != right.labels[task].sha256 for task in set(a.tasks) & set(b.tasks)
  ):
    fields.append('classes')
  same_start = left.model == right.model and a.settings['init'] == b.settings['init']
  if same_start and a.weights != b.weights:
    fields.append('weights')
  axes += fields[:2]
  return axes[0] if len(axes) == 1 else None


def _changed(a: dict[str, Any], b: dict[str, Any]) -> Iterable[str]:
  return sorted(key for key in a | b if a.get(key) != b.get(key))
