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

from types import SimpleNamespace

import pytest
from absl import flags
from ml_collections import ConfigDict
from tiny_museum import draw_collection, off_the_shelf_config, tiny_config
from toy_network import toy_weights as toy_weights


@pytest.fixture(autouse=True, scope='session')
def parsed_flags() -> None:
  """Grain reads absl flags, which pytest never parses."""
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()


@pytest.fixture(scope='session')
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
  """The data_dir of a small prepared collection with tasks artist, type and year."""
  from tfds_rijks.prepare import prepare

  folder = tmp_path_factory.mktemp('collection')
  source = draw_collection(folder / 'source')
  prepare('collection', manual_dir=source, data_dir=folder / 'prepared')
  return folder / 'prepared'


@pytest.fixture(params=['pillow', 'simd'])
def resize(request: pytest.FixtureRequest) -> str:
  """Each value of `config.data.resize` that this machine can."""
  if request.param == 'simd':
    pytest.importorskip('cykooz_resizer', reason='needs extra `simd`')
  return request.param


@pytest.fixture
def tiny(collection: Path) -> ConfigDict:
  """A run of seconds on it."""
  return tiny_config(collection)


@pytest.fixture(scope='session')
def trunk(tmp_path_factory: pytest.TempPathFactory, collection: Path) -> Path:
  """The workdir of a finished run with a trunk worth taking."""
  from flaxart.train import train_and_evaluate

  config = tiny_config(collection)
  config.train.epochs = 4.0
  workdir = tmp_path_factory.mktemp('runs') / 'trunk'
  train_and_evaluate(config, workdir)
  return workdir


@pytest.fixture(scope='session')
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
  """One folder of features for all tests that do not count on an empty one."""
  return tmp_path_factory.mktemp('features')


@pytest.fixture
def frozen(collection: Path, trunk: Path, cache: Path) -> ConfigDict:
  """An off-the-shelf run on that trunk."""
  return off_the_shelf_config(collection, trunk, cache)


@pytest.fixture
def extracted(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
  """Counts the pictures that go through the trunk to become features."""
  from flaxart.off_the_shelf import extractor

  count = SimpleNamespace(pictures=0)

  def forward(self, batch, forward=extractor.Extractor._forward):
    count.pictures += int(batch['mask'].sum())
    return forward(self, batch)

  monkeypatch.setattr(extractor.Extractor, '_forward', forward)
  return count
