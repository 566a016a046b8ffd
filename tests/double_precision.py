"""A config file for trainers under test: a stored config, in float64, with its data.

`--config=tests/double_precision.py:FOLDER` reads `FOLDER/config.json`. Every process writes the
records of its steps to `FOLDER/ids-*.jsonl`, and process `STOP_PROCESS` sends itself
`STOP_SIGNAL` (SIGTERM) at step `STOP_AT` (environment variables).
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import jax
import jax.numpy as jnp

from flaxart.config import read
from flaxart.network import classifier
from flaxart.training import run
from flaxart.training.network_trainer import NetworkSteps


def get_config(folder):
  """Patches this process and returns the settings."""
  jax.config.update('jax_enable_x64', True)
  config = read(Path(folder) / 'config.json')
  create_train_state, begin = run.create_train_state, NetworkSteps.__init__
  stop_at = int(os.environ.get('STOP_AT', -1))

  def in_float64(*args, **kwargs):
    network, state = create_train_state(*args, **kwargs)
    return network, jax.tree.map(
      lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 and x.size > 1 else x, state
    )

  def recorded(batch):
    step = int(batch['draw'][0]) // config.train.batch_size
    path = Path(folder) / f'ids-{os.getpid()}-{jax.process_index()}.jsonl'
    with path.open('a') as file:
      file.write(json.dumps([step, jax.process_index(), batch['record'].tolist()]) + '\n')
    if 0 <= stop_at <= step:
      if step == stop_at and jax.process_index() == int(os.environ['STOP_PROCESS']):
        os.kill(os.getpid(), getattr(signal, os.environ.get('STOP_SIGNAL', 'SIGTERM')))
      time.sleep(0.1)  # the other processes must learn of it before the run ends
    return batch

  def begin_recorded(self, trainer, session):
    begin(self, trainer, session)
    self.batches = map(recorded, self.batches)

  classifier.compute_dtype = lambda config: jnp.float64
  run.create_train_state, NetworkSteps.__init__ = in_float64, begin_recorded
  return config
