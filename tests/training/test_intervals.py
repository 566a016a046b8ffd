"""When a run evaluates and saves, and decisions after an evaluation."""

from __future__ import annotations

from types import SimpleNamespace

import jax.numpy as jnp
import pytest

from flaxart.config import default_config
from flaxart.network.plateau import ValTrend
from flaxart.network.state import TrainState
from flaxart.tasks.softmax import Softmax
from flaxart.training.intervals import Intervals
from flaxart.training.validation import is_over, judged


def run_of(**fields):
  config = default_config()
  config.update_from_flattened_dict(fields)
  tasks = (Softmax('artist', ('a', 'b')), Softmax('type', ('a', 'b'), weight=0.5))
  return SimpleNamespace(config=config, tasks=tasks, steps=20, steps_per_epoch=8.25)


@pytest.mark.parametrize(
  ('every_epochs', 'every_steps', 'evaluated', 'saved', 'passes'),
  [
    (1.0, 0, [8, 16, 20], [], [8, 16, 20]),
    (0.5, 0, [4, 8, 12, 16, 20], [], [4, 8, 12, 16, 20]),
    (2.0, 5, [16, 20], [5, 10, 15, 20], [5, 8, 10, 15, 16, 20]),
    (1e-9, 0, list(range(1, 21)), [], list(range(1, 21))),
  ],
)
def test_steps_at_which_something_is_due(every_epochs, every_steps, evaluated, saved, passes):
  due = Intervals.of(
    run_of(**{'train.eval_every_epochs': every_epochs, 'checkpoint.every_steps': every_steps})
  )
  steps = range(1, 21)
  assert [step for step in steps if due.evaluates(step)] == evaluated
  assert [step for step in steps if due.saves(step)] == saved
  assert sorted({due.next_after(step) for step in range(20)}) == passes


@pytest.mark.parametrize(
  ('rule', 'step', 'patience', 'score', 'over'),
  [
    ('score', 8, 0, 0.5, False),
    ('loss', 8, 0, -2.5, False),
    ('last', 8, 0, None, False),
    ('last', 20, 0, 0.5, True),
    ('last', 8, 2, 0.5, True),  # the second evaluation without a lower loss
    ('score', 20, 0, 0.5, True),
  ],
)
def test_an_evaluation_decides_about_the_best_checkpoint_and_the_end(
  rule, step, patience, score, over
):
  run = run_of(**{'checkpoint.best': rule, 'train.early_stop_patience': patience})
  scores = {'artist': {'loss': 2.0, 'top1': 0.75}, 'type': {'loss': 1.0, 'top1': 0.25}}
  trend = ValTrend.create().replace(best=jnp.float32(2.5), stale=jnp.int32(1))
  state, found = judged(run, TrainState(jnp.int32(step), *[()] * 4, trend), scores)
  assert found == score and is_over(run, state) is over and int(state.trend.stale) == 2
