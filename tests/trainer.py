"""The trainer as a user starts it, in a separate process, and the files of its runs."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from flaxart.config import to_json
from flaxart.data.source import open_dataset
from flaxart.training.network_trainer import NetworkSteps
from flaxart.workdir import checkpoint

ROOT = Path(__file__).parents[1]
# Fields of `metrics.jsonl` that differ between equal runs.
TIMINGS = (
  'wall_s', 'images_per_second', 'step_s', 'train_s', 'input_wait', 'input_wait_s', 'goodput',
  'device_memory_gb', 'host_memory_gb',
)  # fmt: skip


def set_steps(config, steps):
  """Sets the number of steps of a run of the tiny collection."""
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


def on_each_batch(monkeypatch, change):
  """`change(batch)` is what a train step is given for each of its host batches."""

  def begin(self, trainer, session, init=NetworkSteps.__init__):
    init(self, trainer, session)
    self.batches = map(change, self.batches)

  monkeypatch.setattr(NetworkSteps, '__init__', begin)


class StopError(Exception):
  """The machine is lost."""


def at_step(step, action=None):
  """An `on_step` that calls `action` after that step; without one, the run ends there."""

  def on_step(done):
    if done == step and action is None:
      raise StopError
    if done == step:
      action()

  return on_step


def wait_for(condition, seconds=120):
  """Waits until `condition()` holds."""
  end = time.monotonic() + seconds
  while not condition():
    assert time.monotonic() < end, 'waited too long'
    time.sleep(0.02)


def metric_lines(workdir):
  """The output of the run so far."""
  path = workdir / 'metrics.jsonl'
  return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def untimed_lines(workdir):
  """The same without fields that differ between equal runs."""
  return [{k: v for k, v in line.items() if k not in TIMINGS} for line in metric_lines(workdir)]


def stored(workdir, step=None):
  """Everything in a checkpoint (the best one), as nested dictionaries of NumPy arrays."""
  step = checkpoint.best_on_disk(workdir) if step is None else step
  folder = (workdir / 'checkpoints' / str(step)).resolve()
  items = ocp.checkpointables_metadata(folder).metadata
  shapes = {name: items[name] for name in ('state', 'optimizer') if name in items}
  shapes = jax.tree.map(lambda x: np.empty(x.shape, x.dtype), shapes)
  found = ocp.load_checkpointables(folder, shapes)
  return {**found['state'], **found.get('optimizer', {})}


def arrays(workdir, step=None):
  """The same as `{path: array}`; a list's numbers come back from a checkpoint as text."""
  return flat(stored(workdir, step))


def flat(tree):
  """`{path: array}` of nested dictionaries."""
  return {
    jax.tree_util.keystr(path).replace("'", ''): leaf
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }


def assert_close(a, b, **tolerance):
  """Two trees of the same shape hold the same numbers, within `assert_allclose`'s tolerances."""
  assert jax.tree.structure(a) == jax.tree.structure(b)
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)
