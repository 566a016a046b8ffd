"""The state of a training process, from the start of the program to its end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from flaxart.logs.metric_writer import MetricWriter
from flaxart.logs.throughput import Throughput
from flaxart.machine.interrupt import Interrupt, StoppedError
from flaxart.training.run import Run
from flaxart.workdir.checkpoint import Checkpointer

OnStep = Callable[[int], None]


def no_action(step: int) -> None:
  """The `on_step` of a caller who asked for none."""


@dataclasses.dataclass(frozen=True)
class Session:
  """Metrics, checkpoints and signals of a training run that continues after step `start`.

  If several settings are tried in turn, `setting` is the present one and `offset` the steps of
  those before it: steps count from the start of the setting, and are written and saved as steps of
  the whole run.
  """

  checkpointer: Checkpointer
  writer: MetricWriter
  throughput: Throughput
  interrupt: Interrupt
  start: int
  on_step: OnStep = no_action
  offset: int = 0
  setting: str = ''

  def write(self, step: int, split: str, metrics: Mapping[str, Any]) -> None:
    """Appends a line to `metrics.jsonl`."""
    about = {'setting': self.setting, 'setting_step': step} if self.setting else {}
    self.writer.write(self.offset + step, split, metrics, about=about)

  def stop_requested(self, step: int) -> bool:
    """Whether to stop now that `step` is done; all processes get True after the same step."""
    return self.interrupt.requested(self.offset + step)

  def stopped(self, step: int, run: Run) -> StoppedError:
    """The error to raise once the state of `step` is saved."""
    where = f'{self.setting}, ' if self.setting else ''
    return self.interrupt.error(f'{where}step {step} of {run.steps}')

  def train_entry(self, run: Run, *, steps: int, in_all: int, settings: int = 1) -> dict[str, Any]:
    """The `train` entry of `results.json`: `seconds` of all restarts, without evaluation.

    `steps` are those of the kept network, `in_all` those of all `settings` together.
    """
    seconds, pictures = self.throughput.seconds, in_all * run.batch_size
    return {
      'steps': steps,
      'epochs': round(steps / run.steps_per_epoch, 3),
      'images_seen': pictures,
      'seconds': round(seconds, 2),
      'images_per_second': round(pictures / max(seconds, 1e-9), 2),
      'settings_tried': settings,
      'input_wait_seconds': round(self.throughput.waited, 2),
      'starts': max(1, len(self.throughput.starts)),
      **self.throughput.summary(),
    }
