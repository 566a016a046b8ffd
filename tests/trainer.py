"""The trainer as a user starts it: a process of its own, from a config file."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from flaxart.config import to_json
from flaxart.data.source import open_dataset

ROOT = Path(__file__).parents[1]
# What in `metrics.jsonl` differs from one run to an equal one.
TIMINGS = (
  'wall_s',
  'images_per_second',
  'step_s',
  'train_s',
  'input_wait',
  'input_wait_s',
  'goodput',
  'device_memory_gb',
  'host_memory_gb',
)


def set_steps(config, steps):
  """Makes a run of the tiny collection last so many steps."""
  records = len(open_dataset('collection', data_dir=config.data.data_dir, tasks=[]).split('train'))
  config.train.epochs = steps * config.train.batch_size / records


def flags(config, workdir, folder):
  """The flags of `python -m flaxart.main` for a config, which is written into `folder`."""
  (folder / 'config.json').write_text(to_json(config))
  (folder / 'config.py').write_text(
    'from pathlib import Path\nfrom flaxart.config import read\n'
    f'def get_config():\n  return read(Path({str(folder / "config.json")!r}))\n'
  )
  return [f'--config={folder / "config.py"}', f'--workdir={workdir}']


def command(config, workdir, folder):
  """The whole command line."""
  return [sys.executable, '-m', 'flaxart.main', *flags(config, workdir, folder)]


def wait_for(condition, seconds=120):
  """Returns when `condition()` holds."""
  end = time.monotonic() + seconds
  while not condition():
    assert time.monotonic() < end, 'waited too long'
    time.sleep(0.02)


def metric_lines(workdir):
  """What the run has written so far."""
  path = workdir / 'metrics.jsonl'
  return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
