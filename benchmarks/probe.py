"""How many cached features a second the heads of an off-the-shelf run learn from.

  python -m benchmarks.probe --models=resnet50 --peers=numpy,jit_loop --rounds=5 --output=F.json

trains three softmax heads (375, 100 and 80 classes, a tenth of the labels missing) on random
features of the model's width, batch 256: `ours` by `flaxart.off_the_shelf.sweep` (an epoch is one
loop on the device, where the features lie), `theirs` by a loop over batches that are gathered on
the host: the same jitted step (`jit_loop`), NumPy alone, or PyTorch. Rates are pictures a second;
one picture counts once, however many settings learn from it.
"""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable
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
from flaxart.machine.sharding import create_mesh
from flaxart.models import cards
from flaxart.network.classifier import Classifier
from flaxart.network.over_features import AsGiven, Given
from flaxart.network.state import Network, TrainState
from flaxart.off_the_shelf.feature_batches import train_data
from flaxart.off_the_shelf.sweep import Sweep
from flaxart.settings import read_settings
from flaxart.tasks.objective import Objective
from flaxart.tasks.softmax import Softmax
from tfds_rijks.command import run
from tfds_rijks.errors import UserError

CLASSES = {'artist': 375, 'material': 100, 'type': 80}
SETTINGS = ('sgd:0.01', 'rmsprop:1e-3', 'adam:1e-3')
MOMENTUM = 0.9

Epoch = Callable[[int], None]  # trains one epoch, given its number


class Width(Given):
  """A trunk of which nothing is needed but its width."""

  def __init__(self, features: int):
    self.features = features


class Museum:
  """Random features and labels, and where each epoch's batches come from."""

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


def sweep_over(museum: Museum, settings: str) -> Sweep:
  """Our heads on features, as a run makes them."""
  config = default_config()
  config.tasks, config.probe.settings = ','.join(CLASSES), settings
  trunk = Width(museum.width)
  model = Classifier(trunk, museum.tasks, preprocess=AsGiven(1), dropout=0.0, rngs=nnx.Rngs(0))
  parts: tuple[Any, ...] = nnx.split(model, nnx.Param, nnx.Nothing(), nnx.BatchStat)
  network = Network(parts[0], tuple(museum.tasks), optax.identity())
  state = TrainState(jax.numpy.int32(0), *parts[1:], ())
  return Sweep(
    config,
    read_settings(config),
    network,
    state,
    objective=Objective(),
    steps=1,
    steps_per_epoch=museum.pictures / museum.batch,
    mesh=create_mesh(),
  )


def ours(museum: Museum, settings: str) -> Epoch:
  """One loop on the device an epoch."""
  sweep = sweep_over(museum, settings)
  split: Any = SimpleNamespace(labels=museum.labels)
  data = train_data(split, museum.features, mesh=create_mesh())

  def epoch(number: int) -> None:
    records = museum.records(number)
    sweep.train(data, records, first=number * records.size, room=len(records))

  return epoch


def jit_loop(museum: Museum, settings: str) -> Epoch:
  """The same step, dispatched for each batch and setting."""
  sweep = sweep_over(museum, settings)
  states = list(sweep.states)
  steps = [jax.jit(setting.step, donate_argnums=0) for setting in sweep.settings]

  def epoch(number: int) -> None:
    for records in museum.records(number):
      labels = {name: column[records] for name, column in museum.labels.items()}
      batch = jax.device_put({'image': museum.features[records], 'draw': records, **labels})
      for i, step in enumerate(steps):
        states[i], _ = step(states[i], batch)
    jax.block_until_ready(states)

  return epoch


def numpy_loop(museum: Museum, settings: str) -> Epoch:
  """SGD with Nesterov momentum, written out; the only optimizer that it knows."""
  rate = float(settings.removeprefix('sgd:'))
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


def torch_loop(museum: Museum, settings: str) -> Epoch:
  """`nn.Linear`, `cross_entropy` and `torch.optim`, features gathered by `index_select`."""
  try:
    import torch
    from torch.nn.functional import cross_entropy
  except ImportError:
    raise UserError('--peers: torch is not installed; install the extra `benchmarks`') from None

  name, _, rate = settings.partition(':')
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


def epochs(kind: str, pictures: int, width: int, batch: int, settings: str) -> Work:
  """Trains one epoch after the other, in the process of its side."""
  epoch = SIDES[kind](Museum(pictures, width, batch), settings)
  numbers = itertools.count()
  return lambda: epoch(next(numbers))


def main() -> int | None:
  """The command."""
  parser = measure.parser('probe', __doc__, peers=list(PEERS), default='numpy,jit_loop')
  parser.add_argument('--pictures', type=int, default=100_000)
  parser.add_argument('--batch', type=int, default=256)
  parser.add_argument('--seconds', type=float, default=2.0, help='of a turn, at the least')
  arguments = parser.parse_args()
  models = measure.chosen(arguments.models, list(cards()), flag='--models')
  chosen = measure.chosen(arguments.peers, list(PEERS), flag='--peers')
  results = []
  for model in models:
    for settings in (*SETTINGS, ','.join(SETTINGS)):
      # Several settings at once are ours alone, and the loop's over the same step.
      peers = [
        peer
        for peer in chosen
        if not (peer == 'numpy' and not settings.startswith('sgd'))
        and not (',' in settings and peer != 'jit_loop')
      ]
      shape = (arguments.pictures, cards()[model].features, arguments.batch)
      measured = arguments.pictures // arguments.batch * arguments.batch
      sides = {
        kind: Side(
          functools.partial(epochs, kind, *shape, settings),
          measured,
          command=kind in ('ours', 'jit_loop'),
        )
        for kind in ('ours', *peers)
      }
      in_turns(sides, rounds=arguments.rounds, seconds=arguments.seconds)
      about = {'features': shape[1], 'pictures': arguments.pictures, 'batch': arguments.batch}
      results += measure.compared(model, settings, sides, **about)
      measure.save(arguments.output, results, command=measure.told(sys.argv))
  return None


if __name__ == '__main__':
  run(main)
