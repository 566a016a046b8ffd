"""The answers on val that thresholds are chosen from, kept with the checkpoint: from them another
precision than 90 % gets its threshold, without the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flaxart.evaluation.calibration import Calibration, calibrated, find_threshold
from flaxart.machine import form
from flaxart.machine.files import read_object
from flaxart.tasks.task import Task
from flaxart.workdir import manifest
from flaxart.workdir.manifest import CALIBRATION, FOLDER
from tfds_rijks.errors import UserError

FILE = 'val_answers.json'
LEAST_P = 0.01  # less likely names, of the many of a task with several labels, are never given
FORM = form.each(form.fields({'p': form.listed(form.number), 'right': form.text}))
Answers = dict[str, dict[str, Any]]


def collect(
  tasks: Sequence[Task],
  found: Mapping[str, Mapping[str, np.ndarray]],
  labels: Mapping[str, np.ndarray],
  fitted: Calibration,
) -> Answers:
  """For each calibrated task the possible answers for labelled records, by falling probability.

  `p` calibrated, from `LEAST_P`; `right` a text of 0 and 1. Arguments as of `calibration.fit`.
  """
  result = {}
  for task in tasks:
    if task.name not in fitted:
      continue
    known = task.is_labelled(labels[task.name])
    logits, truth = found[task.name]['logits'][known], labels[task.name][known]
    p, right = task.possible(calibrated(task, logits, fitted[task.name]['temperature']), truth)
    order = np.argsort(-p, kind='stable')
    order = order[p[order] >= LEAST_P]  # not so for NaN
    result[task.name] = {
      'p': p[order].tolist(),
      'right': ''.join('1' if one else '0' for one in right[order]),
    }
  return result


def at_precision(workdir: Path, fitted: Calibration, precision: float, *, step: int) -> Calibration:
  """The calibration with thresholds for another precision, a fraction.

  Raises `UserError` for a run without calibration, or of a version that kept no answers.
  """
  if not fitted:
    raise UserError(
      f'--precision={precision}: {workdir} has no calibration for step {step}, as the run has no '
      'val split or is not finished; leave the option out'
    )
  if all(entry['precision'] == precision for entry in fitted.values()):
    return fitted
  answers = read(workdir, step=step)
  for name in fitted:
    if name not in answers:
      raise UserError(f'--precision: {workdir} keeps no answers of {name}; leave the option out')
  return {name: _entry(entry, answers[name], precision) for name, entry in fitted.items()}


def read(workdir: Path, *, step: int) -> Answers:
  """The answers sealed with checkpoint `step`; `UserError` if it has none, or is damaged."""
  folder = workdir / FOLDER / str(step) / CALIBRATION
  if not (folder / FILE).exists():
    raise UserError(
      f'--precision: {workdir} was trained by an earlier flaxart, which kept no {FILE} to choose '
      'another threshold from; leave the option out, or train again'
    )
  manifest.check(folder)
  found = read_object(folder / FILE, form=FORM)
  for name, of_task in found.items():
    if len(of_task['p']) != len(of_task['right']) or set(of_task['right']) - {'0', '1'}:
      raise UserError(f'{folder / FILE}: is damaged ({name}); restore it from a copy')
  return found


def _entry(
  entry: Mapping[str, Any], answers: Mapping[str, Any], precision: float
) -> dict[str, Any]:
  p, right = np.array(answers['p']), np.array([one == '1' for one in answers['right']], bool)
  threshold = find_threshold(p, right, precision)
  given = p >= threshold if threshold is not None else np.zeros(len(p), bool)
  return {
    **{name: value for name, value in entry.items() if name != 'val_coverage'},
    'precision': precision,
    'threshold': threshold,
    'val_names': int(given.sum()),
    'val_precision': float(right[given].mean()) if given.any() else None,
  }
