"""The cost of training, and the matched comparison: one network for all tasks against one per
task."""

from __future__ import annotations

from typing import Any

from flaxart.report.figures.figure2 import Match
from flaxart.report.html.markup import Html, join, table, tag
from flaxart.report.html.score_tables import MISSING, difference_cells, percent
from flaxart.report.numbers.compare import difference
from flaxart.report.numbers.experiments import Experiment, Section
from flaxart.report.numbers.statistics import over_seeds
from tfds_rijks.progress import duration
from tfds_rijks.words import counted


def matched_table(match: Match) -> Html:
  """One network against one per task: scores on the same objects, and their cost."""
  head = [
    'task',
    'one network',
    'one per task',
    'points',
    '95 % over objects',
    'objects',
    'over seeds',
    'matched',
  ]
  rows = []
  for task in match.joint.tasks:
    metric = match.joint.task(task).main
    joint = over_seeds(match.joint.scores(task, metric)).mean
    single = match.single.get(task)
    if single is None:
      rows.append([task, percent(joint), tag('span', 'no finished run', class_='empty'), *[''] * 5])
      continue
    d = difference(match.joint, single, task, metric, axis='tasks')
    alone = over_seeds(single.scores(task, metric)).mean
    cells: list[Any] = list(difference_cells(d)) if d else [MISSING, '', '', '']
    matched = 'yes' if task in match.matched else f'no: {single.label}'
    rows.append([task, percent(joint), percent(alone), *cells, matched])
  name = f'One network for all tasks against one per task: {match.joint.label}'
  return join([table(head, rows, name=name), tag('p', cost_line(match))])


def cost_line(match: Match) -> str:
  """One network's pictures and seconds against the sum of the single-task ones."""
  seen, seconds = _cost(match.joint)
  text = f'Cost of the one network, mean over seeds: {seen:,.0f} pictures, {duration(seconds)}.'
  if set(match.single) != set(match.joint.tasks):
    return f'{text} Some single-task runs are not finished, so there is no sum to compare with.'
  costs = [_cost(single) for single in dict.fromkeys(match.single.values())]
  all_seen, all_seconds = sum(c[0] for c in costs), sum(c[1] for c in costs)
  text += (
    f' Of the {len(costs)} networks together: {all_seen:,.0f} pictures, {duration(all_seconds)}. '
    f'The one network took {100 * seconds / all_seconds:.0f} % of their time.'
  )
  machines = {
    tuple(sorted(map(str, run.provenance.get('hardware', {}).items())))
    for e in (match.joint, *match.single.values())
    for run in e.runs
  }
  if len(machines) > 1:
    text += ' They ran on different hardware, so the times are not comparable.'
  return text


def _cost(experiment: Experiment) -> tuple[float, float]:
  runs = experiment.runs
  return (
    sum(run.images_seen for run in runs) / len(runs),
    sum(run.seconds for run in runs) / len(runs),
  )


def cost_table(section: Section) -> Html:
  """The cost of each experiment, mean over its seeds."""
  rows = []
  for experiment in section.experiments:
    runs = experiment.runs
    seen, seconds = _cost(experiment)
    hardware = {_machine(run.provenance.get('hardware', {})) for run in runs}
    epochs = sum(float(run.train['epochs']) for run in runs) / len(runs)
    rows.append(
      [
        join([experiment.label, tag('small', ', '.join(experiment.tasks))]),
        f'{epochs:.1f}',
        f'{seen:,.0f}',
        duration(seconds),
        f'{seen / seconds:,.1f}' if seconds else '–',
        ', '.join(sorted(hardware)),
      ]
    )
  head = ['experiment', 'epochs', 'pictures seen', 'time', 'pictures/s', 'hardware']
  return table(
    head,
    rows,
    name='Cost of training, without evaluation; including the extraction of features, if any',
  )


def _machine(hardware: dict[str, Any]) -> str:
  if not hardware:
    return 'not recorded'
  kind = hardware.get('device_kind', hardware.get('backend', '?'))
  cores = hardware.get('cores')
  return f'{hardware.get("devices", 1)} x {kind}, {counted(cores, "core") if cores else "? cores"}'
