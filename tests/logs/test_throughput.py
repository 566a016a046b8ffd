"""Watching a long run: rate, waiting for input, memory, goodput, cost of a step, traces."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest
from tiny_museum import tiny_config

from flaxart.logs.metric_writer import MetricWriter
from flaxart.logs.overview import step_cost
from flaxart.logs.profile import StepTrace
from flaxart.logs.throughput import STARTS, Throughput, note_start
from flaxart.train import train_and_evaluate
from flaxart.training.session import Session
from flaxart.training.step_meter import QUEUED, StepMeter


def writer(workdir, step=0):
  return MetricWriter(workdir, step=step, tensorboard=False)


@pytest.fixture(scope='module')
def watched(tmp_path_factory, collection):
  """A finished run of 8 steps, the third and fourth of which are traced."""
  config = tiny_config(collection)
  config.log.every_steps, config.log.profile = 2, '3:4'
  workdir = tmp_path_factory.mktemp('runs') / 'watched'
  return workdir, config, train_and_evaluate(config, workdir)


def test_metrics_have_rate_waiting_and_memory(watched):
  workdir, config, summary = watched
  lines = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
  train = [line for line in lines if line['split'] == 'train']
  assert len(train) >= 4
  for line in train:
    assert line['step_s'] == pytest.approx(
      config.train.batch_size / line['images_per_second'], rel=0.05
    )
    assert 0 <= line['input_wait'] <= 1 and 0 < line['goodput'] < 1
    assert 0.05 < line['host_memory_gb'] < 100
  assert [line['train_s'] for line in train] == sorted(line['train_s'] for line in train)
  assert summary['train']['starts'] == 1 and 0 < summary['train']['goodput'] < 1
  assert summary['train']['input_wait_seconds'] <= summary['train']['seconds']


def test_chosen_steps_are_traced(watched):
  traces = list((watched[0] / 'profile').rglob('*.xplane.pb'))
  assert len(traces) == 1
  assert b'train_step' in traces[0].read_bytes() or b'PjitFunction' in traces[0].read_bytes()


def test_a_trace_ends_when_the_loop_stops_in_it(tmp_path):
  steps = range(1, 101)
  with pytest.raises(KeyboardInterrupt), StepTrace(steps, tmp_path) as trace, trace.steps(1, 1):
    raise KeyboardInterrupt
  assert list((tmp_path / 'profile').rglob('*.xplane.pb'))
  with StepTrace(steps, tmp_path / 'again') as trace, trace.steps(1, 1):
    pass  # a second trace can begin: the first has ended


def metered(tiny, tmp_path, *, ready):
  """The lines of a meter for two steps, each after 0.1 s for its batch."""

  class Loss(float):
    def is_ready(self):
      return ready

  def batches():
    while True:
      time.sleep(0.1)
      yield None

  source, tiny.log.every_steps = batches(), 100
  own = writer(tmp_path)
  session = Session(None, own, Throughput(own, []), None, 0)
  meter = StepMeter(SimpleNamespace(config=tiny, batch_size=16, steps=9), session)
  meter.pending = [(0, {'loss': Loss(1), 'grad_norm': 1.0})]
  for done in (1, 2):
    meter.next(source)
    meter.add(done, {'loss': Loss(1), 'grad_norm': 1.0})
  meter.flush(2)
  return json.loads((tmp_path / 'metrics.jsonl').read_text())


def test_time_for_input_is_waiting_if_the_devices_were_idle(tiny, tmp_path):
  line = metered(tiny, tmp_path, ready=True)
  assert line['input_wait'] > 0.9 and line['input_wait_s'] == pytest.approx(0.2, abs=0.1)


def test_time_for_input_is_not_waiting_while_the_devices_work(tiny, tmp_path):
  assert metered(tiny, tmp_path, ready=False)['input_wait_s'] == 0


def test_two_batches_at_most_wait_behind_the_step_under_way(tiny, tmp_path):
  finished = []  # a device whose steps end when they are waited for

  class Loss(float):
    def block_until_ready(self):
      finished.append(self)

    def is_ready(self):
      return self in finished

  tiny.log.every_steps, session = 100, Session(None, writer(tmp_path), None, None, 0)
  meter = StepMeter(SimpleNamespace(config=tiny, batch_size=16, steps=9), session)
  for done in range(1, 8):
    meter.next(iter([None]))
    assert done - len(finished) == min(done, 1 + QUEUED)
    meter.add(done, {'loss': Loss(done), 'grad_norm': 1.0})


def test_goodput_counts_from_the_first_start(tmp_path):
  first = writer(tmp_path)
  throughput = Throughput(first, [time.time() - 100])
  line = throughput.line(pictures=10, steps=1, seconds=50.0, waited=10.0)
  assert line['goodput'] == pytest.approx(0.4, abs=0.01)
  first.write(5, 'train', line)
  first.write(9, 'train', throughput.line(pictures=10, steps=1, seconds=30.0))
  # Killed; the checkpoint is of step 5, so the last 30 seconds are lost.
  again = Throughput(writer(tmp_path, step=5), [time.time() - 200, time.time()])
  assert (again.seconds, again.waited) == (50.0, 10.0)
  line = again.line(pictures=10, steps=1, seconds=20.0)
  assert line['goodput'] == pytest.approx((70 - 10) / 200, abs=0.01)
  assert Throughput(again_writer := writer(tmp_path, step=5), []).summary() == {}
  assert again_writer.train_seconds == 50.0


def test_final_scores_are_dropped_when_the_run_continues(tmp_path):
  first = writer(tmp_path)
  first.write(8, 'val', {})
  first.write(8, 'best_val', {})
  writer(tmp_path, step=8)
  lines = [json.loads(x) for x in (tmp_path / 'metrics.jsonl').read_text().splitlines()]
  assert [line['split'] for line in lines] == ['val']


def test_truncated_and_invalid_lines_are_dropped(tmp_path, caplog):
  writer(tmp_path).write(1, 'train', {'train_s': 3.0})
  with (tmp_path / 'metrics.jsonl').open('ab') as file:
    file.write(b'7\n{"wall_s": 1}\n{"step": 1}\n{"step": 2, "split": "tr\xc3')
  assert writer(tmp_path, step=9).train_seconds == 3.0
  assert caplog.text.count('dropped a half-written line') == 4
  assert len((tmp_path / 'metrics.jsonl').read_text().splitlines()) == 1


def test_every_start_is_recorded(tmp_path):
  one = note_start(tmp_path, 0)
  with (tmp_path / STARTS).open('ab') as file:
    file.write(b'{"time": 17\xc3')  # the machine went down here
  two = note_start(tmp_path, 40)
  assert two[0] == one[0] and len(two) == 2 and two[1] >= two[0]
  text = (tmp_path / STARTS).read_text(errors='replace')
  lines = [json.loads(x) for x in text.splitlines() if x[-1] == '}']
  assert [line['step'] for line in lines] == [0, 40]
  assert lines[0]['devices'] == jax.device_count()


def test_the_cost_of_a_step_is_what_xla_counts():
  n = 64
  matrix = jnp.ones((n, n))
  cost = step_cost(jax.jit(lambda a: a @ a).lower(matrix).compile(), pictures=8)
  assert cost.flop == 2 * n**3
  assert cost.moved >= 2 * matrix.nbytes
  assert cost.line.startswith('one step of 8 pictures: 0.00 GFLOP, 0.00 GB read and written')
  silent = SimpleNamespace(cost_analysis=lambda: None, memory_analysis=lambda: None)
  assert step_cost(silent, pictures=8) is None


def test_the_run_begins_with_its_parameters_and_its_cost(tiny, tmp_path, caplog):
  caplog.set_level('INFO', logger='flaxart')
  assert train_and_evaluate(tiny, tmp_path / 'run', dry_run=True) is None
  assert list(tmp_path.iterdir()) == []
  table, cost, estimate = (record.message for record in caplog.records[-3:])
  head, _, *rest = (line.split() for line in table.splitlines())  # a rule below the head
  lines = [head, *rest]
  assert lines[0] == ['parameters', 'all', 'trainable', 'frozen']
  assert [line[0] for line in lines[1:]] == ['trunk', 'heads/artist', 'heads/type', 'all']
  numbers = [[int(n.replace(',', '')) for n in line[1:]] for line in lines[1:]]
  assert numbers[-1] == [sum(column) for column in zip(*numbers[:-1], strict=True)]
  assert numbers[1] == [3 * 17, 3 * 17, 0]
  assert cost.startswith('one step of 16 pictures: ') and 'GFLOP' in cost
  assert estimate.startswith('estimate: ')
