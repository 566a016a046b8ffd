"""Writes the golden run of this version: `python tests/golden/make.py FOLDER`.

A run of a few steps with a network of a thirty-second of the width, and `expected.json`: its
probabilities when written. It stays in the repository: later versions must load it and give the
same, or refuse it by name.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import conftest
import numpy as np

import flaxart
from flaxart import config as settings
from flaxart.train import train_and_evaluate
from flaxart.workdir import manifest
from tfds_rijks.prepare import prepare

RUN_FILES = ('run.json', 'config.json', 'labels.json', 'trunk.json')


def pictures() -> np.ndarray:
  """`[2, 32, 32, 3]` uint8: fixed noise."""
  return np.random.RandomState(0).randint(0, 256, (2, 32, 32, 3)).astype(np.uint8)


def write(workdir: Path) -> None:
  """Trains, removes files that later versions do not need, writes the run's answers."""
  config = settings.default_config()
  config.init, config.tasks = 'scratch', 'artist,type,year'
  config.data.dataset, config.data.image_size = 'collection', 32
  config.model.width, config.model.shallow = 0.03125, True
  config.optim.momentum, config.log.tensorboard, config.eval.baselines = 0.0, False, False
  config.train.batch_size, config.train.epochs = 16, 0.5
  workdir, config.data.data_dir = workdir.resolve(), 'prepared'
  with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
    conftest.draw_collection(Path('source'))
    prepare('collection', manual_dir=Path('source'), data_dir=Path('prepared'))
    train_and_evaluate(config, workdir)
  for path in workdir.iterdir():
    if path.is_file() and path.name not in RUN_FILES:
      path.unlink()
  for path in workdir.rglob('commit_success.txt'):  # Orbax's note names the folder; nobody reads it
    path.write_text('Checkpoint commit was successful\n')
  for path in (workdir / 'checkpoints').iterdir():
    manifest.seal(path)
  answer = {name: values.tolist() for name, values in flaxart.load(workdir)(pictures()).items()}
  (workdir / 'expected.json').write_text(json.dumps(answer, indent=1) + '\n')


if __name__ == '__main__':
  write(Path(sys.argv[1]))
