"""A network of one convolution, like a file in `flaxart/models`, and weights of it."""

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


class Toy(Trunk):
  """One convolution: the class in a network's file."""

  card = Card(
    name='toy',
    title='Toy-Net',
    min_size=8,
    features=6,
    parameters=3 * 3 * 3 * 6 + 4 * 6,
    preprocess={'own': plus_minus_one(24)},
    paper=Paper('ann2026toys', 'Ann, A. and Bo, B.', 'All of {Toys}', 'Toys (T)', 2026, '2601.1'),
    colour='#123456',
    marker='*',
    sources=(
      Source(
        'torchvision',
        variant='own',
        builder='toy',
        licence='CC0 of the toy makers',
        files=(File(f'{TORCH}/toy-0123abcd.pth'),),
        maps=('conv', 'conv', 'conv'),
        preprocess=plus_minus_one(28, fit='crop', resize=32),
      ),
    ),
  )

  def __init__(self, *, rngs, width=1.0, shallow=False, variant='own'):
    self.variant, self.features = variant, scaled(6, width)
    norm = BatchNorm(self.features, epsilon=1e-3)
    self.conv = Conv(3, self.features, Window(3, stride=4), rngs=rngs, norm=norm)

  def activations(self, images, *, train):
    yield 'conv', nnx.relu(self.conv(images, train=train))

  def layers(self):
    return ['conv']

  def torch_layer(self, path):
    return f'body.{path}', 'body.bn'


@pytest.fixture
def toy_weights(tmp_path, monkeypatch):
  """The toy has its line, and a file of weights made by the command that converts."""
  monkeypatch.setattr(models, 'NETWORKS', (Toy, *models.NETWORKS))
  rng = np.random.default_rng(0)
  norm = {n: rng.uniform(1, 2, 6) for n in ('weight', 'bias', 'running_mean', 'running_var')}
  state = {'body.conv.weight': rng.normal(size=(6, 3, 3, 3))}
  state |= {f'body.bn.{name}': value for name, value in norm.items()}
  original, path = tmp_path / 'theirs.safetensors', tmp_path / 'toy.safetensors'
  safetensors.numpy.save_file({k: v.astype(np.float32) for k, v in state.items()}, original)
  flags = ['--source=torchvision', f'--input={original}', f'--output={path}']
  monkeypatch.setattr('sys.argv', ['convert', '--model=toy', *flags])
  convert.main()
  return path
