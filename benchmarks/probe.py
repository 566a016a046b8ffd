"""How many cached features a second the heads of an off-the-shelf run learn from.

  python -m benchmarks.probe --models=resnet50 --peers=numpy,jit_loop --rounds=5 --output=F.json

trains three softmax heads (375, 100 and 80 classes, a tenth of the labels missing) on random
features of the model's width, batch 256: `ours` by `flaxart.off_the_shelf.passes` (an epoch is one
loop on the device, which holds the features), `theirs` by a loop over batches gathered on the host:
the same jitted step (`jit_loop`), NumPy alone, or PyTorch. Rates are pictures a second.
"""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import optax
from flax import nnx

from benchmarks import measure
from benchmarks.peers import on_device, wait
from benchmarks.sides import Side, Work, in_turns
from flaxart.config import default_config
from flaxart.data.order import example_order
from flaxart.data.source import Dataset
from flaxart.machine.sharding import create_mesh, replicated
from flaxart.models import cards
from flaxart.network.classifier import Classifier
from flaxart.network.over_features import NoPreprocess, NoTrunk
from flaxart.network.state import Network, TrainState
from flaxart.off_the_shelf.feature_batches import train_data
from flaxart.off_the_shelf.passes import Passes, with_optimizer
from flaxart.settings import read_settings
from flaxart.tasks.objective import Objective
from flaxart.tasks.softmax import Softmax
from flaxart.training.optim import create_optimizer
from flaxart.training.run import Run
from flaxart.training.step import make_update
from tfds_rijks.command import run
from tfds_rijks.errors import UserError

CLASSES = {'artist': 375, 'material': 100, 'type': 80}
SETTINGS = ('sgd:0.01', 'rmsprop:1e-3', 'adam:1e-3')
MOMENTUM = 0.9

Epoch = Callable[[int], None]  # trains one epoch, given its number


class Width(NoTrunk):
  """A trunk that only has a width."""

  def __init__(self, features: int):
    self.features = features


class Museum:
  """Random features and labels, and the batches of each epoch."""

  def __init__(self, pictures: int, width: int, batch: int):
    rng = np.random.default_rng(0)
    self.pictures, self.width, self.batch = pictures, width, batch
    self.features = rng.standard_normal((pictures, width), dtype=np.float32)
    labels = {name: rng.integers(0, count, pictures) for name, count in CLASSES.items()}
    known = {name: rng.random(pictures) > 0.1 for name in CLASSES}
    self.labels = {
      name: np.where(known[name], labels[name], -1).astype(np.int32) for name in labels
    }
    self.tasks = [Softmax(name, tuple(map(str, range(n)))) for name, n in CLASSES.items()]

  def records(self, epoch: int) -> np.ndarray:
    """`[S, B]`: the batches of an epoch."""
    count = self.pictures // self.batch * self.batch
    order = example_order(self.pictures, first=epoch * count, count=count, seed=0)
    return order.reshape(-1, self.batch)


def heads_over(museum: Museum, setting: str) -> tuple[Run, TrainState]:
  """A run of our heads on features, and its state before the first step."""
  config, mesh = default_config(), create_mesh()
  config.tasks, config.train.batch_size = ','.join(CLASSES), museum.batch
  config.optim.name, _, rate = setting.partition(':')
  config.optim.learning_rate = float(rate)
  settings = read_settings(config)
  trunk = Width(museum.width)
  model = Classifier(trunk, museum.tasks, preprocess=NoPreprocess(1), dropout=0.0, rngs=nnx.Rngs(0))
  parts: tuple[Any, ...] = nnx.split(model, nnx.Param, nnx.Nothing(), nnx.BatchStat)
  learning_rate = optax.constant_schedule(config.optim.learning_rate)
  optimizer = create_optimizer(config, settings, learning_rate)
  split: Any = SimpleNamespace(decoded=museum.features, columns=museum.labels)
  run = Run(
    config=config,
    settings=settings,
    workdir=Path(),
    dataset=Dataset('random', '', Path(), {}, {'train': split}, {}),
    network=Network(parts[0], tuple(museum.tasks), optimizer, (parts[0],)),
    mesh=mesh,
    steps=1,
    steps_per_epoch=museum.pictures / museum.batch,
    learning_rate=learning_rate,
    objective=Objective(),
  )
  state = jax.device_put(TrainState(jax.numpy.int32(0), *parts[1:], ()), replicated(mesh))
  return run, with_optimizer(run, state)


def ours(museum: Museum, setting: str) -> Epoch:
  """One loop on the device per epoch."""
  run, state = heads_over(museum, setting)
  data = train_data(run.dataset.split('train'), mesh=run.mesh)
  passes = Passes(run, room=len(museum.records(0)))

  def epoch(number: int) -> None:
    nonlocal state
    records = museum.records(number)
    state, _ = passes.train(state, data, records, first=number * records.size)

  return epoch


def jit_loop(museum: Museum, setting: str) -> Epoch:
  """The same step, dispatched for each batch."""
  run, state = heads_over(museum, setting)
  step = jax.jit(
    make_update(run.network, run.config, run.learning_rate, run.objective), donate_argnums=0
  )

  def epoch(number: int) -> None:
    nonlocal state
    for records in museum.records(number):
      labels = {name: column[records] for name, column in museum.labels.items()}
      batch = {'image': museum.features[records], 'draw': records, **labels}
      state, _ = step(state, jax.device_put(batch))
    jax.block_until_ready(state)

  return epoch


def numpy_loop(museum: Museum, setting: str) -> Epoch:
  """SGD with Nesterov momentum, written out; no other optimizer."""
  rate = float(setting.removeprefix('sgd:'))
  shapes = [(museum.width + 1, count) for count in CLASSES.values()]
  kernels = [np.zeros(shape, np.float32) for shape in shapes]
  traces = [np.zeros(shape, np.float32) for shape in shapes]

  def epoch(number: int) -> None:
    for records in museum.records(number):
      x = museum.features[records]
      for name, kernel, trace in zip(CLASSES, kernels, traces, strict=True):
        labels = museum.labels[name][records]
        known = labels >= 0
        logits = x @ kernel[:-1] + kernel[-1]
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        error = odds / odds.sum(axis=1, keepdims=True)
        error[np.arange(len(x)), np.maximum(labels, 0)] -= 1
        error *= known[:, None] / max(1, known.sum())
        gradient = np.concatenate([x.T @ error, error.sum(axis=0, keepdims=True)])
        trace *= MOMENTUM
        trace += gradient
        kernel -= rate * (gradient + MOMENTUM * trace)

  return epoch


def torch_loop(museum: Museum, setting: str) -> Epoch:
  """`nn.Linear`, `cross_entropy` and `torch.optim`, features gathered by `index_select`."""
  try:
    import torch
    from torch.nn.functional import cross_entropy
  except ImportError:
    raise UserError('--peers: torch is not installed; install the extra `benchmarks`') from None

  name, _, rate = setting.partition(':')
  features = on_device(torch.from_numpy(museum.features))
  labels = {n: on_device(torch.from_numpy(c).long()) for n, c in museum.labels.items()}
  linear = on_device(
    torch.nn.ModuleList(torch.nn.Linear(museum.width, c) for c in CLASSES.values())
  )
  make = {
    'sgd': lambda p: torch.optim.SGD(p, float(rate), momentum=MOMENTUM, nesterov=True),
    'rmsprop': lambda p: torch.optim.RMSprop(p, float(rate), alpha=0.9),
    'adam': lambda p: torch.optim.Adam(p, float(rate)),
  }
  optimizer = make[name](linear.parameters())

  def epoch(number: int) -> None:
    for records in on_device(torch.from_numpy(museum.records(number))):
      x = features[records]
      losses = [
        cross_entropy(head(x), labels[n][records], ignore_index=-1)
        for n, head in zip(CLASSES, linear, strict=True)
      ]
      optimizer.zero_grad()
      sum(losses).backward()
      optimizer.step()
    wait()

  return epoch


PEERS = {'numpy': numpy_loop, 'jit_loop': jit_loop, 'torch': torch_loop}
SIDES = {'ours': ours} | PEERS


def epochs(kind: str, pictures: int, width: int, batch: int, setting: str) -> Work:
  """Trains one epoch after the other, in the process of its side."""
  epoch = SIDES[kind](Museum(pictures, width, batch), setting)
  numbers = itertools.count()
  return lambda: epoch(next(numbers))


def main() -> int | None:
  """The command."""
  parser = measure.parser('probe', __doc__, peers=list(PEERS), default='numpy,jit_loop')
  parser.add_argument('--pictures', type=int, default=100_000)
  parser.add_argument('--batch', type=int, default=256)
  parser.add_argument('--seconds', type=float, default=2.0, help='minimum per turn')
  arguments = parser.parse_args()
  models = measure.chosen(arguments.models, list(cards()), flag='--models')
  chosen = measure.chosen(arguments.peers, list(PEERS), flag='--peers')
  results = []
  for model in models:
    for setting in SETTINGS:
      peers = [peer for peer in chosen if peer != 'numpy' or setting.startswith('sgd')]
      shape = (arguments.pictures, cards()[model].features, arguments.batch)
      measured = arguments.pictures // arguments.batch * arguments.batch
      sides = {
        kind: Side(
          functools.partial(epochs, kind, *shape, setting),
          measured,
          command=kind in ('ours', 'jit_loop'),
        )
        for kind in ('ours', *peers)
      }
      in_turns(sides, rounds=arguments.rounds, seconds=arguments.seconds)
      about = {'features': shape[1], 'pictures': arguments.pictures, 'batch': arguments.batch}
      results += measure.compared(model, setting, sides, **about)
      measure.save(arguments.output, results, command=measure.told(sys.argv))
  return None


if __name__ == '__main__':
  run(main)
