"""Shared by all tests: CPU, parsed flags, a compilation cache, one tiny prepared collection."""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import mmap
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

# Set before anything imports JAX: tests run on the CPU, whatever the machine has.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(Path('~/.cache/flaxart/tests').expanduser()))
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0')
# Tests compile a lot and run little: with these flags a program compiles in a third of the time.
# JAX does not start with a flag unknown to its jaxlib.
os.environ.setdefault(
  'XLA_FLAGS',
  '--xla_backend_optimization_level=0'
  + ' --xla_cpu_use_fusion_emitters=false' * version('jaxlib').startswith('0.10.'),
)

from types import SimpleNamespace

import pytest
from absl import flags
from absl.testing import flagsaver
from ml_collections import ConfigDict
from tiny_museum import draw_collection, off_the_shelf_config, tiny_config
from toy_network import toy_has_its_line as toy_has_its_line
from toy_network import toy_weights as toy_weights

from flaxart.machine.locks import in_turn
from tfds_rijks import command

LARGE = {'module': 0.8e9, 'function': 1.3e9}  # bytes of a worker
GROWTH = 0.2e9
LEFT = {'bytes': 0}  # after the last time that memory was given back
NOT_FAST = ('slow', 'full', 'parity', 'wheel', 'kill', 'processes', 'benchmark')


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
  """`pytest -m fast` is for frequent use."""
  for item in items:
    if not any(item.get_closest_marker(name) for name in NOT_FAST):
      item.add_marker('fast')


@pytest.fixture(autouse=True, scope='session')
def parsed_flags() -> None:
  """Grain reads absl flags, which pytest never parses."""
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()


@pytest.fixture(autouse=True)
def flags_as_at_the_start() -> None:
  """No test sees the command line of another."""
  flags.FLAGS.unparse_flags()
  flags.FLAGS.mark_as_parsed()


@pytest.fixture(autouse=True, scope='module')
def memory_given_back_by_modules() -> Iterator[None]:
  """Drops programs compiled by earlier modules once a worker has grown."""
  yield
  give_back(above=LARGE['module'])


@pytest.fixture(autouse=True)
def memory_given_back() -> Iterator[None]:
  """Drops those of this module's own tests once a worker has grown large."""
  yield
  give_back(above=LARGE['function'])


def give_back(*, above: float) -> None:
  """Frees compiled programs if this process has more bytes than `above`, and many more than after
  the last time: some libraries keep theirs, and looking through them takes half a second.
  """
  if (size := resident()) < max(above, LEFT['bytes'] + GROWTH):
    return
  if 'jax' in sys.modules:
    sys.modules['jax'].clear_caches()
  gc.collect()
  if hasattr(libc := ctypes.CDLL(None), 'malloc_trim'):
    libc.malloc_trim(0)  # glibc keeps what was freed
  LEFT['bytes'] = min(size, resident())


def resident() -> int:
  """Bytes of memory of this process; 0 where the system does not say."""
  status = Path('/proc/self/statm')
  return int(status.read_text().split()[1]) * mmap.PAGESIZE if status.exists() else 0


def made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable) -> Path:
  """A folder that all workers read and none changes; the first to need it `make`s it."""
  shared = tmp_path_factory.getbasetemp()
  shared = shared.parent if 'PYTEST_XDIST_WORKER' in os.environ else shared
  folder, done = shared / name, shared / f'{name}.done'
  with in_turn(shared / f'{name}.lock', 'making it'):
    if not done.exists():
      shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed
      make(folder)
      done.touch()
  return folder


@pytest.fixture(scope='session')
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
  """The data_dir of a small prepared collection with tasks artist, type and year."""
  from tfds_rijks.prepare import prepare

  def make(folder: Path) -> None:
    source = draw_collection(folder / 'source')
    prepare('collection', manual_dir=source, data_dir=folder / 'prepared', copies='equal')

  return made_once(tmp_path_factory, 'collection', make) / 'prepared'


@pytest.fixture(params=['pillow', 'simd'])
def resize(request: pytest.FixtureRequest) -> str:
  """Each value of `config.data.resize` that works on this machine."""
  if request.param == 'simd':
    pytest.importorskip('cykooz_resizer', reason='needs extra `simd`')
  return request.param


@pytest.fixture
def tiny(collection: Path) -> ConfigDict:
  """A run of seconds on it, of the toy."""
  return tiny_config(collection, 'toy')


@pytest.fixture
def slim(collection: Path) -> ConfigDict:
  """The same with a real network, which processes started by a test know as well."""
  return tiny_config(collection)


@pytest.fixture
def tuned(collection: Path, trunk: Path) -> ConfigDict:
  """A run that takes the trunk of the finished one, which has BatchNorm, and continues training."""
  config = tiny_config(collection, 'toy')
  config.init = str(trunk)
  return config


@pytest.fixture(scope='session')
def finished(tmp_path_factory: pytest.TempPathFactory, collection: Path) -> tuple:
  """Workdir, config and results of the one finished run that tests read; they change `copied`."""
  from flaxart.train import train_and_evaluate

  config = tiny_config(collection, 'toy')
  config.tasks, config.train.epochs = 'artist,type,year', 6.0
  workdir = made_once(
    tmp_path_factory, 'finished', lambda folder: train_and_evaluate(config, folder)
  )
  return workdir, config, json.loads((workdir / 'results.json').read_text())


@pytest.fixture(scope='session')
def trunk(finished: tuple) -> Path:
  """The workdir of a finished run with a trunk worth taking."""
  return finished[0]


@pytest.fixture
def copied(finished: tuple, tmp_path: Path) -> Path:
  """A copy of the finished run, to be damaged or continued."""
  return shutil.copytree(finished[0], tmp_path / 'run')


@pytest.fixture(scope='session')
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
  """One folder of features for all tests that do not need an empty one."""
  return tmp_path_factory.mktemp('features')


@pytest.fixture
def frozen(collection: Path, trunk: Path, cache: Path) -> ConfigDict:
  """An off-the-shelf run on that trunk."""
  return off_the_shelf_config(collection, trunk, cache)


@pytest.fixture
def extracted(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
  """Counts the pictures that pass through the trunk to become features."""
  from flaxart.off_the_shelf import extractor

  count = SimpleNamespace(pictures=0)

  def forward(self, batch, forward=extractor.Extractor._forward):
    count.pictures += int(batch['mask'].sum())
    return forward(self, batch)

  monkeypatch.setattr(extractor.Extractor, '_forward', forward)
  return count


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable:
  """Calls a command in this process and in a folder (the root); gives exit code, output, errors."""

  def call(module, *arguments, folder=Path(__file__).parents[1]):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, 'argv', [module, *arguments])
    monkeypatch.setattr('flaxart.main.start_jax', lambda **_: None)
    with flagsaver.flagsaver(), pytest.raises(SystemExit) as left:
      command.run(importlib.import_module(module).main)
    return left.value.code, *capsys.readouterr()

  return call
