"""A network of two convolutions, like a file in `flaxart/models`, and weights of it.

It compiles in a fraction of the time of a real one; `conftest.py` adds it to `NETWORKS`.
"""

from __future__ import annotations

import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from flaxart import models
from flaxart.models.card import TORCH, Card, File, Paper, Source
from flaxart.models.layers import BatchNorm, Conv, Window, scaled
from flaxart.models.preprocess import plus_minus_one
from flaxart.models.trunk import Trunk
from flaxart.weights import convert

SIZE = {'stem': (5, 3, 64), 'body': (3, 64, 128)}  # window, inputs, outputs


class Toy(Trunk):
  """Two convolutions with BatchNorm: the class in a network's file."""

  card = Card(
    name='toy',
    title='Toy-Net',
    min_size=8,
    features=128,
    parameters=sum((size**2 * inputs + 5) * outputs for size, inputs, outputs in SIZE.values()),
    preprocess={'keras': plus_minus_one(24)},
    paper=Paper('ann2026toys', 'Ann, A. and Bo, B.', 'All of {Toys}', 'Toys (T)', 2026, '2601.1'),
    colour='#123456',
    marker='*',
    sources=(
      Source(
        'torchvision',
        variant='keras',
        builder='toy',
        licence='CC0 of the toy makers',
        files=(File(f'{TORCH}/toy-0123abcd.pth'),),
        maps=('stem', 'body', 'body'),
        preprocess=plus_minus_one(28, fit='crop', resize=32),
      ),
    ),
  )

  def __init__(self, *, rngs, width=1.0, shallow=False, variant='keras'):
    self.variant, self.features = variant, scaled(128, width)

    def conv(inputs, outputs, window):
      norm = BatchNorm(outputs, epsilon=1e-3)
      return Conv(inputs, outputs, window, rngs=rngs, use_bias=True, norm=norm)

    self.stem = conv(3, scaled(64, width), Window(5, stride=4))
    self.body = conv(scaled(64, width), self.features, Window(3, stride=2))

  def activations(self, images, *, train):
    x = nnx.relu(self.stem(images, train=train))
    yield 'stem', x
    yield 'body', nnx.relu(self.body(x, train=train))

  def layers(self):
    return ['stem', 'body']

  def torch_layer(self, path):
    return f'all.{path}', f'all.{path}_bn'


@pytest.fixture(autouse=True, scope='session')
def toy_has_its_line():
  """The toy is one of the networks in all tests; processes that they start do not know it."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(models, 'NETWORKS', (*models.NETWORKS, Toy))
    yield


@pytest.fixture
def toy_weights(tmp_path, monkeypatch):
  """A file of weights made by the command that converts."""
  rng = np.random.default_rng(0)
  state = {}
  for name, (size, inputs, outputs) in SIZE.items():
    state[f'all.{name}.weight'] = rng.normal(size=(outputs, inputs, size, size))
    state[f'all.{name}.bias'] = rng.normal(size=outputs)
    for part in ('weight', 'bias', 'running_mean', 'running_var'):
      state[f'all.{name}_bn.{part}'] = rng.uniform(1, 2, outputs)
  original, path = tmp_path / 'theirs.safetensors', tmp_path / 'toy.safetensors'
  safetensors.numpy.save_file({k: v.astype(np.float32) for k, v in state.items()}, original)
  flags = ['--source=torchvision', f'--input={original}', f'--output={path}']
  monkeypatch.setattr('sys.argv', ['convert', '--model=toy', *flags])
  convert.main()
  return path
