"""Our side of the comparisons, built as a run builds it, and plain Flax with the same networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
from flax import nnx
from ml_collections import ConfigDict

from benchmarks.peers import CLASSES, MOMENTUM, RATE, random_batch, torch_source
from flaxart.config import default_config
from flaxart.machine.sharding import Flat, create_mesh, put_batch
from flaxart.machine.target import use_target
from flaxart.models import cards
from flaxart.network.classifier import InitialTrunk, TrunkSpec
from flaxart.network.state import Network, TrainState, create_train_state
from flaxart.off_the_shelf.extractor import folded_trunk
from flaxart.settings import read_settings
from flaxart.tasks.objective import Objective
from flaxart.tasks.softmax import Softmax
from flaxart.training.optim import create_learning_rate_fn, create_optimizer
from flaxart.training.step import make_train_step
from tfds_rijks.errors import UserError

HEADS = {'artist': CLASSES, 'material': 100, 'type': 80}


def variant(model: str, peer: str) -> str:
  """The variant of the network that a peer computes."""
  card = cards()[model]
  return torch_source(card).variant if peer.startswith('torch') else card.variants[0]


def create(
  model: str, size: int, *, variant: str, dtype: str, heads: int = 1
) -> tuple[ConfigDict, Network, TrainState]:
  """A run before its first step, with the first `heads` of `HEADS`.

  Raises `UserError` if JAX sees several devices: it would use them all, and the peers one.
  """
  if jax.device_count() > 1:
    raise UserError(
      f'benchmarks run on one device; JAX sees {jax.device_count()}: start them with '
      'CUDA_VISIBLE_DEVICES=0 (GPU) or TPU_VISIBLE_CHIPS=0'
    )
  config = default_config()
  config.init, config.model.name, config.data.image_size = 'scratch', model, size
  config.model.dtype = dtype
  config.optim.learning_rate, config.optim.momentum = RATE, MOMENTUM
  tasks = [Softmax(n, tuple(map(str, range(c)))) for n, c in list(HEADS.items())[:heads]]
  config.tasks = ','.join(task.name for task in tasks)
  rate = create_learning_rate_fn(config, steps=1000, steps_per_epoch=100)
  settings = read_settings(config)
  network, state = create_train_state(
    config,
    settings,
    tasks,
    create_optimizer(config, settings, rate),
    mesh=create_mesh(),
    trunk=InitialTrunk(TrunkSpec(variant=variant)),
  )
  return config, network, state


def labelled(batch: int, size: int, heads: int) -> dict[str, Any]:
  """A random batch on the device, as from the loader."""
  images, labels = random_batch(batch, size)
  columns = {name: labels % count for name, count in list(HEADS.items())[:heads]}
  host = {'image': images, 'draw': np.arange(batch), **columns}
  return put_batch(host, create_mesh())


@dataclasses.dataclass(frozen=True)
class Step:
  """A step to call; `traced()` is its JAX program."""

  work: Callable[[], Any]
  traced: Callable[[], jax.stages.Traced]

  def __call__(self) -> None:
    self.work()


def train(model: str, batch: int, size: int, *, variant: str, dtype: str, heads: int = 1) -> Step:
  """A train step from uint8 pictures on the device."""
  config, network, state = create(model, size, variant=variant, dtype=dtype, heads=heads)
  step = make_train_step(network, config, lambda _: RATE, Objective())
  data, held = labelled(batch, size, heads), [Flat.of(state)]

  def work() -> None:
    held[0], metrics = step.flat(held[0], data)
    jax.block_until_ready(metrics)

  return Step(work, lambda: step.traced(held[0].whole(), data))


def features(model: str, batch: int, size: int, *, variant: str, dtype: str) -> Step:
  """Pooled features with folded BatchNorm, from uint8 pictures on the device."""
  _, network, state = create(model, size, variant=variant, dtype=dtype)
  forward = folded_trunk(network, state, mesh=create_mesh())
  host = {
    'image': random_batch(batch, size)[0],
    'record': np.arange(batch),
    'mask': np.ones(batch, bool),
  }
  data = put_batch(host, create_mesh())
  return Step(lambda: jax.block_until_ready(forward(data)), lambda: forward.traced(data))


def plain_train(model: str, batch: int, size: int, *, dtype: str) -> Callable:
  """As in the Flax guides: `lax.conv`, `nnx.jit`, `nnx.Optimizer`; Keras's variant."""
  _, network, state = create(model, size, variant=variant(model, 'plain'), dtype=dtype)
  net = network.merge(state.trainable, state.frozen, state.batch_stats)
  tx = optax.sgd(RATE, momentum=MOMENTUM, nesterov=True)
  optimizer = nnx.Optimizer(net, tx, wrt=nnx.Param)
  data = labelled(batch, size, 1)

  @nnx.jit
  def step(net: Any, optimizer: Any, images: jax.Array, labels: jax.Array) -> jax.Array:
    def loss_fn(net: Any) -> jax.Array:
      logits = net(images, train=True)['artist']
      return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    loss, grads = nnx.value_and_grad(loss_fn)(net)
    optimizer.update(net, grads)
    return loss

  def work() -> None:
    with use_target('tpu'):
      jax.block_until_ready(step(net, optimizer, data['image'], data['artist']))

  return work


def plain_features(model: str, batch: int, size: int, *, dtype: str) -> Callable:
  """`nnx.jit` of the network in inference mode, BatchNorm not folded, `lax.conv`."""
  _, network, state = create(model, size, variant=variant(model, 'plain'), dtype=dtype)
  net = network.merge(state.trainable, state.frozen, state.batch_stats)
  images = labelled(batch, size, 1)['image']

  @nnx.jit
  def forward(net: Any, images: jax.Array) -> jax.Array:
    return net.features(images)

  def work() -> None:
    with use_target('tpu'):
      jax.block_until_ready(forward(net, images))

  return work
