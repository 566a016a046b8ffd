"""Extraction: keys, interruption, waiting, a folder that cannot be written."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import optax
import pytest
from flax import nnx
from tiny_museum import RECORDS

from flaxart.data.decoded import data_sha256
from flaxart.data.source import open_dataset
from flaxart.machine.sharding import create_mesh
from flaxart.network.state import Network, TrainState, abstract_parts
from flaxart.off_the_shelf import extractor, feature_cache
from flaxart.settings import read_settings
from flaxart.tasks.kinds import tasks_from_features
from flaxart.train import train_and_evaluate
from flaxart.training.initial_trunk import initial_trunk
from flaxart.workdir import checkpoint, run_folder
from flaxart.workdir.restore import restore_network
from tfds_rijks.errors import UserError


def test_an_interrupted_extraction_continues(frozen, tmp_path, monkeypatch, extracted):
  frozen.probe.cache_dir, frozen.eval.batch_size = str(tmp_path / 'features'), 16

  class StopError(Exception):
    pass

  def stop(self, rows, append=feature_cache.Part.append):
    if self.done == 64:
      raise StopError
    append(self, rows)

  with monkeypatch.context() as patch:
    patch.setattr(feature_cache.Part, 'append', stop)
    with pytest.raises(StopError):
      train_and_evaluate(frozen, tmp_path / 'run')
  before = extracted.pictures
  train_and_evaluate(frozen, tmp_path / 'run')
  assert extracted.pictures - before == RECORDS - 64
  # The same features as without the interruption, which batches of another size computed.
  names = sorted(p.name for p in (tmp_path / 'features').glob('*.npy'))
  frozen.probe.cache_dir, frozen.eval.batch_size = str(tmp_path / 'whole'), 64
  train_and_evaluate(frozen, tmp_path / 'other')
  assert names == sorted(p.name for p in (tmp_path / 'whole').glob('*.npy')) and len(names) == 3
  for name in names:
    one, other = np.load(tmp_path / 'features' / name), np.load(tmp_path / 'whole' / name)
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
  'change',
  [
    {'model.width': 0.25},
    {'model.name': 'vgg19'},
    {'data.image_size': 48},
    {'data.fit': 'pad'},
    {'data.resize': 'simd'},
    {'model.dtype': 'bfloat16'},
    {'data.pixels': 'zero_one'},
  ],
)
def test_the_key_has_everything_that_features_depend_on(tiny, change):
  tiny.trainable, tiny.model.name = 'heads', 'resnet50'
  assert keys_of(tiny) == keys_of(tiny)
  other = tiny.copy_and_resolve_references()
  other.update_from_flattened_dict(change)
  ours, theirs = keys_of(tiny), keys_of(other)
  assert feature_cache.stem(ours) != feature_cache.stem(theirs)
  other.update_from_flattened_dict(
    {'optim.learning_rate': 1.0, 'model.dropout': 0.5, 'tasks': 'type'}
  )
  assert keys_of(other) == theirs  # and nothing else


def keys_of(config):
  """The key of the training split, for a trunk of zeros."""
  extractor = extractor_of(config)
  return extractor.key_of(extractor.dataset.split('train'))


def extractor_of(config):
  """An extractor around a trunk of zeros."""
  dataset = open_dataset('collection', data_dir=config.data.data_dir, tasks=['artist', 'type'])
  tasks = tasks_from_features(dataset.features, dict.fromkeys(config.tasks.split(','), 1.0))
  spec = initial_trunk(config, Path('/nowhere')).spec
  settings = read_settings(config)
  parts = abstract_parts(config, settings, tasks, spec, nnx.Nothing(), nnx.Param, nnx.BatchStat)
  arrays = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), parts[1:])
  network = Network(parts[0], tuple(tasks), optax.identity())
  state = TrainState(np.int32(0), *arrays, ())
  return extractor.Extractor(config, network, state, dataset, mesh=create_mesh())


def test_a_run_that_waited_uses_the_features_of_the_other(tiny, tmp_path, monkeypatch, extracted):
  tiny.probe.cache_dir = str(tmp_path)
  rows = np.zeros((5, 7), np.float32)
  answers = iter([None, feature_cache.Features(rows, 1.0)])  # before and after the lock
  monkeypatch.setattr(feature_cache, 'read', lambda *_: next(answers))
  assert extractor_of(tiny).features(['val'])['val'].rows is rows
  assert extracted.pictures == 0


def test_features_are_those_of_the_folded_trunk(tiny):
  tiny.model.name = 'resnet50'
  extractor = extractor_of(tiny)
  batch = next(extractor._batches(extractor.dataset.split('val')))
  extractor._forward(batch)
  names = {path[-1] for path, _ in nnx.to_flat_state(extractor._apply.arrays)}
  assert 'kernel' in names and not names & {'mean', 'var', 'scale'}


def test_the_key_holds_weights_statistics_and_the_data(frozen, trunk, tmp_path):
  config, tasks = run_folder.read_run(trunk)
  state = restore_network(trunk, checkpoint.best_on_disk(trunk), config, tasks, mesh=create_mesh())[
    1
  ]
  before = extractor.trunk_sha256(state)
  for part in ('frozen', 'batch_stats'):
    tree = getattr(state, part)
    path, leaf = next(item for item in nnx.to_flat_state(tree) if item[0][0] == 'trunk')
    moved = nnx.from_flat_state([(path, leaf.replace(leaf[...] + 1e-3))])
    other = dataclasses.replace(state, **{part: nnx.merge_state(tree, moved)})
    assert extractor.trunk_sha256(other) != before
  head = next(item for item in nnx.to_flat_state(state.frozen) if item[0][0] == 'heads')
  moved = nnx.from_flat_state([(head[0], head[1].replace(head[1][...] + 1))])
  other = dataclasses.replace(state, frozen=nnx.merge_state(state.frozen, moved))
  assert extractor.trunk_sha256(other) == before
  for name in ('dataset_info.json', 'fingerprint.json'):
    (tmp_path / name).write_text('{}')
  first = data_sha256(tmp_path)
  (tmp_path / 'fingerprint.json').write_text('{"input": 1}')
  assert data_sha256(tmp_path) != first


def test_a_folder_that_cannot_be_written_is_one_line(frozen, tmp_path, monkeypatch):
  (tmp_path / 'file').write_text('')
  frozen.probe.cache_dir = str(tmp_path / 'file' / 'features')
  with pytest.raises(UserError, match=r'config.probe.cache_dir: .*file/features cannot be written'):
    train_and_evaluate(frozen, tmp_path / 'run')
  frozen.probe.cache_dir = str(tmp_path / 'features')
  monkeypatch.setattr(feature_cache.shutil, 'disk_usage', lambda _: SimpleNamespace(free=50e6))
  monkeypatch.setattr('flaxart.training.estimate.LOGS_GB', 0.0)
  monkeypatch.setattr('flaxart.training.estimate.CHECKPOINTS', 0)
  with pytest.raises(UserError, match=r'has 0.05 GB free, the features need 0.00 GB'):
    train_and_evaluate(frozen, tmp_path / 'full')
  assert not (tmp_path / 'full').exists()
