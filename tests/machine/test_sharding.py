"""One step, two wrappers, any number of devices: eight simulated ones give the same as one."""

from __future__ import annotations

import subprocess
import sys

import jax
import numpy as np
import pytest
from trainer import ROOT

from flaxart.machine import sharding
from tfds_rijks.errors import UserError

pytestmark = pytest.mark.processes


@pytest.fixture(scope='module', params=['vgg19', 'inception_v3', 'xception', 'resnet50'])
def trained(request, tmp_path_factory):
  """`{way: {name: array}}`; float64, five steps."""
  folder = tmp_path_factory.mktemp(request.param)
  line = [sys.executable, '-m', 'tests.machine.eight_devices', request.param, folder]
  done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=600)
  assert done.returncode == 0, done.stderr[-3000:]
  ways = {path.stem: dict(np.load(path)) for path in folder.glob('*.npz')}
  return request.param, ways


def test_eight_devices_train_the_same_as_one(trained):
  model, ways = trained
  one, eight = ways['one'], {way: ways[way] for way in ('jit', 'shard_map') if way in ways}
  assert eight and any(name.startswith('stats') for name in one) == (model != 'vgg19')
  for way, found in eight.items():
    assert one.keys() == found.keys()
    for name, values in one.items():
      assert values.dtype != np.float32
      about = f'{way}: {name}'
      np.testing.assert_allclose(found[name], values, rtol=1e-10, atol=1e-10, err_msg=about)


def test_statistics_of_each_device_differ_and_are_averaged(trained):
  model, ways = trained
  if model != 'resnet50':
    pytest.skip('once is enough')
  own, whole = ways['own_statistics_first'], ways['one_first']
  # The mean of eight means is the mean of the batch; the mean of eight variances is smaller.
  mean, var = (next(k for k in whole if k.endswith(f'stem/norm/{x}')) for x in ('mean', 'var'))
  np.testing.assert_allclose(own[mean], whole[mean], rtol=1e-10)
  assert (own[var] < whole[var]).all()
  assert own['metrics/loss'] != pytest.approx(whole['metrics/loss'], rel=1e-6)


def test_a_float32_gradient_is_the_same_to_its_precision(trained):
  model, ways = trained
  if model != 'resnet50':
    pytest.skip('once is enough')
  one, eight = ways['one_float32'], ways['jit_float32']
  norm = np.sqrt(sum((v.astype(np.float64) ** 2).sum() for v in one.values()))
  apart = np.sqrt(sum(((v - eight[k]).astype(np.float64) ** 2).sum() for k, v in one.items()))
  assert norm > 0 and apart / norm < 1e-5


def test_batches_that_cannot_be_split_are_refused(monkeypatch):
  monkeypatch.setattr(jax, 'device_count', lambda: 4)
  sharding.check_batch_size(16, field='train.batch_size', parts=2)
  with pytest.raises(UserError, match=r'accumulate: the 4 pictures of each device .* into 8 equal'):
    sharding.check_batch_size(16, field='train.batch_size', parts=8)
