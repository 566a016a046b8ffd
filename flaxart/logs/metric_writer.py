"""Writes `metrics.jsonl`, TensorBoard events and log lines of a run."""

from __future__ import annotations

import collections
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from flaxart.machine import form
from flaxart.machine.files import write_text
from flaxart.machine.log import log
from flaxart.machine.processes import from_first_process
from tfds_rijks import strict_json

_METRICS = form.each(
  lambda value, at: (
    form.listed(form.scalar)(value, at) if isinstance(value, list) else form.scalar(value, at)
  )
)
_FIELDS = form.fields(
  {'step': form.count, 'split': form.name},
  {
    **dict.fromkeys(('wall_s', 'train_s', 'input_wait_s', 'nonfinite'), form.number),
    'setting': form.name,
    'setting_step': form.count,
  },
)


def check_line(value: Any, at: str) -> None:
  """The form of a line of `metrics.jsonl`: metrics are numbers, or null where one is not."""
  _METRICS(value, at)
  _FIELDS(value, at)


class MetricWriter:
  """One JSON object a line: `step`, `wall_s` (seconds since the run began), `split`, metrics.

  A restarted run drops the lines beyond its checkpoint, which it will write again, and continues
  `wall_s` from the last one kept.
  """

  def __init__(self, workdir: Path, *, step: int, tensorboard: bool):
    self.active = jax.process_index() == 0
    self.path = workdir / 'metrics.jsonl'
    kept = self._keep_up_to(step) if self.active else []
    lines = [strict_json.parse(line, nan_as_none=True) for line in kept]
    self.began = time.monotonic() - (lines[-1].get('wall_s', 0.0) if lines else 0.0)
    self.train_seconds = max((line.get('train_s', 0.0) for line in lines), default=0.0)
    self.input_wait_seconds = max((line.get('input_wait_s', 0.0) for line in lines), default=0.0)
    self.nonfinite: collections.Counter[str] = collections.Counter()  # steps, by setting
    for line in lines:
      self.nonfinite[line.get('setting', '')] += int(line.get('nonfinite', 0))
    self.events = None
    if tensorboard and self.active:
      from tensorboardX import SummaryWriter

      self.events = SummaryWriter(str(workdir), purge_step=step + 1 if step else None)

  def passed_over(self, setting: str = '') -> int:
    """The number of steps skipped in earlier starts, the same on every process."""
    return int(from_first_process(np.int32(self.nonfinite[setting])))

  def write(
    self, step: int, split: str, metrics: Mapping[str, Any], *, about: Mapping[str, Any] = {}
  ) -> None:
    """Appends one line, with the fields `about` it, and events `split/metric`."""
    if not self.active:
      return
    line = {
      'step': step,
      'wall_s': round(time.monotonic() - self.began, 3),
      'split': split,
      **about,
      **metrics,
    }
    with self.path.open('a', encoding='utf-8') as file:
      file.write(strict_json.text(line, indent=None))
    if self.events:
      for name, value in metrics.items():
        if isinstance(value, int | float):
          self.events.add_scalar(f'{split}/{name}', value, step)

  def close(self) -> None:
    """Flushes the events."""
    if self.events:
      self.events.close()

  def _keep_up_to(self, step: int) -> list[str]:
    if not self.path.exists():
      return []
    kept = []
    for line in self.path.read_text(encoding='utf-8', errors='replace').splitlines():
      try:
        entry = strict_json.parse(line, nan_as_none=True)
        check_line(entry, '')
      except ValueError:
        log.warning('%s: dropped a half-written line', self.path)
        continue
      # The scores of the best checkpoint belong to the end, and the run continues.
      if entry['step'] <= step and not entry['split'].startswith('best_'):
        kept.append(line)
    write_text(self.path, ''.join(f'{line}\n' for line in kept))
    return kept


def flat_scores(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
  """`{'artist': {'top1': .5}}` -> `{'artist/top1': .5}`."""
  return {
    f'{task}/{name}': value for task, entry in scores.items() for name, value in entry.items()
  }
