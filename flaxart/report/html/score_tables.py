"""Scores, differences and costs as tables of the page; every cell has floor and baselines too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flaxart.report.html.markup import Html, folded, join, table, tag
from flaxart.report.numbers.compare import Cell, Difference
from flaxart.report.numbers.experiments import Experiment, Section, main_words
from flaxart.report.numbers.statistics import OverSeeds
from flaxart.report.tables import Scored, all_scores, settings_tried
from tfds_rijks.words import counted

MISSING = tag('span', 'not recorded', class_='empty')
COUNTS = {'n', 'classes', 'unknown_n'}
UNFOLDED = 12  # pairs


def percent(value: float | None, *, sign: bool = False) -> str:
  """`51.7`, with `sign` `+1.3`; a dash for what does not exist."""
  return '–' if value is None else f'{100 * value:+.1f}' if sign else f'{100 * value:.1f}'


def rows_of(section: Section) -> list[tuple[str, dict[str, Experiment]]]:
  """Experiments with equal settings and data share a row, with one column per task."""
  rows: dict[Any, tuple[str, dict[str, Experiment]]] = {}
  for experiment in section.experiments:
    run = experiment.first
    key: tuple[Any, ...] = (
      run.data_key,
      run.joint and tuple(sorted(run.tasks)),
      experiment.weights,
      repr(experiment.settings),
    )
    # The same head, trained beside others or on other classes.
    while key in rows and set(rows[key][1]) & set(run.tasks):
      key = (*key, tuple(run.tasks))
    _, cells = rows.setdefault(key, (experiment.label, {}))
    cells.update(dict.fromkeys(run.tasks, experiment))
  return list(rows.values())


def main_tables(scored: Scored) -> list[Html]:
  """Tables of experiments by tasks: the main scores, then further ones."""
  tasks = [e.task(name) for e in scored.section.experiments for name in e.tasks]
  words = main_words(scored.section.experiments)
  further = {metric: title for task in tasks for metric, title in task.further.items()}
  return [
    _score_table(scored, None, f'Scores on the test split: {words}'),
    *(_score_table(scored, metric, title) for metric, title in further.items()),
  ]


def _score_table(scored: Scored, metric: str | None, title: str) -> Html:
  section = scored.section
  rows = []
  for label, by_task in rows_of(section):
    cells = [_score(scored, by_task.get(task), task, metric) for task in section.tasks]
    rows.append([_row_name(section, label, by_task), *cells])
  return table(['% of', *section.tasks], rows, name=title)


def _row_name(section: Section, label: str, by_task: dict[str, Experiment]) -> Html:
  experiments = dict.fromkeys(by_task.values())
  seeds = sorted({len(e.seeds) for e in experiments})
  tried = {task: settings_tried(section, e) for task, e in by_task.items()}
  return join(
    [
      label,
      tag('small', f'{" or ".join(map(str, seeds))} seed{"s" if seeds != [1] else ""}'),
      tag('small', _tried(tried)),
    ]
  )


def _tried(by_task: dict[str, int]) -> str:
  if len(set(by_task.values())) > 1:
    return f'settings tried: {", ".join(f"{task} {n}" for task, n in by_task.items())}'
  n = next(iter(by_task.values()))
  return f'{counted(n, "setting")} tried{" for each task" if len(by_task) > 1 else ""}'


def _score(scored: Scored, experiment: Experiment | None, task: str, metric: str | None) -> Html:
  if experiment is None:
    return tag('span', 'no finished run', class_='empty')
  entry = scored.cells.get((experiment, task, metric or experiment.task(task).main))
  if entry is None or entry.seeds.mean is None:
    return MISSING
  return score_cell(entry)


def score_cell(entry: Cell) -> Html:
  """Mean, spread over seeds, interval over objects, floor and baselines, number of objects."""
  seeds = entry.seeds
  if seeds.sd is None:
    spread = 'one seed'
  else:
    spread = (
      f'sd {percent(seeds.sd)}; seeds {percent(seeds.low)} to {percent(seeds.high)} (n={seeds.n})'
    )
  over = (
    f'objects {percent(entry.interval[0])} to {percent(entry.interval[1])}'
    if (entry.interval)
    else 'interval over objects: not recorded'
  )
  floors = ' · '.join(
    f'{name} {percent(value) if value is not None else "not recorded"}'.replace(
      ' ', '\N{NO-BREAK SPACE}'
    )
    for name, value in entry.floors.items()
  )
  objects = f' of {counted(entry.objects, "object")}' if entry.objects is not None else ''
  parts = [spread, over, floors, f'{counted(entry.records, "record")}{objects}']
  return join([tag('b', percent(entry.seeds.mean)), *(tag('small', p) for p in parts if p)])


def difference_table(found: Sequence[Difference]) -> Html:
  """All pairs that differ in one thing; if many, folded by task."""
  if not found:
    return tag('p', 'No two experiments differ in one thing and have recorded predictions.')
  by_task = {d.task: [other for other in found if other.task == d.task] for d in found}
  tables = {task: _pairs(f'{task}: differences on test objects', by_task[task]) for task in by_task}
  if len(found) > UNFOLDED:
    parts = [
      folded(
        f'{task}: {counted(len(pairs), "pair")}, {sum(d.is_clear for d in pairs)} of them clear',
        tables[task],
      )
      for task, pairs in by_task.items()
    ]
  else:
    parts = list(tables.values())
  lucky = 0.05 * len(found)
  note = (
    'Bold, or clear: the interval over objects excludes zero. Intervals are not corrected for '
    f'the number of pairs: of {len(found)} without any difference, '
    f'{"fewer than one" if lucky < 1 else f"about {lucky:.0f}"} would look clear by chance.'
  )
  return join([*parts, tag('p', note, class_='note')])


def _pairs(name: str, found: Sequence[Difference]) -> Html:
  head = ['A minus B', 'differ in', 'points', '95 % over objects', 'objects', 'over seeds']
  rows = [
    [join([d.a.label, tag('small', f'minus {d.b.label}')]), d.axis, *difference_cells(d)]
    for d in found
  ]
  return table(head, rows, name=name)


def difference_cells(d: Difference) -> list[Html]:
  interval = (
    f'{percent(d.interval[0], sign=True)} to {percent(d.interval[1], sign=True)}'
    if d.interval
    else '–'
  )
  return [
    tag('span', percent(d.value, sign=True), class_='clear' if d.is_clear else None),
    tag('span', interval),
    tag('span', f'{d.objects:,}', tag('small', counted(d.records, 'record'))),
    tag('span', _seed_difference(d.seeds)),
  ]


def _seed_difference(seeds: OverSeeds) -> str:
  if seeds.mean is None:
    return 'no common seed'
  if seeds.sd is None:
    return f'{percent(seeds.mean, sign=True)} (one seed)'
  return (
    f'{percent(seeds.mean, sign=True)} [{percent(seeds.low, sign=True)}, '
    f'{percent(seeds.high, sign=True)}], n={seeds.n}'
  )


def score_list(section: Section) -> Html:
  """Every recorded score, folded: mean and standard deviation over the seeds."""
  parts = []
  for task in section.tasks:
    experiments = [e for e in section.experiments if task in e.tasks]
    values = {e: all_scores(e, task) for e in experiments}
    names = list(dict.fromkeys(name for scores in values.values() for name in scores))
    plain = {*COUNTS, 'loss', *experiments[0].task(task).in_units}
    rows = [
      [e.label, *(_cell(name, values[e].get(name), plain) for name in names)] for e in experiments
    ]
    parts.append(table(['experiment', *names], rows, name=f'All test scores of {task}'))
  return folded('All recorded test scores, mean and standard deviation over seeds', *parts)


def _cell(name: str, value: OverSeeds | None, plain: set[str]) -> str:
  if value is None or value.mean is None:
    return '–'
  scale, digits = (1, 0 if name in COUNTS else 2) if name in plain else (100, 1)
  text = f'{scale * value.mean:,.{digits}f}'
  varies = value.sd is not None and name not in COUNTS
  return f'{text} ± {scale * (value.sd or 0):.{digits}f}' if varies else text
