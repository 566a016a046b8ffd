"""One step, two wrappers, any number of devices: eight simulated ones give what one gives."""

from __future__ import annotations

import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.sharding import AbstractMesh, PartitionSpec
from trainer import ROOT

from flaxart.config import default_config
from flaxart.config_checks import validate
from flaxart.machine import sharding
from flaxart.network.unfreeze import read_stages
from flaxart.training.optim import create_optimizer
from tfds_rijks.errors import UserError


@pytest.fixture(scope='module', params=['vgg19', 'inception_v3', 'xception', 'resnet50'])
def trained(request, tmp_path_factory):
  """`{way: {name: array}}` and what the process said; float64, five steps."""
  folder = tmp_path_factory.mktemp(request.param)
  line = [sys.executable, '-m', 'tests.machine.eight_devices', request.param, folder]
  done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=600)
  assert done.returncode == 0, done.stderr[-3000:]
  ways = {path.stem: dict(np.load(path)) for path in folder.glob('*.npz')}
  return request.param, ways, done.stdout


@pytest.mark.parametrize('way', ['jit', 'shard_map'])
def test_eight_devices_train_what_one_trains(trained, way):
  model, ways, _ = trained
  one, eight = ways['one'], ways[way]
  assert one.keys() == eight.keys()
  assert any(name.startswith('stats') for name in one) == (model != 'vgg19')
  for name, values in one.items():
    assert values.dtype != np.float32
    np.testing.assert_allclose(eight[name], values, rtol=1e-10, atol=1e-10, err_msg=name)


def test_a_large_head_is_cut_over_its_classes(trained):
  _, _, said = trained
  assert "jit 8 4 P(None, 'model')" in said
  assert 'jit 1 1 P()' in said and 'shard_map 8 1 P()' in said


def test_optimizer_slots_of_a_large_head_are_cut_like_it():
  mesh = AbstractMesh((1, 2), (sharding.DATA, sharding.MODEL))
  shape = lambda *s: jax.ShapeDtypeStruct(s, np.float32)  # noqa: E731
  params = {
    'heads': {'artist': {'kernel': shape(8, 256)}, 'type': {'kernel': shape(8, 4)}},
    'trunk': {'conv1': {'kernel': shape(3, 256)}},
  }
  for text in ('', '0:heads/.*;3:.*'):
    config = default_config()
    config.optim.name, config.train.unfreeze = 'adam', text
    tx = create_optimizer(config, lambda _: 0.1, read_stages(config))
    slots = jax.eval_shape(tx.init, params)
    cut = [
      x.shape
      for x, place in zip(
        jax.tree.leaves(slots), jax.tree.leaves(sharding.places(slots, mesh)), strict=True
      )
      if place.spec == PartitionSpec(None, sharding.MODEL)
    ]
    assert cut == [(8, 256)] * 2, text  # Adam's two moments


def test_statistics_of_each_device_differ_and_are_averaged(trained):
  model, ways, _ = trained
  if model != 'resnet50':
    pytest.skip('once is enough')
  own, whole = ways['own_statistics_first'], ways['one_first']
  # The mean of eight means is the mean of the batch; the mean of eight variances is smaller.
  mean, var = (next(k for k in whole if k.endswith(f'stem/norm/{x}')) for x in ('mean', 'var'))
  np.testing.assert_allclose(own[mean], whole[mean], rtol=1e-10)
  assert (own[var] < whole[var]).all()
  assert own['metrics/loss'] != pytest.approx(whole['metrics/loss'], rel=1e-6)


def test_a_float32_gradient_is_the_same_to_its_precision(trained):
  model, ways, _ = trained
  if model != 'resnet50':
    pytest.skip('once is enough')
  one, eight = ways['one_float32'], ways['jit_float32']
  norm = np.sqrt(sum((v.astype(np.float64) ** 2).sum() for v in one.values()))
  apart = np.sqrt(sum(((v - eight[k]).astype(np.float64) ** 2).sum() for k, v in one.items()))
  assert norm > 0 and apart / norm < 1e-5


@pytest.mark.parametrize(
  ('change', 'line'),
  [
    ({'parallelism': 'pmap'}, "config.parallelism: found 'pmap', expected one of jit, shard_map"),
    ({'parallelism': 'shard_map', 'head_devices': 2}, 'expected 1 under parallelism=shard_map'),
    ({'head_devices': 0}, 'config.head_devices: found 0, expected a number above 0'),
  ],
)
def test_settings_that_do_not_go_together_are_refused(change, line):
  config = default_config()
  config.update_from_flattened_dict(change)
  with pytest.raises(UserError, match=line):
    validate(config)


def test_parts_that_a_device_cannot_have_are_refused(monkeypatch):
  monkeypatch.setattr(jax, 'device_count', lambda: 4)
  sharding.check_batch_size(16, field='train.batch_size', parts=2)
  with pytest.raises(UserError, match=r'accumulate: the 4 pictures of each device .* into 8 equal'):
    sharding.check_batch_size(16, field='train.batch_size', parts=8)


def test_devices_that_cannot_be_divided_are_refused():
  with pytest.raises(UserError, match=r'config\.head_devices: 1 devices cannot be divided by 3'):
    sharding.create_mesh(head_devices=3)
