"""Every mode as a program for GPUs and TPUs, without having one: what XLA is given."""

from __future__ import annotations

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flaxart.config import default_config
from flaxart.evaluation.evaluate import eval_step
from flaxart.machine.sharding import create_mesh, over_batch, replicated
from flaxart.machine.target import use_target
from flaxart.network.classifier import InitialTrunk
from flaxart.network.over_features import over_features
from flaxart.network.state import create_train_state
from flaxart.off_the_shelf.extractor import folded_trunk
from flaxart.off_the_shelf.passes import train_pass
from flaxart.settings import read_settings
from flaxart.tasks.objective import Objective
from flaxart.tasks.regression import Regression
from flaxart.tasks.scores import zero_counts
from flaxart.tasks.sigmoid import Sigmoid
from flaxart.tasks.softmax import Softmax
from flaxart.training.optim import create_learning_rate_fn, create_optimizer
from flaxart.training.step import make_train_step, make_update

BATCH, RECORDS = 8, 24
SIZES = {'vgg19': 32, 'resnet50': 32, 'inception_v3': 75, 'xception': 71}
TASKS = (
  Softmax('artist', ('Anna', 'Bert', 'Cleo')),
  Sigmoid('material', ('oil', 'paper')),
  Regression('year', center=1700.0, scale=80.0),
)
STATISTICS = {'init': 'scratch'}  # of the batch; stored ones are the default around a trunk
FINE = {'model.bn': 'frozen'}
ALL = {
  'train.accumulate': 2,
  'augment.mixup': 0.2,
  'augment.randaugment': 2,
  'augment.flip': True,
  'augment.zoom': 0.2,
  'optim.ema': 0.9,
  'optim.clip_norm': 1.0,
  'optim.schedule': 'plateau',
  'loss.task_weights': 'learned',
  'train.on_nonfinite': 'skip',
  'model.dropout': 0.1,
}
MODES = {
  **{f'{name}, fine-tuned': ('gpu tpu', name, 'train', FINE) for name in SIZES},
  **{f'{name}, from scratch': ('gpu tpu', name, 'train', STATISTICS) for name in SIZES},
  'everything at once': ('gpu tpu', 'resnet50', 'train', ALL),
  'shard_map': ('gpu tpu', 'resnet50', 'train', STATISTICS | {'parallelism': 'shard_map'}),
  'heads on pictures': ('gpu tpu', 'vgg19', 'train', {'trainable': 'heads', 'optim.name': 'adam'}),
  'unfreezing': ('gpu tpu', 'vgg19', 'train', {'train.unfreeze': '0:heads/.*;2:.*'}),
  'evaluation': ('gpu tpu', 'resnet50', 'evaluation', FINE),
  'features': ('gpu tpu', 'vgg19', 'features', FINE),
  'heads on features': ('gpu tpu', 'vgg19', 'heads', {'trainable': 'heads'}),
}


def placed(tree, sharding):
  """The shapes of arrays that lie so."""
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)


def of_records(count, image):
  """Shapes of `count` records; `image`: of one picture, or of its features, as an array."""
  labels = {
    'artist': jnp.int32(0),
    'material': jnp.zeros(2, bool),
    'year': jnp.float32(0),
    'image': image,
  }
  return {k: jax.ShapeDtypeStruct((count, *x.shape), x.dtype) for k, x in labels.items()}


def traced(model, mode, given):
  """The program of a mode as JAX has it."""
  config = default_config()
  size = SIZES[model]
  config.update_from_flattened_dict(given)
  config.model.name, config.model.width, config.model.shallow = model, 0.03125, True
  config.data.image_size, config.train.batch_size = size, BATCH
  settings = read_settings(config)
  rate = create_learning_rate_fn(config, steps=10, steps_per_epoch=5)
  mesh, found = create_mesh(), []

  def create():
    network, state = create_train_state(
      config,
      settings,
      TASKS,
      create_optimizer(config, settings, rate),
      mesh=mesh,
      trunk=InitialTrunk(),
    )
    found.append(network)
    return state

  state = placed(jax.eval_shape(create), replicated(mesh))
  (network,) = found
  batch = of_records(BATCH, np.zeros((size, size, 3), np.uint8))
  batch |= {name: jax.ShapeDtypeStruct((BATCH,), jnp.int32) for name in ('draw', 'record')}
  batch['mask'] = jax.ShapeDtypeStruct((BATCH,), bool)
  batch = placed(batch, over_batch(mesh))
  if mode == 'evaluation':
    counts = {task.name: zero_counts(task) for task in TASKS}
    return eval_step.trace(state, placed(counts, replicated(mesh)), batch, network=network)
  if mode == 'features':
    return jax.jit(lambda state, batch: folded_trunk(network, state, mesh=mesh)(batch)).trace(
      state, {'image': batch['image'], 'record': batch['record'], 'mask': batch['mask']}
    )
  if mode == 'heads':
    width = 16
    network, state = over_features(network, state)
    update = make_update(network, config, rate, Objective())
    order = {name: jax.ShapeDtypeStruct((5, BATCH), jnp.int32) for name in ('record', 'draw')}
    data = of_records(RECORDS, np.zeros(width, np.float32))
    steps = jax.ShapeDtypeStruct((), jnp.int32)
    return jax.jit(functools.partial(train_pass, update)).trace(state, data, order, steps)
  return make_train_step(network, config, rate, Objective()).traced(state, batch)


@pytest.mark.parametrize(
  ('name', 'target'),
  [(name, target) for name, (targets, *_) in MODES.items() for target in targets.split()],
)
def test_every_mode_lowers_and_its_program_has_no_known_fault(name, target):
  _, model, mode, given = MODES[name]
  with use_target(target):
    lowered = traced(model, mode, given).lower(
      lowering_platforms=('cuda' if target == 'gpu' else target,)
    )
  program = lowered.as_text()
  # Sums over a feature map would lose their digits in bfloat16.
  assert not re.search(r'stablehlo.reduce\(.* applies stablehlo.add .*\(tensor<\d\S*bf16>', program)
  if mode != 'heads':
    assert re.search(r'stablehlo.convolution.* -> tensor<(?:\d+x){4}bf16>', program)
    assert not re.search(r'stablehlo.convolution.* -> tensor<(?:\d+x){4}f32>', program)
  learns = mode == 'train' and not {'trainable', 'train.unfreeze'} & given.keys()
  assert ('select_and_scatter' in program) == (learns and target == 'tpu')
  assert 'callback' not in program  # what waits for the host


def test_a_gpu_knows_how_many_steps_an_epoch_of_heads_has():
  for target in ('gpu', 'cpu'):
    with use_target(target):
      program = traced(*MODES['heads on features'][1:]).lower().compile().as_text()
    assert ('"known_trip_count":{"n":"5"}' in program) == (target == 'gpu')


def test_statistics_that_are_equal_everywhere_are_not_averaged():
  def sums(**given):
    program = traced('resnet50', 'train', {'parallelism': 'shard_map', **given}).lower().as_text()
    return program.count('stablehlo.all_reduce')

  stored = sums(**FINE)
  own = sums(init='scratch', **{'model.bn_sync': False}) - stored  # averaged after the step
  shared = sums(init='scratch') - stored  # summed forwards and backwards, and then equal
  assert shared == 2 * own > 0
