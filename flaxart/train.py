"""Training, from config to `results.json`: read it from top to bottom."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from flaxart.config import flat
from flaxart.config_checks import out_of_reach, validate
from flaxart.data.prepared import is_missing, prepare_if_missing, stand_in
from flaxart.data.source import Dataset, open_dataset
from flaxart.evaluation import calibration, closing, results, val_answers
from flaxart.evaluation.evaluate import evaluate
from flaxart.evaluation.provenance import provenance
from flaxart.logs.metric_writer import MetricWriter, flat_scores
from flaxart.logs.overview import parameter_table
from flaxart.logs.profile import StepTrace
from flaxart.logs.throughput import Throughput, note_start
from flaxart.machine import processes
from flaxart.machine.agreement import agree, installed
from flaxart.machine.interrupt import Interrupt
from flaxart.machine.log import log
from flaxart.machine.sharding import Flat, check_batch_size
from flaxart.network.image_size import with_image_size
from flaxart.network.state import TrainState
from flaxart.off_the_shelf import probe
from flaxart.tasks.kinds import tasks_from_features
from flaxart.tasks.task import Task
from flaxart.training.initial_trunk import initial_trunk
from flaxart.training.intervals import Intervals
from flaxart.training.network_trainer import NetworkTrainer
from flaxart.training.run import Run, create_run
from flaxart.training.session import OnStep, Session, no_action
from flaxart.training.steps import Steps
from flaxart.training.validation import is_over, judged, shown
from flaxart.workdir import finished, identity, run_folder
from flaxart.workdir.checkpoint import Checkpointer
from flaxart.workdir.class_names import by_class_name
from tfds_rijks.errors import UserError
from tfds_rijks.words import counted


def train_and_evaluate(
  config: ConfigDict,
  workdir: Path,
  *,
  dry_run: bool = False,
  fallback: bool = False,
  remap_classes: bool = False,
  on_step: OnStep = no_action,
) -> dict[str, Any] | None:
  """Trains as `config` says, keeps the best checkpoint by the val split, tests it once at the end.

  Returns the content of `results.json`; None after a dry run, which leaves no trace. A workdir that
  holds a run of the same config is continued from its latest checkpoint (the latest intact one with
  `fallback`), on the data it was begun with (with `remap_classes` on other data, matching classes
  by name). `on_step` is called with the number of each step once it is dispatched (of the last one
  of a pass, where heads are trained on stored features); what it raises ends the run, which
  continues from its latest checkpoint when started again. Raises `StoppedError` after SIGTERM or
  Ctrl-C, once the state is saved.
  """
  settings = validate(config)
  parts = config.train.accumulate if config.parallelism == 'shard_map' else 1
  check_batch_size(config.train.batch_size, field='train.batch_size', parts=parts)
  config = run_folder.check(workdir, config)
  here = {f'config.{field}': value for field, value in flat(config).items()}
  del here['config.data.data_dir']  # may be mounted elsewhere
  agree('settings', here | installed(), wait_s=60)
  if (summary := finished.of_finished(workdir)) is not None:
    log.info('%s: is finished; give another --workdir for a new run', workdir)
    tasks = run_folder.read_run(workdir)[1]
    print(results.table(summary, tasks), flush=True)
    closing.say(workdir, config, tasks)
    return summary
  run_folder.check_trains(workdir)

  # The data: tasks, classes and sizes come from the prepared dataset alone.
  if dry_run and is_missing(config):
    with tempfile.TemporaryDirectory() as folder:
      return train_and_evaluate(stand_in(config, Path(folder)), workdir, dry_run=True)
  if not dry_run:
    prepare_if_missing(config)
  dataset = open_dataset(config.data.dataset, data_dir=config.data.data_dir, tasks=settings.tasks)
  tasks = [
    task.fitted(dataset.split('train').labels[task.name])
    for task in tasks_from_features(dataset.features, settings.task_weights)
  ]
  agree('data', identity.facts(dataset, tasks), wait_s=600)
  check_labelled(tasks, dataset)
  check_val(config, dataset)
  if remap_classes and run_folder.is_run(workdir):
    tasks = run_folder.read_run(workdir)[1]
    dataset = by_class_name(dataset, tasks)
  else:
    identity.check_dataset(workdir, dataset)
    identity.check_labels(workdir, tasks, dataset)

  # The network, from scratch or with an existing trunk.
  trunk = initial_trunk(config, workdir)
  config = with_image_size(config, trunk.about)
  run, state = create_run(config, settings, workdir, dataset, tasks, trunk)
  for missed in out_of_reach(
    config, settings, steps=run.steps, steps_per_epoch=run.steps_per_epoch
  ):
    log.warning('%s', missed)
  log.info('%s', parameter_table(state))

  # A frozen trunk sees the pictures once; then only heads are trained.
  trainer: NetworkTrainer | probe.Probe
  if probe.applies(config):
    trainer = probe.Probe(run, state)
  else:
    trainer = NetworkTrainer(run, state, dry_run=dry_run)

  # An estimate from measured steps, before anything is written.
  trainer.announce(state, dry_run=dry_run)
  if dry_run:
    return None

  command = run_folder.continue_command(workdir, remap_classes=remap_classes)
  with (
    run_folder.held(workdir, config, tasks, dataset, spec=trunk.spec, about=trunk.about),
    Checkpointer(
      workdir, fallback=fallback, asynchronous=config.checkpoint.asynchronous
    ) as checkpointer,
    Interrupt(
      command=command,
      client=processes.client(),
      process=jax.process_index(),
      processes=jax.process_count(),
    ) as interrupt,
  ):
    log.info('to continue this run:\n  %s', command)
    # Where to start from? 1. the latest checkpoint of this workdir, if there is one; else a new
    # run, whose trunk came from 2. another run, 3. converted ImageNet weights, or 4. scratch.
    start = checkpointer.latest_step() or 0
    if start:
      state = checkpointer.restore(start, trainer.shapes_of(start), mesh=run.mesh)
      log.info('continuing after step %d of %d', start, trainer.steps)
    writer = MetricWriter(workdir, step=start, tensorboard=config.log.tensorboard)
    throughput = Throughput(writer, note_start(workdir, start))
    session = Session(checkpointer, writer, throughput, interrupt, start, on_step)
    last = trainer.train(session, state, train)
    checkpointer.wait()

    # The test split is used once, with the checkpoint that val chose.
    best = checkpointer.best_step()
    assert best is not None  # the last step is always saved
    state = checkpointer.restore(best, trainer.shapes_of(best), mesh=run.mesh)
    network, tested, data = trainer.to_test(state)
    summary = results.collect(config, network, tested.evaluated(), data, workdir=workdir)
    answers = {val_answers.FILE: summary.pop('val_answers')}
    calibration.write(workdir, summary['calibration'], step=best, beside=answers)
    summary['train'] = {**trainer.train_entry(session, best), 'best_step': best}
    summary['provenance'] = provenance(config, dataset, trunk.about)
    for split in ('val', 'test'):
      if split in summary:
        writer.write(last, f'best_{split}', flat_scores(summary[split]))
    writer.close()
    closing.write(workdir, config, tasks, summary)
    results.write(workdir, summary)
    if not config.checkpoint.keep_optimizer:
      checkpointer.keep_only(best)
  print(results.table(summary, tasks), flush=True)
  closing.say(workdir, config, tasks)
  return summary


def train(run: Run, session: Session, steps: Steps, state: TrainState) -> TrainState:
  """The loop: trains from the step of `state` to the end, evaluates and saves when due.

  `steps` takes one step on pictures or many on features at a time; `state` is donated. Raises
  `StoppedError` after SIGTERM or Ctrl-C, once the state is saved, and `NonFiniteError` if a loss
  ends the run.
  """
  due, over = Intervals.of(run), is_over(run, state)
  done, flat = int(state.step), Flat.of(state)
  with StepTrace(run.settings.profile, run.workdir) as trace:
    while not over:
      flat, done = steps.advance(flat, done, trace)
      session.on_step(session.offset + done)
      over, evaluates, saves = done == run.steps, due.evaluates(done), due.saves(done)
      stops = session.stop_requested(done) and not over
      if not (evaluates or saves or stops):
        continue
      state = flat.whole()
      steps.meter.settle(done, state)
      score = None
      if evaluates and 'val' in run.dataset.splits:
        val = run.dataset.split('val')
        scores = evaluate(run.network, state.evaluated(), val, run.config)
        session.write(done, 'val', flat_scores(scores))
        state, score = judged(run, state, scores)
        steps.meter.val = shown(run, scores, score)
        over = is_over(run, state)
      worth_saving = evaluates and steps.scored(done, score)
      if worth_saving or saves or over or stops:
        session.checkpointer.save(steps.stored(state), score=score)
      if stops:
        session.checkpointer.wait()
        raise session.stopped(done, run)
      flat = Flat.of(state)
      steps.meter.resume_clock()
  steps.meter.close()
  if done < run.steps:
    log.info(
      'stopped early at step %d of %d: the val loss has not fallen for %s',
      done,
      run.steps,
      counted(run.config.train.early_stop_patience, 'evaluation'),
    )
  return state


def check_labelled(tasks: list[Task], dataset: Dataset) -> None:
  """Raises `UserError` for a task without labels in the training split; in others it has no
  scores."""
  for task in tasks:
    for name, split in dataset.splits.items():
      if task.is_labelled(split.labels[task.name]).any():
        continue
      if name == 'train':
        raise UserError(
          f'config.tasks: no record of the training split has a label for {task.name!r}; leave the '
          'task out'
        )
      log.warning('no record of the %s split has a label for %s: no scores there', name, task.name)


def check_val(config: ConfigDict, dataset: Dataset) -> None:
  """Raises `UserError` for settings that need a val split if there is none."""
  for field, asked in (
    ('train.early_stop_patience', config.train.early_stop_patience),
    ('optim.schedule=plateau', config.optim.schedule == 'plateau'),
    ('checkpoint.best=loss', config.checkpoint.best == 'loss'),
    ('eval.test=False', not config.eval.test),
  ):
    if asked and 'val' not in dataset.splits:
      raise UserError(
        f'config.{field}: needs a val split, and {dataset.name} has only '
        f'{", ".join(dataset.splits)}; prepare it with a val split, or use the default'
      )
