"""The content of `results.json`: each score beside its baselines, and decisions.

`evaluate` scores the network's answers. Here scores get floor and baselines, coverage and precision
of decisions, and whether the network is less sure of artists that training never saw.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from flaxart.data.source import Dataset
from flaxart.evaluation import calibration, records, val_answers
from flaxart.evaluation.baselines import largest_class, nearest_pixels
from flaxart.evaluation.evaluate import Evaluation, evaluate_records
from flaxart.evaluation.label_only import label_only
from flaxart.machine.files import write_text
from flaxart.machine.log import log
from flaxart.network.state import Network, TrainState
from flaxart.tasks.arithmetic import auroc
from flaxart.tasks.scores import table as table_of
from flaxart.tasks.task import Task
from flaxart.workdir.stored_results import FILE
from tfds_rijks import strict_json, terminal
from tfds_rijks.progress import working
from tfds_rijks.words import counted

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

UNDECIDED = (
  f'- under decided: no name is given, as no threshold made {calibration.PRECISION:.0%} of the '
  'names right on val'
)


@dataclasses.dataclass(frozen=True)
class Assessment:
  """`scores` `{split: {task: scores}}` as in `results.json`, the evaluations behind them, and the
  `calibration` of decisions.
  """

  scores: dict[str, dict[str, dict[str, Any]]]
  evaluations: dict[str, Evaluation]
  calibration: calibration.Calibration


def assess(
  config: ConfigDict,
  network: Network,
  state: TrainState,
  dataset: Dataset,
  names: Sequence[str],
  *,
  stored: calibration.Calibration | None = None,
) -> Assessment:
  """Evaluates the splits `names`; the calibration is `stored`, or else fitted on val."""
  evaluations: dict[str, Evaluation] = {}
  fitted = stored
  for name in names:
    split = dataset.split(name)
    evaluations[name] = evaluate_records(network, state, split, config, keep_logits=True)
    if name == 'val' and fitted is None:
      with working('choosing thresholds on val'):
        fitted = calibration.fit(network.tasks, evaluations[name].found, split.labels)
  fitted = fitted or {}
  scores = {name: evaluations[name].scores for name in names}
  for name in names:
    for task in network.tasks:
      own = scores[name][task.name]
      own |= largest_class(dataset.split('train'), dataset.split(name), task)
      found = evaluations[name].found[task.name]
      own |= decisions(task, fitted.get(task.name), found, dataset.split(name).labels[task.name])
      own |= against_unknown(task, dataset, name, found)
  if config.eval.baselines:
    add_baselines(scores, dataset, network.tasks, config)
  return Assessment(scores, evaluations, fitted)


def decisions(
  task: Task, entry: Mapping[str, Any] | None, found: Mapping[str, np.ndarray], labels: np.ndarray
) -> dict[str, float | None]:
  """`decided_coverage` and `decided_precision` at the threshold that val chose."""
  if not task.decides:
    return {}
  known = task.is_labelled(labels)
  coverage, precision = calibration.decided(task, entry, found['logits'][known], labels[known])
  return {'decided_coverage': coverage, 'decided_precision': precision}


def against_unknown(
  task: Task, dataset: Dataset, name: str, found: Mapping[str, np.ndarray]
) -> dict[str, Any]:
  """`unknown_auroc`: does the plain top probability tell known classes from unknown ones? Unknown
  are records labelled with a class that no training record has, or with a value too rare to be a
  class, if the dataset keeps those (`T_rare`); `unknown_n` is their number. None if there are none.
  """
  sure = task.sureness(found)
  if sure is None:
    return {}
  labels = dataset.split(name).labels[task.name]
  known = task.is_labelled(labels)
  unseen = task.of_classes(labels, never_trained(task, dataset, labels))
  rare = dataset.contexts[name].rare.get(task.name, np.zeros(len(labels), bool))
  unknown = unseen | (~known & rare)
  return {
    'unknown_n': int(unknown.sum()),
    'unknown_auroc': auroc(sure[known & ~unseen], sure[unknown]),
  }


def never_trained(task: Task, dataset: Dataset, labels: np.ndarray) -> np.ndarray:
  """Numbers of the classes in `labels` that no training record has."""
  trained = task.class_counts(dataset.split('train').labels[task.name])
  return np.flatnonzero((task.class_counts(labels) > 0) & (trained == 0))


def warn_never_trained(tasks: Sequence[Task], dataset: Dataset, names: Sequence[str]) -> None:
  """Logs each task and split with classes that training never saw."""
  for name in names:
    for task in tasks:
      if not task.classes:
        continue
      labels = dataset.split(name).labels[task.name]
      unseen = never_trained(task, dataset, labels)
      if len(unseen):
        shown = ', '.join(task.classes[c] for c in unseen[:3]) + ', ...' * (len(unseen) > 3)
        log.warning(
          '%s: %s of the %s split without a training record (%s): %s that cannot be right, and '
          'count as unknown',
          task.name,
          counted(len(unseen), 'class', 'classes'),
          name,
          shown,
          counted(int(task.of_classes(labels, unseen).sum()), 'record'),
        )


def add_baselines(
  scores: Mapping[str, dict[str, dict[str, Any]]],
  dataset: Dataset,
  tasks: Sequence[Task],
  config: ConfigDict,
) -> None:
  """Adds the slower baselines to the scores of each split but train, which would answer itself."""
  names = [name for name in scores if name != 'train']
  if not names or not any(task.one_class for task in tasks):
    return
  with working('what other labels give away'):
    beside = [{name: label_only(dataset, name, tasks) for name in names}]
  if config.eval.test:  # a candidate of a grid is only compared with others, on val
    splits = [dataset.split(name) for name in names]
    with working('nearest training pictures by pixels'):
      beside.append(nearest_pixels(dataset.split('train'), splits, tasks, fit=config.data.fit))
  for baseline in beside:
    for name, of_tasks in baseline.items():
      for task, own in of_tasks.items():
        scores[name][task].update(own)


def collect(
  config: ConfigDict,
  network: Network,
  state: TrainState,
  dataset: Dataset,
  *,
  workdir: Path,
) -> dict[str, Any]:
  """`{split: {task: scores}}` of `state` on val and test, and the `calibration`.

  Beside them `val_answers`, which belong into the checkpoint, not into `results.json`. Writes the
  predictions of each record and tables to the workdir.
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
  answers: val_answers.Answers = {}
  if 'val' in names:
    found, labels = assessed.evaluations['val'].found, dataset.split('val').labels
    answers = val_answers.collect(network.tasks, found, labels, assessed.calibration)
  return {**assessed.scores, 'calibration': assessed.calibration, 'val_answers': answers}


def write(workdir: Path, summary: Mapping[str, Any]) -> None:
  """Writes `results.json`, with null for a score that is not a number; process 0 only."""
  if jax.process_index() == 0:
    write_text(workdir / FILE, strict_json.text(summary))


def table(
  summary: Mapping[str, Any],
  tasks: Sequence[Task],
  split: str = 'test',
  *,
  columns: int | None = None,
) -> str:
  """The scores of a split as text, each beside its floor and baselines.

  As wide as the terminal, unless `columns` says otherwise.
  """
  if split not in summary:
    why = f'no scores of {split}: there is no such split, or config.eval.test=False'
    return (
      f'{why}\n\n{table(summary, tasks, "val", columns=columns)}'
      if 'val' in summary and split != 'val'
      else why
    )
  of_tasks = [(task, summary[split][task.name]) for task in tasks]
  beside = [task.beside(s) for task, s in of_tasks]
  head = list(dict.fromkeys([*HEAD, *(column for own in beside for column in own)]))
  rows = []
  for (task, s), own in zip(of_tasks, beside, strict=True):
    score = f'{percent(s[task.main])} {task.main}'
    if task.in_units and s[task.in_units[0]] is not None:
      score += f', {task.in_units[0]} {s[task.in_units[0]]:.1f}'
    first = [task.name, str(s.get('classes', '')), f'{s["n"]:,}', score]
    more = [percent(own[column]) if column in own else '' for column in head[len(first) :]]
    rows.append(first + more)
  right = [i > 0 for i in range(len(head))]
  columns = columns or terminal.width(sys.stdout)
  text = terminal.table(head, rows, right=right, columns=columns)
  undecided = any('decided' in own and own['decided'] is None for own in beside)
  legend = [terminal.folded(UNDECIDED, columns)] if undecided else []
  invented = ' (invented objects)' * bool(summary.get('provenance', {}).get('invented'))
  title = f'{split} split, best checkpoint{invented}'
  return '\n'.join([title, text, *legend])


def percent(value: float | None) -> str:
  """`51.7 %`, or a dash for a score that does not exist."""
  return '-' if value is None else f'{100 * value:.1f} %'
