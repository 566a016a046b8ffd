"""A run from elsewhere: whatever its JSON files hold, they are read or refused in one line.

CASES=10000 pytest tests/workdir/test_hostile_runs.py
"""

from __future__ import annotations

import copy
import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flaxart.config import read
from flaxart.evaluation import calibration
from flaxart.logs.metric_writer import MetricWriter
from flaxart.report.numbers.runs import read_run
from flaxart.workdir import checkpoint, identity, manifest, run_folder
from flaxart.workdir.stored_results import read_results
from tfds_rijks import strict_json
from tfds_rijks.errors import UserError

CASES = int(os.environ.get('CASES', '12'))  # of each file, drawn from all
FILES = ('config.json', 'labels.json', 'trunk.json', 'run.json', 'calibration.json')
OF_REPORT = ('results.json', 'tables.json', 'metrics.jsonl')
VALUES = (None, 'x', -1, 1e300, 10**18, True, [], {}, [[1]], 'a\x1b[31m\n')
RAW = (
  b'', b'[]', b'"x"', b'null', b'1', b'[' * 100_000, b'{"a":' * 50_000, b'{"a": 1e999}',
  b'{"a": NaN}', b'{"a": 1, "a": 2}', b'\xff\xfe{', b'\0' * 50, b'{"a": "\\ud800"}',
  b'{"a": 1' + b'0' * 5000 + b'}',
)  # fmt: skip


def places(value: Any, at: tuple = ()) -> Iterator[tuple]:
  """The keys that lead to every value; of a list, to the first."""
  if at:
    yield at
  pairs = value.items() if isinstance(value, dict) else enumerate(value[:1])
  for key, one in pairs if isinstance(value, dict | list) else ():
    yield from places(one, (*at, key)) if isinstance(one, dict | list) else [(*at, key)]


def changed(value: Any, at: tuple, new: object) -> Any:
  """A copy with another value in one place; without it for `...`."""
  value = copy.deepcopy(value)
  inner = value
  for key in at[:-1]:
    inner = inner[key]
  if new is ...:
    del inner[at[-1]]
  else:
    inner[at[-1]] = new
  return value


def mutations(path: Path) -> list[bytes]:
  lines = path.suffix == '.jsonl'
  text = path.read_text()
  value = [json.loads(line) for line in text.splitlines()] if lines else json.loads(text)
  cases = [(at, new) for at in places(value) for new in (*VALUES, ...)]
  drawn = random.Random(path.name).sample(cases, min(CASES, len(cases)))
  trees = [changed(value, at, new) for at, new in drawn]
  texts = ['\n'.join(map(json.dumps, one)) if lines else json.dumps(one) for one in trees]
  return [*(one.encode() for one in texts), *RAW]


def put(workdir: Path, name: str, data: bytes) -> None:
  """The file in the workdir and in its checkpoint, whose seal is made good."""
  (step,) = (workdir / 'checkpoints').iterdir()
  (workdir / name).write_bytes(data)
  for folder in (step, step / 'calibration'):
    if (folder / name).exists():
      (folder / name).write_bytes(data)
  manifest.seal(step)


def opened(workdir: Path) -> None:
  """What load, predict and eval read before they restore arrays."""
  config, tasks = run_folder.read_run(workdir)
  step = checkpoint.best_on_disk(workdir)
  identity.check_checkpoint(workdir, workdir / 'checkpoints' / str(step))
  run_folder.read_trunk_json(workdir)
  for task in tasks:
    entry = calibration.read(workdir, step=step).get(task.name)
    if task.decides and task.classes:
      calibration.decide(task, entry, task.probabilities(np.zeros((1, len(task.classes))))[0])
  assert config.model.name and identity.written_by(workdir)


@pytest.mark.parametrize('name', FILES)
def test_a_run_is_opened_or_refused_in_one_line(name, copied):
  whole = mutations(copied / name)
  refused = 0
  for data in whole:
    put(copied, name, data)
    try:
      opened(copied)
    except UserError as error:
      refused += 1
      assert '\n' not in str(error) and '\x1b' not in str(error) and len(str(error)) < 2000
  assert refused >= len(RAW) - 1


@pytest.mark.parametrize('name', OF_REPORT)
def test_a_report_leaves_such_a_run_out(name, copied):
  refused = 0
  for data in mutations(copied / name):
    (copied / name).write_bytes(data)
    try:
      run = read_run(copied)
      assert isinstance(run.seconds, float) and run.test_key and run.images_seen >= 0
    except UserError as error:
      refused += 1
      assert '\n' not in str(error) and len(str(error)) < 2000
  assert refused >= (0 if name == 'metrics.jsonl' else len(RAW) - 1)


def test_lines_of_metrics_that_are_none_are_dropped(copied):
  path = copied / 'metrics.jsonl'
  (first, *_) = path.read_bytes().splitlines()
  hostile = [json.dumps(json.loads(first) | {'step': 'x'}).encode(), b'[' * 10_000, b'{"step": 1}']
  path.write_bytes(b'\n'.join([*hostile, *RAW, first]) + b'\n')
  writer = MetricWriter(copied, step=100, tensorboard=False)
  writer.write(101, 'train', {'loss': float('nan')})
  kept = path.read_text().splitlines()
  assert kept[0] == first.decode() and len(kept) == 2 and json.loads(kept[1])['loss'] is None


def test_results_are_strict_json_and_those_of_earlier_versions_are_read(copied):
  path = copied / 'results.json'
  found = json.loads(path.read_text())
  found['test']['artist']['loss'] = float('nan')
  path.write_text(json.dumps(found))  # as earlier versions wrote it
  assert 'NaN' in path.read_text()
  assert read_results(copied)['test']['artist']['loss'] is None
  assert read_run(copied).results['test']['artist']['loss'] is None
  path.write_text(strict_json.text(found))
  assert strict_json.read(path)['test']['artist']['loss'] is None


def test_a_pipe_is_not_waited_for(copied):
  (copied / 'config.json').unlink()
  os.mkfifo(copied / 'config.json')
  with pytest.raises(UserError, match='is not a regular file'):
    read(copied / 'config.json')


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    (r'(a+)+$', None),
    (r'(trunk/.*)*x', None),
    (r'(?=heads)heads/.*', 'RE2 has no look-ahead'),
    (r'(a)\1', 'RE2 has no back reference'),
    ('((a{1000}){1000}){1000}', 'found'),
    ('[' * 5000, '5,000 characters of at most 4,000'),
  ],
)
def test_a_pattern_ends(text, message, tiny):
  from flaxart.settings import TRAINABLE, read_settings

  tiny.trainable = text
  began = time.monotonic()
  if message is None:
    assert not TRAINABLE.pattern(text).matches('a' * 10_000 + '!')
  else:
    with pytest.raises(UserError, match=message) as error:
      read_settings(tiny)
    assert 'config.trainable' in str(error.value)
  assert time.monotonic() - began < 5


def test_messages_cannot_steer_a_terminal():
  assert str(UserError('a \x1b[31m b\n c \udc80')) == r'a \x1b[31m b c \udc80'
