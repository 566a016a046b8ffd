"""Decide or abstain: how sure a network must be before a name is worth giving.

After training, on val with the best checkpoint, two numbers a task: the temperature that makes its
probabilities mean what they say (Guo et al. 2017, "On Calibration of Modern Neural Networks",
section 4.2: one number, which changes no ranking of classes), and the smallest calibrated
probability above which 90 % of the names given are right. They are stored in `calibration.json`;
`flaxart.predict` names what passes and leaves the rest empty. The threshold was chosen as the best
of many on val, so precision and coverage are optimistic there: read them on test.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import scipy.optimize

from flaxart.machine import form
from flaxart.machine.files import read_object, write_text
from flaxart.tasks.task import Task
from flaxart.workdir import manifest
from flaxart.workdir.checkpoint_folder import add_calibration
from flaxart.workdir.manifest import CALIBRATION, FOLDER, steps_in
from flaxart.workdir.stored_results import read_results
from tfds_rijks import strict_json
from tfds_rijks.errors import UserError

log = logging.getLogger('flaxart')
FILE = 'calibration.json'
PRECISION = 0.9
LEAST = 20  # names given on val; precision over fewer means nothing
TEMPERATURES = (0.05, 20.0)  # range of the search
FORM = form.each(
  form.fields(
    {},
    {
      'temperature': form.positive,
      'threshold': form.maybe(form.number),
      'precision': form.number,
      'n': form.count,
      'val_coverage': form.maybe(form.number),
      'val_precision': form.maybe(form.number),
    },
  )
)
Calibration = dict[str, dict[str, Any]]  # of each task; see `fit`


def fit(
  tasks: Sequence[Task],
  found: Mapping[str, Mapping[str, np.ndarray]],
  labels: Mapping[str, np.ndarray],
) -> Calibration:
  """Temperature and threshold of each task that decides, from the logits of the val split.

  `found[T]['logits']` `[N, C]`, `labels[T]` as in `Split.labels`. An entry holds `temperature`;
  `threshold`, None where 90 % cannot be reached on at least 20 names; `precision`, the target;
  `val_coverage` and `val_precision` at the threshold; `n` labelled records.
  """
  result = {}
  for task in tasks:
    if not task.decides:
      continue
    known = task.is_labelled(labels[task.name])
    logits, truth = found[task.name]['logits'][known], labels[task.name][known]
    entry: dict[str, Any] = {
      'temperature': fit_temperature(task, logits, truth),
      'precision': PRECISION,
      'n': int(known.sum()),
    }
    p, right = task.possible(calibrated(task, logits, entry['temperature']), truth)
    entry['threshold'] = find_threshold(p, right)
    entry['val_coverage'], entry['val_precision'] = decided(task, entry, logits, truth)
    result[task.name] = entry
  return result


def calibrated(task: Task, logits: np.ndarray, temperature: float) -> np.ndarray:
  """`[N, C]` float64 probabilities at a temperature."""
  return task.probabilities(logits.astype(np.float64) / temperature)


def fit_temperature(task: Task, logits: np.ndarray, truth: np.ndarray) -> float:
  """The temperature with the smallest loss; 1 without a record to fit it on."""
  whole = np.isfinite(logits).all(axis=1)
  logits, truth = logits[whole].astype(np.float64), truth[whole]
  if not len(logits):
    return 1.0

  def loss(log_temperature: float) -> float:
    return task.mean_loss(logits * np.exp(-log_temperature), truth)

  low, high = np.log(TEMPERATURES)
  found = scipy.optimize.minimize_scalar(loss, bounds=(low, high), method='bounded')
  return float(np.exp(found.x))


def find_threshold(p: np.ndarray, right: np.ndarray, precision: float = PRECISION) -> float | None:
  """The smallest probability above which `precision` of the answers are right, None if there is
  none with at least `LEAST` answers.
  """
  p, right = p[~np.isnan(p)], right[~np.isnan(p)]
  order = np.argsort(-p, kind='stable')
  p, hits = p[order], np.cumsum(right[order])
  last = np.flatnonzero(np.diff(p, append=-1.0))  # equal probabilities pass together
  enough = (hits[last] / (last + 1) >= precision) & (last + 1 >= LEAST)
  return float(p[last[enough][-1]]) if enough.any() else None


def decided(
  task: Task, entry: Mapping[str, Any] | None, logits: np.ndarray, truth: np.ndarray
) -> tuple[float | None, float | None]:
  """Share of labelled records given a name, and share of those names that are right.

  `logits` and `truth` of labelled records only. None without records, without a threshold, or
  (precision) without names.
  """
  if entry is None or not _has_threshold(task, entry) or not len(truth):
    return None, None
  probabilities = calibrated(task, logits, entry['temperature'])
  p, right = task.possible(probabilities, truth)
  passes = p >= entry['threshold']
  coverage = (probabilities >= entry['threshold']).any(axis=1).mean()
  return float(coverage), float(right[passes].mean()) if passes.any() else None


def _has_threshold(task: Task, entry: Mapping[str, Any]) -> bool:
  """Whether names can be decided; `UserError` if a run from elsewhere lacks what that takes."""
  for field in ('temperature', 'threshold'):
    if field not in entry:
      raise UserError(f'{FILE}: {task.name} lacks {field!r}; restore that file from a copy')
  return entry['threshold'] is not None


def decide(task: Task, entry: Mapping[str, Any] | None, p: np.ndarray) -> list[str]:
  """The names given to one record, from its plain probabilities `[C]`: none, one or several,
  in the order of the classes.
  """
  if not task.decides or entry is None:
    return []
  return decide_calibrated(task, entry, recalibrated(task, entry, p[None])[0])


def decide_calibrated(task: Task, entry: Mapping[str, Any], p: np.ndarray) -> list[str]:
  """The same from calibrated probabilities."""
  return task.decide(p, entry['threshold']) if _has_threshold(task, entry) else []


def recalibrated(task: Task, entry: Mapping[str, Any], p: np.ndarray) -> np.ndarray:
  """`[N, C]` float64 calibrated probabilities, from plain ones."""
  with np.errstate(divide='ignore'):
    logits = task.logits_of(p.astype(np.float64))
  return calibrated(task, logits, entry['temperature'])


def write(
  workdir: Path,
  calibration: Calibration,
  *,
  step: int,
  beside: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
  """Writes `calibration.json`, and a sealed copy into checkpoint `step`; process 0 only.

  `beside` are further JSON files to seal there, by name.
  """
  if jax.process_index() == 0:
    text = strict_json.text(calibration)
    others = {name: strict_json.text(value, indent=None) for name, value in (beside or {}).items()}
    add_calibration(workdir, step, {FILE: text, **others})
    write_text(workdir / FILE, text)


def read(workdir: Path, *, step: int) -> Calibration:
  """The calibration in checkpoint `step`; empty for a run without a val split, or not finished.
  Also empty for another step, whose weights are differently calibrated. Runs finished by earlier
  versions only have the copy in the workdir. Raises `UserError` for a damaged or changed copy.
  """
  path, folder = workdir / FILE, workdir / FOLDER
  fitted = next((s for s in steps_in(folder) if (folder / str(s) / CALIBRATION).exists()), None)
  if fitted is None:
    return _unsealed(workdir, step=step)
  if fitted != step:
    _warn_other_step(path, fitted, step)
    return {}
  sealed = folder / str(step) / CALIBRATION
  manifest.check(sealed)
  found = read_object(sealed / FILE, form=FORM)
  here = read_object(path, form=FORM) if path.exists() else found
  for task in found.keys() | here.keys():
    was, now = (entries.get(task) or {} for entries in (found, here))
    for field in sorted(was.keys() | now.keys()):
      if was.get(field) != now.get(field):
        raise UserError(
          f'{path}: {field} of {task} was {was.get(field)} when it was fitted and is '
          f'{now.get(field)} now; restore that file from {sealed / FILE}'
        )
  return found


def _unsealed(workdir: Path, *, step: int) -> Calibration:
  """The unsealed copy in the workdir of an earlier flaxart, for the step it was fitted on."""
  path, results = workdir / FILE, workdir / 'results.json'
  if not path.exists():
    return {}
  try:
    found = read_object(path, form=FORM)
  except UserError as error:
    raise UserError(f'{error}, or remove it to predict without decisions') from None
  fitted = read_results(workdir)['train'].get('best_step') if results.exists() else step
  if fitted != step:
    _warn_other_step(path, fitted, step)
    return {}
  log.warning('%s: is not sealed (an earlier flaxart wrote it), but used for decisions', path)
  return found


def _warn_other_step(path: Path, fitted: int, step: int) -> None:
  log.warning('%s: was fitted on step %d, not on step %d: no decisions', path, fitted, step)
