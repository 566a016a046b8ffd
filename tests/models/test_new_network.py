"""A network is its file, with a card, and its line in `NETWORKS`: a toy works everywhere."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_museum import RECORDS

import flaxart
from flaxart import models
from flaxart.prediction.run import predict
from flaxart.report.__main__ import report
from flaxart.report.figures.figure1 import _style
from flaxart.train import train_and_evaluate
from flaxart.weights import convert, find
from tfds_rijks.errors import UserError


def test_a_new_network_works_from_training_to_the_report(
  toy_weights, tiny, tmp_path, extracted, collection
):
  tiny.model.name, tiny.model.width, tiny.tasks = 'toy', 1.0, 'artist'
  tiny.init, tiny.probe.cache_dir = 'scratch', str(tmp_path / 'features')
  train_and_evaluate(tiny, tmp_path / 'runs' / 'scratch')
  tiny.model.shallow, tiny.init, tiny.trainable = False, str(toy_weights), 'heads'
  for i in range(2):  # the second one finds the features of the first
    train_and_evaluate(tiny, tmp_path / 'runs' / f'frozen_s{i}')
    tiny.seed = i + 1
  assert extracted.pictures == RECORDS
  (key,) = {p.name.split('-')[0] for p in (tmp_path / 'features').glob('*.npy')}
  assert key == 'toy'

  net, trunk = flaxart.load(tmp_path / 'runs' / 'frozen_s0'), flaxart.load_trunk(toy_weights)
  images = np.random.default_rng(1).integers(0, 256, (2, 16, 12, 3), dtype=np.uint8)
  expected = trunk(trunk.preprocess.apply(images))
  np.testing.assert_allclose(net.features(images), expected, rtol=1e-5, atol=1e-6)
  rows = predict(
    tmp_path / 'runs' / 'frozen_s0', collection.parent / 'source', tmp_path / 'table.csv'
  )
  named = [row['artist_1'] for row in rows if row['status'] == 'ok']
  assert len(named) == RECORDS and set(named) <= {'Anna', 'Bert', 'Cleo'}

  report(str(tmp_path / 'runs' / '*'), tmp_path / 'report', samples=0)
  (section,) = json.loads((tmp_path / 'report' / 'tables.json').read_text())['sections']
  shown = [experiment['experiment'] for experiment in section['experiments']]
  assert shown == ['Toy-Net, off the shelf', 'Toy-Net, from scratch']
  text = (tmp_path / 'report' / 'report.html').read_text()
  for part in ('ann2026toys', 'All of {Toys}', 'Ann and Bo, All of Toys, T 2026', 'CC0 of the toy'):
    assert part in text, part
  assert '#123456' in (tmp_path / 'report' / 'figure1.svg').read_text()
  assert _style('scratch', 'toy')[2] == '*'


def test_a_missing_part_of_a_network_is_one_line(toy_weights, tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  with pytest.raises(UserError, match=r'^--source: keras has no Toy-Net; use torchvision$'):
    convert.convert('toy', source='keras', path=toy_weights)
  with pytest.raises(
    UserError, match=r'^init=imagenet: no weights of toy .* none to download; conv'
  ):
    find.find_imagenet('toy')
  monkeypatch.setattr(models, 'NETWORKS', models.NETWORKS[:-1])
  with pytest.raises(UserError, match="'toy', expected one of vgg19, inception_v3, xception, resn"):
    models.card_of('toy')
