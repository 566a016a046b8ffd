"""A collection of 160 drawn pictures and a network of seconds, which nearly all tests train."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from flaxart.config import default_config
from tfds_rijks import splits

RECORDS = 160


def draw_collection(folder: Path, *, objects: int = RECORDS, seed: int = 0) -> Path:
  """A collection whose artist is the colour and type the shape; some labels are missing.

  Its splits are given: runs in `golden` were begun on them.
  """
  rng = np.random.default_rng(seed)
  folder.mkdir(parents=True)
  colours = {'Anna': (200, 40, 40), 'Bert': (40, 160, 60), 'Cleo': (50, 60, 200)}
  rows = ['image,artist,type,year,split']
  for i in range(objects):
    artist = rng.choice(list(colours), p=[0.5, 0.3, 0.2])
    kind = rng.choice(['bowl', 'coin'], p=[0.6, 0.4])
    picture = rng.integers(235, 256, (40, 48, 3), dtype=np.uint8)  # noise, so that no two are equal
    y, x = np.mgrid[0:40, 0:48]
    radius = rng.integers(10, 16)
    inside = (abs(y - 20) < radius) & (abs(x - 24) < radius)
    if kind == 'coin':
      inside = (y - 20) ** 2 + (x - 24) ** 2 < (radius - 4) ** 2
    picture[inside] = np.clip(colours[artist] + rng.integers(-20, 20, (inside.sum(), 3)), 0, 255)
    Image.fromarray(picture).save(folder / f'{i:04d}.png')
    known = rng.random(2) > 0.1
    year = 1600 + 100 * list(colours).index(artist) + int(rng.integers(0, 40))
    name, label = f'{i:04d}.png', (artist if known[0] else '', kind if known[1] else '')
    rows.append(f'{name},{",".join(label)},{year},{splits.assign(name)}')
  (folder / 'metadata.csv').write_text('\n'.join(rows) + '\n', encoding='utf-8')
  return folder


def tiny_config(collection: Path, network: str = 'vgg19') -> ConfigDict:
  """A run of seconds: one layer or block per stage and an eighth of the width, at 32 px.

  Processes know a VGG19, which compiles in a third of the time of a ResNet50; a toy, which has
  BatchNorm, in a third of that.
  """
  config = default_config()
  config.init = 'scratch'
  config.tasks = 'artist,type'
  config.data.dataset, config.data.data_dir = 'collection', str(collection)
  config.data.image_size = 32
  config.model.name, config.model.width, config.model.shallow = network, 0.125, True
  config.model.bn_momentum = 0.9
  config.train.batch_size, config.train.epochs = 16, 1.0
  config.optim.name = 'adam'
  config.optim.learning_rate = {'vgg19': 1e-3, 'toy': 1e-2}.get(network, 3e-3)
  config.log.every_steps, config.log.tensorboard = 1, False
  config.probe.cache_dir = str(collection.parent / 'features')
  config.eval.baselines = False
  config.checkpoint.keep_optimizer = True
  return config


def off_the_shelf_config(collection: Path, trunk: Path, cache: Path) -> ConfigDict:
  """Heads alone on the trunk of a finished run: three heads, three epochs of eight steps."""
  config = tiny_config(collection, 'toy')
  config.init, config.trainable = str(trunk), 'heads'
  config.tasks = 'artist,type,year'
  config.train.epochs = 3.0
  config.probe.cache_dir = str(cache)
  return config
