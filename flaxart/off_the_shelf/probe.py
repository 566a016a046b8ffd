"""Off the shelf: a frozen trunk's features are computed once, and heads are trained on them.

For runs in which nothing below the heads can change from one epoch to the next (`applies`). What
comes out is a checkpoint of the whole network, like any other run's. Several optimizers and
learning rates (`config.probe.settings`) share each pass; val chooses which one is tested and kept.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from flaxart.config import default_config
from flaxart.data.order import example_order
from flaxart.data.source import Dataset
from flaxart.logs.metric_writer import MetricWriter
from flaxart.logs.profile import StepTrace
from flaxart.logs.throughput import Pace
from flaxart.machine.interrupt import Interrupt
from flaxart.machine.processes import from_first_process
from flaxart.machine.sharding import device_batch
from flaxart.network.over_features import over_features
from flaxart.network.plateau import has_stopped
from flaxart.network.state import Network, TrainState
from flaxart.off_the_shelf import feature_batches
from flaxart.off_the_shelf.extractor import Extractor
from flaxart.off_the_shelf.selection import Contest, check_choice
from flaxart.off_the_shelf.sweep import Sweep
from flaxart.settings import Settings
from flaxart.tasks.objective import Objective
from flaxart.training import estimate
from flaxart.training.nonfinite import Guard
from flaxart.training.step_meter import train_summary
from flaxart.workdir.checkpoint import Checkpointer, steps_on_disk
from tfds_rijks.errors import UserError
from tfds_rijks.progress import Progress

SAVE_EVERY_S = 60.0  # without a better score; a better one is saved at once


def applies(config: ConfigDict) -> bool:
  """Whether features of this run never change: a frozen trunk, and the same pictures every epoch.

  Raises `UserError` if `config.probe.settings` asks for a sweep where they do.
  """
  still = default_config().augment
  moving = [
    f'config.{field}={value!r}'
    for field, value, moves in (
      ('trainable', config.trainable, config.trainable != 'heads'),
      ('model.bn', config.model.bn, config.model.bn == 'keras2_frozen'),
      ('train.unfreeze', config.train.unfreeze, config.train.unfreeze != ''),
      *((f'augment.{name}', value, value != still[name]) for name, value in config.augment.items()),
    )
    if moves
  ]
  if moving and config.probe.settings:
    raise UserError(
      f'config.probe.settings: {config.probe.settings!r} needs features that stay the same; found '
      f'{", ".join(moving)}: expected trainable=heads without augmentation, or no settings here'
    )
  return not moving


class Probe:
  """One run of heads on features, from its first step to its summary."""

  def __init__(
    self,
    config: ConfigDict,
    settings: Settings,
    network: Network,
    state: TrainState,
    dataset: Dataset,
    objective: Objective,
    *,
    steps: int,
    steps_per_epoch: float,
    mesh: Mesh,
  ):
    self.config, self.network, self.dataset, self.mesh = config, network, dataset, mesh
    self.traced = settings.profile
    self.steps, self.steps_per_epoch, self.batch = steps, steps_per_epoch, config.train.batch_size
    self.sweep = Sweep(
      config,
      settings,
      network,
      state,
      objective=objective,
      steps=steps,
      steps_per_epoch=steps_per_epoch,
      mesh=mesh,
    )
    self.names = [setting.name for setting in self.sweep.settings]
    self.splits = [
      name
      for name in ('train', 'val', 'test')
      if name in dataset.splits and (name != 'test' or config.eval.test)
    ]
    check_choice(config, self.names, network.tasks, dataset)
    self.contest = Contest(config, self.names, network.tasks)
    self.features: dict[str, np.ndarray] = {}
    self.features_s = 0.0

  def packed(self, full: TrainState) -> TrainState:
    """`full` in the form in which this run is stored."""
    return self.sweep.pack(full, leader=0, best=self.contest.best)

  def plan(self, full: TrainState, workdir: Path, *, dry_run: bool) -> estimate.Plan:
    """Pictures, seconds and gigabytes, before anything is written."""
    extractor = Extractor(self.config, self.network, full, self.dataset, mesh=self.mesh)
    # A run that has checkpoints has had its features.
    missing = [] if steps_on_disk(workdir) else extractor.missing(self.splits)
    extractor.check_room(missing)
    picture_s, step_s = None, 0.0
    if dry_run:
      picture_s = extractor.seconds_per_picture(missing[0]) if missing else 0.0
      step_s = self.sweep.seconds_per_step(self.dataset.split('train'), extractor.width, self.batch)
    return estimate.probing(
      full,
      workdir,
      pictures=sum(len(split) for split in missing),
      width=extractor.width,
      cache=extractor.folder,
      steps=self.steps,
      settings=len(self.names),
      picture_s=picture_s,
      step_s=step_s,
    )

  def train(
    self,
    full: TrainState,
    *,
    workdir: Path,
    checkpointer: Checkpointer,
    writer: MetricWriter,
    pace: Pace,
    interrupt: Interrupt,
    start: int,
  ) -> tuple[dict[str, Any], int]:
    """Trains from step `start` on; returns the `train` entry of `results.json` and the last step.

    `full` is the whole network before its first step, or as `checkpointer` restored it. Raises
    `StoppedError` after SIGTERM or Ctrl-C, when the state or the features so far are saved.
    """

    def leave_if_asked(batch: int, kept: str) -> None:
      if interrupt.requested(batch):
        raise interrupt.error(kept)

    extractor = Extractor(self.config, self.network, full, self.dataset, mesh=self.mesh)
    found = extractor.features(self.splits, after_batch=leave_if_asked)
    self.features = {name: features.rows for name, features in found.items()}
    self.features_s = sum(features.seconds for features in found.values())
    contest = self.contest
    guard = Guard(self.config, passed=writer.passed_over())
    contest.go_on(writer.nonfinite)
    contest.best = self.sweep.unpack(full)

    split = self.dataset.split('train')
    data = feature_batches.train_data(split, self.features['train'], mesh=self.mesh)
    val = None
    if 'val' in self.splits:
      val = feature_batches.eval_data(
        self.dataset.split('val'),
        self.features['val'],
        batch_size=device_batch(self.config.eval.batch_size),
        mesh=self.mesh,
      )
    total = self.steps * self.batch
    progress = Progress('training heads', total, unit='img', start=start * self.batch)
    done, saved = start, time.monotonic()
    every = max(1, round(self.config.train.eval_every_epochs * self.steps_per_epoch))
    epoch, saves = max(1, round(self.steps_per_epoch)), self.config.checkpoint.every_steps
    stopped, periods = self._stopped(), (epoch, every, saves)
    room = feature_batches.end_of_pass(0, steps=self.steps, periods=periods)  # no pass is longer
    with StepTrace(self.traced, workdir) as trace:
      while done < self.steps and not stopped:
        stop = feature_batches.end_of_pass(done, steps=self.steps, periods=periods)
        records = example_order(
          len(split),
          first=done * self.batch,
          count=(stop - done) * self.batch,
          seed=self.config.seed,
          shuffle=self.config.data.shuffle,
        ).reshape(stop - done, self.batch)
        self.sweep.compile(data, room=room, batch=self.batch)
        began = time.monotonic()
        with trace.steps(done + 1, stop):
          metrics = self.sweep.train(data, records, first=done * self.batch, room=room)
        trace.done(stop, metrics)
        took = time.monotonic() - began
        contest.check_finite(done, self.sweep.states, metrics, guard)
        line = contest.train_line(metrics)
        line |= pace.line(pictures=records.size, steps=stop - done, seconds=took)
        writer.write(stop, 'train', line)
        done, score, better = stop, None, False
        if val is not None and (done % every == 0 or done == self.steps):
          best = contest.best.max()
          results = self.sweep.evaluate(val, self.dataset.split('val'))
          self.sweep.states, score = contest.judge(self.sweep.states, results, metrics)
          writer.write(done, 'val', contest.val_line(results))
          better, stopped = score is not None and score > best, self._stopped()
          progress.note = f'val {contest.best.max():.3f}'
        stops = interrupt.requested(done) and done < self.steps
        if (
          better
          or stopped
          or stops
          or done == self.steps
          or (saves and done % saves == 0)
          or from_first_process(np.bool_(time.monotonic() - saved > SAVE_EVERY_S))
        ):
          packed = self.sweep.pack(full, leader=contest.leader, best=contest.best)
          checkpointer.save(packed, score=score)
          saved = time.monotonic()
        if stops:
          checkpointer.wait()
          raise interrupt.error(f'step {done} of {self.steps}')
        progress.update(done * self.batch)
    progress.close()
    return self._summary(done, pace), done

  def _stopped(self) -> bool:
    return all(has_stopped(state.watch, self.config) for state in self.sweep.states)

  def _summary(self, done: int, pace: Pace) -> dict[str, Any]:
    """The `train` entry of `results.json`, as any run's, and what the features took.

    `features`: the pictures that went through the trunk, and the seconds that it took when it was
    done, be it in an earlier run.
    """
    summary = train_summary(
      done,
      pace,
      batch=self.batch,
      steps_per_epoch=self.steps_per_epoch,
      settings=len(self.names),
    )
    summary['features'] = {
      'pictures': sum(len(rows) for rows in self.features.values()),
      'seconds': round(self.features_s, 2),
    }
    if len(self.names) > 1:
      summary['settings'] = self.contest.settings()
    return summary

  def finished(
    self, train: dict[str, Any], best: TrainState
  ) -> tuple[dict[str, Any], tuple[Network, TrainState], dict[str, np.ndarray]]:
    """What `results.collect` needs: `train` with the name of the setting in the best checkpoint,
    that checkpoint's heads as a network over features, and the features of each split.
    """
    if len(self.names) > 1:
      train = train | {'setting': self.names[int(self.sweep.unpack(best).argmax())]}
    return train, over_features(self.network, best), self.features
