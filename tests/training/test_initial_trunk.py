"""A run that starts from a converted weights file keeps variant, preprocessing and licence."""

from __future__ import annotations

import json

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import flaxart
from flaxart.models import create_trunk
from flaxart.models.preprocess import imagenet_statistics
from flaxart.train import train_and_evaluate
from flaxart.weights import file
from tfds_rijks.errors import UserError


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
  """A file as torchvision's ResNet50 would give it, with random numbers."""
  trunk = create_trunk('resnet50', rngs=nnx.Rngs(7), variant='torchvision')
  state = nnx.to_flat_state(nnx.state(trunk, (nnx.Param, nnx.BatchStat)))
  tensors = {'/'.join(map(str, path)): np.asarray(leaf[...]) for path, leaf in state}
  path = tmp_path_factory.mktemp('weights') / 'resnet50.safetensors'
  file.write(
    file.Weights(
      'resnet50',
      'torchvision',
      'torchvision',
      'resnet50.pth',
      'ab' * 32,
      imagenet_statistics(resize=256, fit='crop'),
      'BSD-3-Clause',
      'He et al., 2015',
      tensors,
    ),
    path,
  )
  return path


@pytest.mark.full
def test_frozen_features_of_the_run_are_those_of_the_file(weights, tiny, tmp_path):
  tiny.init, tiny.trainable = str(weights), 'heads'
  tiny.model.name, tiny.train.epochs = 'resnet50', 0.25
  tiny.model.width, tiny.model.shallow = 1.0, False
  train_and_evaluate(tiny, tmp_path / 'run')
  net = flaxart.load(tmp_path / 'run')
  trunk = flaxart.load_trunk(weights)
  assert net.preprocess == trunk.preprocess == imagenet_statistics(resize=256, fit='crop')
  images = np.random.default_rng(0).integers(0, 256, (3, 48, 40, 3), dtype=np.uint8)
  expected = trunk(trunk.preprocess.apply(jnp.asarray(images)))
  # The run's network has its BatchNorm folded, the file's does not: equal up to rounding.
  error = np.linalg.norm(net.features(images) - expected) / np.linalg.norm(expected)
  assert error < 1e-5
  assert net.about['weights']['licence'] == 'BSD-3-Clause'
  stored = json.loads((tmp_path / 'run' / 'results.json').read_text())['provenance']['weights']
  assert stored['sha256'] == trunk.about['sha256'] and stored['variant'] == 'torchvision'


@pytest.mark.parametrize(
  ('field', 'value', 'line'),
  [
    ('model.name', 'vgg19', 'holds resnet50 .torchvision., expected vgg19'),
    ('model.width', 0.5, 'holds the whole network; found model.width=0.5'),
  ],
)
def test_a_file_of_another_network_is_refused(weights, tiny, tmp_path, field, value, line):
  tiny.model.name, tiny.init = 'resnet50', str(weights)
  tiny.model.width, tiny.model.shallow = 1.0, False
  tiny.update_from_flattened_dict({field: value})
  with pytest.raises(UserError, match=line):
    train_and_evaluate(tiny, tmp_path / 'run')
  assert not (tmp_path / 'run').exists()
