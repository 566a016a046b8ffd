"""The loop over train steps: input, update, evaluation, saving, and every reason to stop."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from flaxart.data.source import Dataset
from flaxart.data.train_input import TrainInput
from flaxart.evaluation.evaluate import evaluate
from flaxart.logs.metric_writer import MetricWriter, flat_scores
from flaxart.logs.profile import StepTrace
from flaxart.logs.throughput import Pace
from flaxart.machine.interrupt import Interrupt
from flaxart.machine.sharding import CompiledStep
from flaxart.network.plateau import after_evaluation, has_stopped
from flaxart.network.state import Network, TrainState
from flaxart.network.unfreeze import phase_at
from flaxart.tasks.scores import main_score
from flaxart.training.nonfinite import Guard
from flaxart.training.step_meter import StepMeter
from flaxart.workdir.checkpoint import Checkpointer


def train_network(
  config: ConfigDict,
  network: Network,
  state: TrainState,
  dataset: Dataset,
  train_steps: Sequence[CompiledStep],
  *,
  train_input: TrainInput,
  workdir: Path,
  checkpointer: Checkpointer,
  writer: MetricWriter,
  pace: Pace,
  interrupt: Interrupt,
  start: int,
  steps: int,
  steps_per_epoch: float,
  traced: range,
  mesh: Mesh,
) -> tuple[dict[str, Any], int, TrainState]:
  """Trains from step `start` on; `state` is used up.

  Returns the `train` entry of `results.json`, the step at which it ended, and the state there.
  Raises `StoppedError` after SIGTERM or Ctrl-C, when the state is saved.
  """
  tasks = list(network.tasks)
  batches = train_input.batches(start)
  guard = Guard(config, passed=writer.passed_over())
  meter = StepMeter(writer, pace, config, guard, start=start, steps=steps)
  every = max(1, round(config.train.eval_every_epochs * steps_per_epoch))

  done, stopped = start, has_stopped(state.watch, config)
  with StepTrace(traced, workdir) as trace:
    while done < steps and not stopped:
      phase = phase_at(network.stages, done, steps_per_epoch=steps_per_epoch)
      batch = train_input.on_devices(meter.next(batches))
      done += 1
      compiles = train_steps[phase].is_new
      with trace.steps(done, done), meter.uncounted() if compiles else contextlib.nullcontext():
        state, metrics = train_steps[phase](state, batch)
      trace.done(done, metrics)
      meter.add(done, metrics)
      evaluates = done % every == 0 or done == steps
      stops = interrupt.requested(done) and done < steps
      between = config.checkpoint.every_steps and done % config.checkpoint.every_steps == 0
      if evaluates or stops or between:
        meter.flush(done)
        guard.check_state(done, state.trainable)
      score = None
      if evaluates and 'val' in dataset.splits:
        scores = evaluate(network, state.evaluated(), dataset.split('val'), config, mesh=mesh)
        writer.write(done, 'val', flat_scores(scores))
        loss = float(np.sum([t.weight * (scores[t.name]['loss'] or 0) for t in tasks]))
        by_rule = {'score': main_score(scores, tasks), 'loss': -loss, 'last': None}
        score = by_rule[config.checkpoint.best]
        state = dataclasses.replace(state, watch=after_evaluation(state.watch, loss, config))
        stopped = has_stopped(state.watch, config)
        meter.note = f'val {main_score(scores, tasks):.3f}'
      if evaluates or stops or between:
        checkpointer.save(state, score=score)
        meter.resume_clock()
      if stops:
        checkpointer.wait()
        raise interrupt.error(f'step {done} of {steps}')
  meter.close()
  return meter.summary(done, steps_per_epoch=steps_per_epoch), done, state
