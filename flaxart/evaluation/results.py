"""`results.json`: scores on val and test with their floors, and where they come from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from flaxart.data.source import Dataset
from flaxart.evaluation import calibration, records
from flaxart.evaluation.assess import assess, warn_never_trained
from flaxart.machine.files import write_text
from flaxart.network.state import Network, TrainState
from flaxart.tasks.scores import table as table_of
from flaxart.tasks.task import Task
from flaxart.workdir.finished import FILE

HEAD = (
  'task',
  'classes',
  'records',
  'score',
  'largest class',
  '16x16 pixels',
  'label-only',
  'top-5',
  'balanced',
  'decided',
)


def collect(
  config: ConfigDict,
  network: Network,
  state: TrainState,
  dataset: Dataset,
  *,
  workdir: Path,
) -> dict[str, Any]:
  """`{split: {task: scores}}` of `state` on val and test, and the `calibration`.

  Leaves the long form in the workdir: what each record was given, tables, the calibration.
  """
  names = [
    name
    for name in ('val', 'test')
    if name in dataset.splits and (name == 'val' or config.eval.test)
  ]
  warn_never_trained(network.tasks, dataset, names)
  assessed = assess(config, network, state, dataset, names)
  tables = {}
  for name, evaluation in assessed.evaluations.items():
    arrays = records.predictions(dataset.split(name), network.tasks, evaluation.found)
    records.write_predictions(workdir, name, arrays)
    tables[name] = {
      task.name: made
      for task in network.tasks
      if (made := table_of(task, evaluation.counts[task.name]))
    }
  records.write_tables(workdir, tables)
  calibration.write(workdir, assessed.calibration)
  return {**assessed.scores, 'calibration': assessed.calibration}


def write(workdir: Path, summary: Mapping[str, Any]) -> None:
  """Writes `results.json`; process 0 only."""
  if jax.process_index() == 0:
    write_text(workdir / FILE, json.dumps(summary, indent=1, ensure_ascii=False) + '\n')


def table(summary: Mapping[str, Any], tasks: Sequence[Task], split: str = 'test') -> str:
  """The scores of a split as text, each beside its floor: a number alone says nothing."""
  if split not in summary:
    why = f'no scores of {split}: there is no such split, or config.eval.test=False'
    return (
      f'{why}\n\n{table(summary, tasks, "val")}' if 'val' in summary and split != 'val' else why
    )
  of_tasks = [(task, summary[split][task.name]) for task in tasks]
  beside = [task.beside(s) for task, s in of_tasks]
  head = list(dict.fromkeys([*HEAD, *(column for own in beside for column in own)]))
  rows = [head]
  for (task, s), own in zip(of_tasks, beside, strict=True):
    score = f'{percent(s[task.main])} {task.main}'
    if task.in_units and s[task.in_units[0]] is not None:
      score += f', {task.in_units[0]} {s[task.in_units[0]]:.1f}'
    first = [task.name, str(s.get('classes', '')), f'{s["n"]:,}', score]
    more = [percent(own[column]) if column in own else '' for column in head[len(first) :]]
    rows.append(first + more)
  widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
  lines = [
    '  '.join(
      cell.ljust(width) if i == 0 else cell.rjust(width)
      for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    for row in rows
  ]
  return '\n'.join([f'{split} split, best checkpoint', lines[0], '-' * len(lines[0]), *lines[1:]])


def percent(value: float | None) -> str:
  """`51.7 %`, or a dash for a score that does not exist."""
  return '-' if value is None else f'{100 * value:.1f} %'
