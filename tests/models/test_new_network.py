"""A network is its file, with a card, and its line in `NETWORKS`: a toy goes the whole way."""

from __future__ import annotations

import json

import numpy as np
import pytest
import safetensors.numpy
from flax import nnx
from tiny_museum import RECORDS

import flaxart
from flaxart import models
from flaxart.models.card import TORCH, Card, File, Paper, Source
from flaxart.models.layers import BatchNorm, Conv, Window, scaled
from flaxart.models.preprocess import plus_minus_one
from flaxart.models.trunk import Trunk
from flaxart.predict import predict
from flaxart.report.__main__ import report
from flaxart.report.figures.figure1 import _style
from flaxart.train import train_and_evaluate
from flaxart.weights import convert, find
from tfds_rijks.errors import UserError


class Toy(Trunk):
  """One convolution: what stands in a network's file."""

  card = Card(
    name='toy',
    title='Toy-Net',
    min_size=8,
    features=6,
    parameters=3 * 3 * 3 * 6 + 4 * 6,
    preprocess={'own': plus_minus_one(24, fit='crop')},
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
def weights(tmp_path, monkeypatch):
  """The toy has its line; a file of its weights, made by the command that converts."""
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


def test_a_new_network_goes_the_whole_way(weights, tiny, tmp_path, extracted, collection):
  tiny.model.name, tiny.model.width, tiny.tasks = 'toy', 1.0, 'artist'
  tiny.init, tiny.probe.cache_dir = 'scratch', str(tmp_path / 'features')
  train_and_evaluate(tiny, tmp_path / 'runs' / 'scratch')
  tiny.model.shallow, tiny.init, tiny.trainable = False, str(weights), 'heads'
  for i in range(2):  # the second one finds the features of the first
    train_and_evaluate(tiny, tmp_path / 'runs' / f'frozen_s{i}')
    tiny.seed = i + 1
  assert extracted.pictures == RECORDS
  (key,) = {p.name.split('-')[0] for p in (tmp_path / 'features').glob('*.npy')}
  assert key == 'toy'

  net, trunk = flaxart.load(tmp_path / 'runs' / 'frozen_s0'), flaxart.load_trunk(weights)
  images = np.random.default_rng(1).integers(0, 256, (2, 16, 12, 3), dtype=np.uint8)
  expected = trunk(trunk.preprocess.apply(images))
  np.testing.assert_allclose(net.features(images), expected, rtol=1e-5, atol=1e-6)
  rows = predict(
    tmp_path / 'runs' / 'frozen_s0', collection.parent / 'source', tmp_path / 'table.csv'
  )
  assert len(rows) == RECORDS and {row['artist_1'] for row in rows} <= {'Anna', 'Bert', 'Cleo'}

  report(str(tmp_path / 'runs' / '*'), tmp_path / 'report', samples=0)
  (section,) = json.loads((tmp_path / 'report' / 'tables.json').read_text())['sections']
  shown = [experiment['experiment'] for experiment in section['experiments']]
  assert shown == ['Toy-Net, off the shelf', 'Toy-Net, from scratch']
  text = (tmp_path / 'report' / 'report.html').read_text()
  for part in ('ann2026toys', 'All of {Toys}', 'Ann and Bo, All of Toys, T 2026', 'CC0 of the toy'):
    assert part in text, part
  assert '#123456' in (tmp_path / 'report' / 'figure1.svg').read_text()
  assert _style('scratch', 'toy')[2] == '*'


def test_what_a_network_does_not_have_is_one_line(weights, tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  with pytest.raises(UserError, match=r'^--source: keras has no Toy-Net; use torchvision$'):
    convert.convert('toy', source='keras', path=weights)
  with pytest.raises(
    UserError, match=r'^init=imagenet: no weights of toy .* none to download; conv'
  ):
    find.find_imagenet('toy')
  monkeypatch.setattr(models, 'NETWORKS', models.NETWORKS[1:])
  with pytest.raises(UserError, match="'toy', expected one of vgg19, inception_v3, xception, resn"):
    models.card_of('toy')
