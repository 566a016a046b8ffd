"""The numbers of the report as `tables.csv` (one line per score) and `tables.json` (everything)."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from typing import Any

from flaxart.report.numbers.compare import Cell, Difference, cell
from flaxart.report.numbers.experiments import Experiment, Section
from flaxart.report.numbers.runs import LeftOut, Run
from flaxart.report.numbers.statistics import DRAWS, LEVEL, over_seeds
from tfds_rijks import strict_json
from tfds_rijks.formulas import defuse
from tfds_rijks.progress import Progress

HEAD = (
  'dataset',
  'test_split',
  'experiment',
  'task',
  'split',
  'metric',
  'seeds',
  'mean',
  'sd',
  'seeds_low',
  'seeds_high',
  'objects_low',
  'objects_high',
  'records',
  'objects',
  'largest_class',
  'pixels16',
  'label_only',
  'settings_tried',
)


@dataclasses.dataclass(frozen=True)
class Scored:
  """A section with its main scores and differences: computed once, shown in several places."""

  section: Section
  cells: dict[tuple[Experiment, str, str], Cell]
  differences: list[Difference]


def score(section: Section, found: list[Difference]) -> Scored:
  """All main scores of a section with their intervals."""
  wanted = [
    (experiment, task, metric)
    for experiment in section.experiments
    for task in experiment.tasks
    for metric in (experiment.task(task).main, *experiment.task(task).further)
  ]
  progress = Progress('scores and their intervals', len(wanted), unit='score')
  cells = {}
  for i, key in enumerate(wanted, start=1):
    cells[key] = cell(*key)
    progress.update(i)
  progress.close()
  return Scored(section, cells, found)


def settings_tried(section: Section, experiment: Experiment) -> int:
  """The number of settings behind one reported score: those of its runs and of candidates of its
  kind. A setting tried with several seeds, or chosen among candidates, counts once.
  """
  first = experiment.first
  tried = {repr(experiment.settings): max(run.settings_tried for run in experiment.runs)}
  for run in section.candidates:
    if (run.model, run.mode, sorted(run.tasks)) == (first.model, first.mode, sorted(first.tasks)):
      tried.setdefault(repr(section.settings[run]), run.settings_tried)
  return sum(tried.values())


def csv_text(scored: Sequence[Scored]) -> str:
  """The table for a spreadsheet; scores that were not recorded are empty cells."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(HEAD)
  for one in scored:
    section = one.section
    for (experiment, task, metric), entry in one.cells.items():
      low, high = entry.interval or (None, None)
      seeds, floors = entry.seeds, entry.floors
      row = (
        section.dataset,
        section.test_hash,
        experiment.label,
        task,
        'test',
        metric,
        seeds.n,
        seeds.mean,
        seeds.sd,
        seeds.low,
        seeds.high,
        low,
        high,
        entry.records,
        entry.objects,
        floors.get('largest class'),
        floors.get('16x16 pixels'),
        floors.get('label-only'),
        settings_tried(section, experiment),
      )
      writer.writerow([defuse(value) if isinstance(value, str) else value for value in row])
  return text.getvalue()


def json_text(scored: Sequence[Scored], left_out: Sequence[LeftOut]) -> str:
  """Everything: scores by run, intervals, differences, class tables, settings, missing runs."""
  content = {
    'bootstrap_draws': DRAWS,
    'level': LEVEL,
    'sections': [_section(one) for one in scored],
    'left_out': [{'run': one.path.name, 'reason': one.reason} for one in left_out],
  }
  return strict_json.text(content)


def _section(one: Scored) -> dict[str, Any]:
  section = one.section
  return {
    'dataset': section.dataset,
    'test_sha256': section.test_hash,
    'experiments': [_experiment(one, experiment) for experiment in section.experiments],
    'differences': [_difference(d) for d in one.differences],
    'candidates': [_run(run) for run in section.candidates],
    'repeated': [run.name for run in section.repeated],
  }


def _experiment(one: Scored, experiment: Experiment) -> dict[str, Any]:
  cells = {
    f'{task}/{metric}': dataclasses.asdict(entry)
    for (its, task, metric), entry in one.cells.items()
    if its is experiment
  }
  return {
    'experiment': experiment.label,
    'tasks': experiment.tasks,
    'settings': experiment.settings,
    'settings_tried': settings_tried(one.section, experiment),
    'scores': cells,
    'runs': [_run(run) for run in experiment.runs],
  }


def _run(run: Run) -> dict[str, Any]:
  return {
    'run': run.name,
    'seed': run.seed,
    'results': run.results,
    'tables': run.tables,
    'calibration': run.calibration,
  }


def _difference(d: Difference) -> dict[str, Any]:
  return {
    'task': d.task,
    'metric': d.metric,
    'differ_in': d.axis,
    'a': d.a.label,
    'b': d.b.label,
    'a_minus_b': d.value,
    'interval': d.interval,
    'records': d.records,
    'objects': d.objects,
    'over_seeds': dataclasses.asdict(d.seeds),
  }


def all_scores(experiment: Experiment, task: str) -> dict[str, Any]:
  """Every recorded test score of a task, over the seeds: `{name: OverSeeds}`, lists left out."""
  names = dict.fromkeys(
    name
    for run in experiment.runs
    for name, value in run.results['test'][task].items()
    if isinstance(value, int | float)
  )
  return {name: over_seeds(experiment.scores(task, name)) for name in names}
