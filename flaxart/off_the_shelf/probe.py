"""Off the shelf: a frozen trunk's features are computed once, and heads are trained on them.

For runs in which nothing below the heads can change between epochs (`applies`). The result is a
checkpoint of the whole network, like any other run's. Several optimizers and learning rates
(`config.probe.settings`) are tried in turn on the same features; val chooses which one is tested
and kept.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from flaxart.config import default_config
from flaxart.data.source import Dataset
from flaxart.machine.log import log
from flaxart.machine.sharding import replicated
from flaxart.network.over_features import over_features
from flaxart.network.state import Network, TrainState
from flaxart.off_the_shelf.extractor import Extractor
from flaxart.off_the_shelf.feature_batches import train_data, with_features
from flaxart.off_the_shelf.feature_cache import Features
from flaxart.off_the_shelf.head_steps import HeadSteps
from flaxart.off_the_shelf.passes import Passes, with_optimizer
from flaxart.off_the_shelf.selection import Selection, check_choice
from flaxart.settings import Trial
from flaxart.training.estimate import announce
from flaxart.training.nonfinite import NonFiniteError
from flaxart.training.optim import create_learning_rate_fn, create_optimizer
from flaxart.training.run import Run
from flaxart.training.session import Session
from flaxart.training.steps import Loop
from flaxart.workdir.manifest import FOLDER, steps_in
from tfds_rijks.errors import UserError
from tfds_rijks.progress import duration
from tfds_rijks.words import counted

MEASURED_STEPS = 20


def applies(config: ConfigDict) -> bool:
  """Whether features of this run never change: a frozen trunk, and the same pictures every epoch.
  Raises `UserError` if they change and `config.probe.settings` has several settings.
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
      f'config.probe.settings: {config.probe.settings!r} needs features that never change; found '
      f'{", ".join(moving)}, expected trainable=heads without augmentation, or no settings here'
    )
  return not moving


class Probe:
  """A run of heads on features: a trainer like `NetworkTrainer`, for one setting after the other.

  Each setting is a run of its own: it starts from the same heads, with the same order of examples,
  and gives the same as if run alone. Checkpoint `n` is the whole network with the heads of setting
  `(n - 1) // steps of a setting`, like any other run's; with several settings, each one's best
  score is stored beside the optimizer.
  """

  def __init__(self, run: Run, state: TrainState):
    check_choice(run)
    self.run, self.full = run, state
    network, self.heads = over_features(run.network, state)
    self.runs = [of_trial(run, network, trial) for trial in run.settings.trials]
    self.selection = Selection([trial.name for trial in run.settings.trials])
    self.steps = run.steps * len(self.runs)
    self.splits = [
      name
      for name in ('train', 'val', 'test')
      if name in run.dataset.splits and (name != 'test' or run.config.eval.test)
    ]
    self.extracted: dict[str, Features] = {}

  def announce(self, state: TrainState, *, dry_run: bool) -> None:
    """Logs an estimate of the run; seconds are only measured in a dry run."""
    extractor, took = self._extractor(state), ''
    # A run that has checkpoints has its features.
    missing = [] if steps_in(self.run.workdir / FOLDER) else extractor.missing(self.splits)
    extractor.check_room(missing)
    pictures = sum(len(split) for split in missing)
    if dry_run:
      picture_s = extractor.seconds_per_picture(missing[0]) if missing else 0.0
      step_s = self._seconds_per_step(extractor.width)
      seconds = pictures * picture_s + self.steps * step_s
      took = (
        f' ({picture_s:.4f} s a picture and {step_s:.4f} s a step, measured: '
        f'{seconds / 3600:.2f} hours, {duration(seconds)}, and evaluation)'
      )
    what = (
      f'features of {counted(pictures, "picture")} to extract, {counted(self.steps, "step")} of '
      f'{counted(len(self.runs), "setting")} on features{took}; '
      f'{4 * pictures * extractor.width / 1e9:.2f} GB of features in {extractor.folder}'
    )
    announce(what, self.shapes_of(0), self.run.workdir)

  def shapes_of(self, step: int) -> TrainState:
    """The shapes of the arrays in the checkpoint of `step`."""
    number = self._setting(step)
    return self._whole(number, with_optimizer(self.runs[number], self.heads)).shapes()

  def train(self, session: Session, state: TrainState, loop: Loop) -> int:
    """Extracts the features and trains every setting by `loop`; returns the last step.

    `state` is the whole network before its first step, or from a checkpoint. Raises `StoppedError`
    after SIGTERM or Ctrl-C, once the state or the features so far are saved.
    """

    def leave_if_asked(batch: int, kept: str) -> None:
      if session.interrupt.requested(batch):
        raise session.interrupt.error(kept)

    self.full = state
    self.extracted = self._extractor(state).features(self.splits, after_batch=leave_if_asked)
    rows = {name: features.rows for name, features in self.extracted.items()}
    dataset = with_features(self.run.dataset, rows)
    first, last = self._setting(session.start), 0
    for number in range(first, len(self.runs)):
      run = dataclasses.replace(self.runs[number], dataset=dataset)
      heads = with_optimizer(self.runs[number], self.heads)
      if number == first and session.start:
        heads = self._resumed(number)
      try:
        last = self._train_one(number, run, session, heads, loop)
      except NonFiniteError as error:
        if len(self.runs) == 1:
          raise
        log.warning('%s drops out: %s', self.selection.names[number], error.found)
        last = number * self.run.steps + error.step
    if len(self.runs) > 1 and not np.isfinite(self.selection.best).any():
      raise UserError(
        'every setting of config.probe.settings dropped out before its first score; lower their '
        'learning rates or set config.optim.clip_norm'
      )
    return last

  def to_test(self, best: TrainState) -> tuple[Network, TrainState, Dataset]:
    """The network to evaluate at the end: the heads of a checkpoint, over features."""
    rows = {name: features.rows for name, features in self.extracted.items()}
    return *over_features(self.run.network, best), with_features(self.run.dataset, rows)

  def train_entry(self, session: Session, best: int) -> dict[str, Any]:
    """The `train` entry of `results.json` if the checkpoint of step `best` was kept. `features`:
    the pictures that passed through the trunk, and the seconds that took, even in an earlier run.
    """
    number, steps = self._setting(best), self.selection.steps
    entry = session.train_entry(
      self.run, steps=int(steps[number]), in_all=int(steps.sum()), settings=len(steps)
    )
    entry['features'] = {
      'pictures': sum(len(features.rows) for features in self.extracted.values()),
      'seconds': round(sum(features.seconds for features in self.extracted.values()), 2),
    }
    by_loss = self.run.config.checkpoint.best == 'loss'
    return entry | (self.selection.entry(number, by_loss=by_loss) if len(steps) > 1 else {})

  def _train_one(
    self, number: int, run: Run, session: Session, heads: TrainState, loop: Loop
  ) -> int:
    """Trains a setting to its end; returns the last step."""
    setting = self.selection.names[number] if len(self.runs) > 1 else ''
    offset = number * run.steps
    mine = dataclasses.replace(session, start=int(heads.step), offset=offset, setting=setting)
    steps = HeadSteps(
      run,
      mine,
      take=functools.partial(self.selection.take, number),
      stored=functools.partial(self._whole, number),
    )
    return offset + int(loop(run, mine, steps, heads).step)

  def _extractor(self, state: TrainState) -> Extractor:
    run = self.run
    return Extractor(run.config, run.network, state, run.dataset, mesh=run.mesh)

  def _setting(self, step: int) -> int:
    """The number of a checkpoint's setting."""
    return max(0, step - 1) // self.run.steps

  def _whole(self, number: int, heads: TrainState) -> TrainState:
    """The content of a setting's checkpoint: the network with its heads."""
    opt_state: Any = heads.opt_state
    if len(self.runs) > 1:
      reached = jax.device_put(self.selection.reached(), replicated(self.run.mesh))
      opt_state = (opt_state, reached)
    average = heads.average and (heads.average[0], self.full.batch_stats)
    return dataclasses.replace(
      self.full,
      step=heads.step + number * self.run.steps,
      trainable=heads.trainable,
      opt_state=opt_state,
      trend=heads.trend,
      average=average,
    )

  def _resumed(self, number: int) -> TrainState:
    """The heads of a setting in the checkpoint that the run continues from."""
    opt_state: Any = self.full.opt_state
    if len(self.runs) > 1:
      opt_state, reached = opt_state
      self.selection.go_on(reached)
    heads = dataclasses.replace(
      self.heads,
      step=self.full.step - number * self.run.steps,
      trainable=self.full.trainable,
      opt_state=opt_state,
      trend=self.full.trend,
      average=self.full.average and (self.full.average[0], self.heads.batch_stats),
    )
    self.selection.steps[number] = int(heads.step)
    return jax.tree.map(jnp.copy, heads)  # apart from `full`

  def _seconds_per_step(self, width: int) -> float:
    """Seconds per step, measured on features of zero."""
    run, split = self.runs[0], self.run.dataset.split('train')
    rows = np.zeros((len(split), width), np.float32)
    data = train_data(dataclasses.replace(split, decoded=rows), mesh=run.mesh)
    passes, state = Passes(run, room=MEASURED_STEPS), with_optimizer(run, self.heads)
    passes.compile(state, data)
    began = time.monotonic()
    passes.train(state, data, np.zeros((MEASURED_STEPS, run.batch_size), np.int32), first=0)
    return (time.monotonic() - began) / MEASURED_STEPS


def of_trial(run: Run, network: Network, trial: Trial) -> Run:
  """The run of one setting: its own optimizer and learning rate, and heads for a network."""
  config = run.config.copy_and_resolve_references()
  config.optim.name, config.optim.learning_rate = trial.optimizer, trial.learning_rate
  config.parallelism = 'jit'  # a pass of steps is compiled as one, over the global batch
  rate = create_learning_rate_fn(config, steps=run.steps, steps_per_epoch=run.steps_per_epoch)
  tx = create_optimizer(config, run.settings, rate)
  network = dataclasses.replace(network, tx=tx)
  return dataclasses.replace(run, config=config, network=network, learning_rate=rate)
