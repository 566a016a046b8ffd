"""What all tests share: CPU, parsed flags, a compilation cache, one tiny prepared collection."""

from __future__ import annotations

import os
from pathlib import Path

# Before anything imports JAX: tests are about the CPU, whatever the machine has.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(Path('~/.cache/flaxart/tests').expanduser()))
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0.2')
# Tests compile much and run little: without LLVM's optimisation they take two thirds of the time.
os.environ.setdefault('XLA_FLAGS', '--xla_backend_optimization_level=0')

import numpy as np
import pytest
from absl import flags
from ml_collections import ConfigDict
from PIL import Image

from flaxart.config import default_config


@pytest.fixture(autouse=True, scope='session')
def parsed_flags() -> None:
  """Grain reads absl flags, which pytest never parses."""
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()


def draw_collection(folder: Path, *, objects: int = 160, seed: int = 0) -> Path:
  """A collection whose artist is the colour, whose type is the shape; some labels are missing."""
  rng = np.random.default_rng(seed)
  folder.mkdir(parents=True)
  colours = {'Anna': (200, 40, 40), 'Bert': (40, 160, 60), 'Cleo': (50, 60, 200)}
  rows = ['image,artist,type,year']
  for i in range(objects):
    artist = rng.choice(list(colours), p=[0.5, 0.3, 0.2])
    kind = rng.choice(['bowl', 'coin'], p=[0.6, 0.4])
    picture = rng.integers(235, 256, (40, 48, 3), dtype=np.uint8)  # noise: no two are equal
    y, x = np.mgrid[0:40, 0:48]
    radius = rng.integers(10, 16)
    inside = (abs(y - 20) < radius) & (abs(x - 24) < radius)
    if kind == 'coin':
      inside = (y - 20) ** 2 + (x - 24) ** 2 < (radius - 4) ** 2
    picture[inside] = np.clip(colours[artist] + rng.integers(-20, 20, (inside.sum(), 3)), 0, 255)
    Image.fromarray(picture).save(folder / f'{i:04d}.png')
    known = rng.random(2) > 0.1
    year = 1600 + 100 * list(colours).index(artist) + int(rng.integers(0, 40))
    rows.append(f'{i:04d}.png,{artist if known[0] else ""},{kind if known[1] else ""},{year}')
  (folder / 'metadata.csv').write_text('\n'.join(rows) + '\n', encoding='utf-8')
  return folder


@pytest.fixture(scope='session')
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
  """The data_dir of a small prepared collection with tasks artist, type and year."""
  from tfds_rijks.prepare import prepare

  folder = tmp_path_factory.mktemp('collection')
  source = draw_collection(folder / 'source')
  prepare('collection', manual_dir=source, data_dir=folder / 'prepared')
  return folder / 'prepared'


@pytest.fixture
def tiny(collection: Path) -> ConfigDict:
  """A run of seconds: a ResNet50 of one block a stage and an eighth of the width, at 32 px."""
  config = default_config()
  config.init = 'scratch'
  config.tasks = 'artist,type'
  config.data.dataset, config.data.data_dir = 'collection', str(collection)
  config.data.image_size = 32
  config.model.width, config.model.shallow, config.model.bn_momentum = 0.125, True, 0.9
  config.train.batch_size, config.train.epochs = 16, 1.0
  config.optim.name, config.optim.learning_rate = 'adam', 3e-3
  config.log.every_steps, config.log.tensorboard = 1, False
  config.probe.cache_dir = str(collection.parent / 'features')
  config.eval.baselines = False
  config.checkpoint.keep_optimizer = True
  return config
