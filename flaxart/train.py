"""Training, from config to `results.json`: read `train_and_evaluate` from top to bottom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from flaxart.config_checks import out_of_reach, validate
from flaxart.data.cache import cached
from flaxart.data.prepared import prepare_if_missing
from flaxart.data.source import Dataset, open_dataset
from flaxart.data.train_input import TrainInput
from flaxart.evaluation import results
from flaxart.logs.metric_writer import MetricWriter, flat_scores
from flaxart.logs.overview import parameter_table
from flaxart.logs.throughput import Pace, note_start
from flaxart.machine import processes
from flaxart.machine.interrupt import Interrupt
from flaxart.machine.log import log
from flaxart.machine.sharding import check_batch_size, create_mesh
from flaxart.network.state import create_train_state
from flaxart.off_the_shelf import probe
from flaxart.tasks.kinds import tasks_from_features
from flaxart.tasks.label_statistics import labelled_records, with_target_scale
from flaxart.tasks.objective import create_objective
from flaxart.tasks.task import Task
from flaxart.training import estimate
from flaxart.training.initial_trunk import initial_trunk
from flaxart.training.loop import train_network
from flaxart.training.optim import create_learning_rate_fn, create_optimizer
from flaxart.training.step import make_train_step
from flaxart.workdir import finished, identity, run_folder
from flaxart.workdir.checkpoint import Checkpointer
from flaxart.workdir.class_names import by_class_name
from tfds_rijks.errors import UserError


def train_and_evaluate(
  config: ConfigDict,
  workdir: Path,
  *,
  dry_run: bool = False,
  fallback: bool = False,
  remap_classes: bool = False,
) -> dict[str, Any] | None:
  """Trains as `config` says, keeps the best checkpoint by the val split, tests it once at the end.

  Returns what `results.json` holds; None after a dry run, which leaves no trace. A workdir that
  holds a run of the same config is continued from its latest checkpoint (the latest sound one with
  `fallback`), on the data it was begun with (on other data whose classes match by name with
  `remap_classes`). Raises `StoppedError` after SIGTERM or Ctrl-C, when the state is saved.
  """
  settings = validate(config)
  parts = config.train.accumulate if config.parallelism == 'shard_map' else 1
  check_batch_size(config.train.batch_size, field='train.batch_size', parts=parts)
  run_folder.check(workdir, config)
  if (summary := finished.of_finished(workdir)) is not None:
    log.info('%s: is finished; another --workdir begins a new run', workdir)
    print(results.table(summary, run_folder.read_run(workdir)[1]), flush=True)
    return summary
  run_folder.check_continues(workdir)

  # The data: tasks, classes and sizes come from the prepared dataset and are typed nowhere.
  if not prepare_if_missing(config, dry_run=dry_run):
    log.info(
      '%s: not prepared yet; once it is, --dry_run says what training takes', config.data.dataset
    )
    return None
  dataset = open_dataset(config.data.dataset, data_dir=config.data.data_dir, tasks=settings.tasks)
  train_split = dataset.split('train')
  tasks = with_target_scale(
    tasks_from_features(dataset.features, settings.task_weights), train_split
  )
  check_labelled(tasks, dataset)
  check_val(config, dataset)
  if remap_classes and run_folder.is_run(workdir):
    tasks = run_folder.read_run(workdir)[1]
    dataset = by_class_name(dataset, tasks)
    train_split = dataset.split('train')
  else:
    identity.check_dataset(workdir, dataset)
    identity.check_labels(workdir, tasks, dataset)
  steps_per_epoch = len(train_split) / config.train.batch_size
  steps = max(1, round(config.train.epochs * steps_per_epoch))
  for missed in out_of_reach(config, settings, steps=steps, steps_per_epoch=steps_per_epoch):
    log.warning('%s', missed)

  # The network, from scratch or around a trunk that exists.
  mesh = create_mesh()
  learning_rate = create_learning_rate_fn(config, steps=steps, steps_per_epoch=steps_per_epoch)
  begin = initial_trunk(config, workdir)
  network, state = create_train_state(
    config,
    settings,
    tasks,
    create_optimizer(config, settings, learning_rate),
    mesh=mesh,
    trunk=begin,
  )
  objective = create_objective(config, settings, tasks, train_split)
  train_steps = [
    make_train_step(network, config, learning_rate, objective, phase=phase)
    for phase in range(len(settings.stages))
  ]
  log.info('%s', parameter_table(state))

  # A trunk that cannot change goes over the pictures once; only heads are trained from there on.
  heads = None
  if probe.applies(config):
    sizes = {'steps': steps, 'steps_per_epoch': steps_per_epoch}
    heads = probe.Probe(config, settings, network, state, dataset, objective, mesh=mesh, **sizes)
    state = heads.packed(state)

  # What it will take, from measured steps, before anything is written. A run that goes on has been
  # measured, and shall go on at once.
  fed, plan, train_input = dataset, None, None
  if heads:
    plan = heads.plan(state, workdir, dry_run=dry_run)
  else:
    fed, add_pictures = cached(config, dataset, mesh=mesh, dry_run=dry_run)
    train_input = TrainInput(config, fed.split('train'), mesh, add_pictures)
    if dry_run or not run_folder.is_run(workdir):
      plan = estimate.training(
        state,
        train_steps[-1],
        train_input,
        pictures=sum(len(split) for split in dataset.splits.values()),
        steps=steps,
        workdir=workdir,
      )
  if plan:
    for line in filter(None, (plan.cost and plan.cost.line, plan.line)):
      log.info('%s', line)
    plan.refuse_if_too_large()
  if dry_run:
    return None

  command = run_folder.continue_command(workdir, remap_classes=remap_classes)
  with (
    run_folder.held(workdir, config, tasks, dataset, spec=begin.spec, about=begin.about),
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
    log.info('to continue this run: %s', command)
    # Where do I start from? 1. the latest checkpoint of this workdir, if there is one; else a new
    # run, whose trunk came from 2. another run, 3. converted ImageNet weights, or 4. scratch.
    start = checkpointer.latest_step() or 0
    if start:
      state = checkpointer.restore(start, state, mesh=mesh)
      log.info('continuing after step %d of %d', start, steps)
    writer = MetricWriter(workdir, step=start, tensorboard=config.log.tensorboard)
    pace = Pace(writer, note_start(workdir, start))
    if heads:
      train, done = heads.train(
        state,
        workdir=workdir,
        checkpointer=checkpointer,
        writer=writer,
        pace=pace,
        interrupt=interrupt,
        start=start,
      )
    else:
      assert train_input is not None
      train, done, state = train_network(
        config,
        network,
        state,
        fed,
        train_steps,
        train_input=train_input,
        workdir=workdir,
        checkpointer=checkpointer,
        writer=writer,
        pace=pace,
        interrupt=interrupt,
        start=start,
        steps=steps,
        steps_per_epoch=steps_per_epoch,
        traced=settings.profile,
        mesh=mesh,
      )
    if done < steps:
      log.info(
        'stopped early at step %d of %d: the val loss has not fallen for %d evaluations',
        done,
        steps,
        config.train.early_stop_patience,
      )
    checkpointer.wait()

    # The test split is looked at once, with the checkpoint that val chose.
    best = checkpointer.best_step()
    assert best is not None  # the last step is always saved
    state = kept = checkpointer.restore(best, state, mesh=mesh)
    features = None
    if heads:
      train, (network, state), features = heads.finished(train, state)
    summary = results.collect(
      config,
      network,
      state.evaluated(),
      dataset,
      mesh=mesh,
      weights=begin.about,
      train=train,
      best_step=best,
      workdir=workdir,
      features=features,
    )
    for split in ('val', 'test'):
      if split in summary:
        writer.write(done, f'best_{split}', flat_scores(summary[split]))
    writer.close()
    results.write(workdir, summary)
    if not config.checkpoint.keep_optimizer:
      checkpointer.keep_only(kept)
  print(results.table(summary, tasks), flush=True)
  return summary


def check_labelled(tasks: list[Task], dataset: Dataset) -> None:
  """A task without a label in the training split is refused; in another split it has no scores."""
  for task in tasks:
    for name, split in dataset.splits.items():
      if labelled_records(task, split):
        continue
      if name == 'train':
        raise UserError(
          f'config.tasks: no record of the training split has a label for '
          f'{task.name!r}; leave the task out'
        )
      log.warning('no record of the %s split has a label for %s: no scores there', name, task.name)


def check_val(config: ConfigDict, dataset: Dataset) -> None:
  """What goes by the val split cannot be had without one."""
  for field, asked in (
    ('train.early_stop_patience', config.train.early_stop_patience),
    ('optim.schedule=plateau', config.optim.schedule == 'plateau'),
    ('checkpoint.best=loss', config.checkpoint.best == 'loss'),
    ('eval.test=False', not config.eval.test),
  ):
    if asked and 'val' not in dataset.splits:
      raise UserError(
        f'config.{field}: goes by the val split, and {dataset.name} has {", ".join(dataset.splits)}'
        ' only; prepare it with a val split, or leave this setting at its default'
      )
