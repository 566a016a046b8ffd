"""NaN in a loss, gradient or update: stop, or drop the update; nothing is lost."""

from __future__ import annotations

import time

import numpy as np
import pytest
from trainer import metric_lines, on_each_batch, set_steps

from flaxart.machine import sharding
from flaxart.train import train_and_evaluate
from flaxart.training import nonfinite
from flaxart.verify import verify
from flaxart.workdir import checkpoint
from tfds_rijks.errors import UserError


def poison(monkeypatch, steps):
  """Makes the labels of the year infinite at these steps, as NaN would count as missing."""
  count = iter(range(1, 10_000))

  def poisoned(batch):
    return {**batch, 'year': np.full_like(batch['year'], np.inf)} if next(count) in steps else batch

  on_each_batch(monkeypatch, poisoned)


def lines_of(run, split='train'):
  return {line['step']: line for line in metric_lines(run) if line['split'] == split}


@pytest.fixture
def with_year(tiny):
  tiny.tasks = 'artist,year'
  set_steps(tiny, 6)
  return tiny


def test_abort_stops_at_the_first_nan_loss(with_year, tmp_path, monkeypatch):
  with_year.checkpoint.every_steps = 2
  poison(monkeypatch, {4})
  with pytest.raises(UserError, match=r'step 4: the loss is inf; earlier checkpoints are intact'):
    train_and_evaluate(with_year, tmp_path / 'run')
  assert set(checkpoint.steps_on_disk(tmp_path / 'run')) == {2}
  assert verify(tmp_path / 'run') == {2: []}


def test_skip_drops_the_update_and_logs_it(with_year, tmp_path, monkeypatch, caplog):
  with_year.train.on_nonfinite = 'skip'
  with_year.checkpoint.every_steps = 4
  poison(monkeypatch, {4})
  with caplog.at_level('WARNING', 'flaxart'):
    train_and_evaluate(with_year, tmp_path / 'run')
  assert 'step 4: the loss is inf: the update was dropped' in caplog.text
  lines = lines_of(tmp_path / 'run')
  assert [step for step in lines if lines[step].get('nonfinite')] == [4]
  assert all(np.isfinite(line['loss']) for step, line in lines.items() if step != 4)


def test_compiling_again_after_a_restart_is_not_training_time(with_year, tmp_path, monkeypatch):
  with_year.checkpoint.every_steps = 2
  with monkeypatch.context() as patch, pytest.raises(UserError, match='step 4: the loss is inf'):
    poison(patch, {4})
    train_and_evaluate(with_year, tmp_path / 'run')
  jitted = sharding._jitted

  def slow(*arguments):
    step, seen = jitted(*arguments), []

    def call(*arguments):
      time.sleep(0 if seen else 6)
      seen.append(1)
      return step(*arguments)

    return call

  monkeypatch.setattr(sharding, '_jitted', slow)
  began = time.monotonic()
  summary = train_and_evaluate(with_year, tmp_path / 'run')
  assert summary['train']['starts'] == 2 and time.monotonic() - began > 6
  assert summary['train']['seconds'] < 6
  assert all(line['step_s'] < 3 for line in lines_of(tmp_path / 'run').values())


def test_an_update_that_overflows_is_dropped_and_counted(with_year, tmp_path, caplog):
  with_year.train.on_nonfinite, with_year.train.max_skipped = 'skip', 2
  with_year.optim.learning_rate, with_year.checkpoint.every_steps = 1e38, 2
  with_year.optim.name, with_year.loss.task_weights = 'sgd', 'year=10000'
  with pytest.raises(UserError, match=r'step 3: the norm of the update is inf, .* number 3'):
    train_and_evaluate(with_year, tmp_path / 'run')
  assert 'step 1: the norm of the update is inf: the update was dropped' in caplog.text
  lines = lines_of(tmp_path / 'run')
  assert [line['nonfinite'] for line in lines.values()] == [1, 1]


def test_skip_ends_when_it_has_skipped_enough(with_year, tmp_path, monkeypatch):
  with_year.train.on_nonfinite, with_year.train.max_skipped = 'skip', 1
  poison(monkeypatch, {2, 3})
  with pytest.raises(UserError, match=r'step 3: .* number 2 and config.train.max_skipped is 1'):
    train_and_evaluate(with_year, tmp_path / 'run')


def test_parameters_that_overflow_are_not_saved(with_year, tmp_path):
  with_year.checkpoint.every_steps, with_year.optim.learning_rate = 1, 1e38
  with_year.optim.name, with_year.loss.task_weights = 'sgd', 'year=10000'
  with pytest.raises(UserError, match=r'step 1: the largest parameter is inf'):
    train_and_evaluate(with_year, tmp_path / 'run')
  assert checkpoint.steps_on_disk(tmp_path / 'run') == {}


def test_all_leaves_are_checked():
  assert nonfinite.all_finite({'a': np.ones(3), 'n': np.ones(2, int)})
  assert not nonfinite.all_finite({'a': np.ones(3), 'b': np.array([1.0, np.nan])})
