"""A user's script with every public name; `tests/test_wheel.py` has `mypy --strict` check it."""

from __future__ import annotations

import jax
import numpy as np
from flax import nnx

import flaxart
import tfds_rijks
from flaxart.net import Net
from flaxart.tasks.task import Task
from flaxart.weights.load import LoadedTrunk
from tfds_rijks.errors import UserError
from tfds_rijks.images import ImageError, Square

version: str = flaxart.__version__
builders = (tfds_rijks.collection.Builder, tfds_rijks.rijksmuseum.Builder)


def names_of(workdir: str, encoded: bytes) -> dict[str, list[list[str]]]:
  """The names decided for one picture."""
  net: Net = flaxart.load(workdir, step=None, fallback=True)
  tasks: tuple[Task, ...] = net.tasks
  classes: dict[str, tuple[str, ...]] = {task.name: task.classes for task in tasks}
  assert classes == net.labels
  try:
    square: np.ndarray = net.square(encoded, name='mine.jpg')
  except ImageError as error:
    raise UserError(str(error)) from error
  features: np.ndarray = net.features(square[None])
  probabilities: dict[str, np.ndarray] = net(square[None])
  print(net, features.shape, net.preprocess.to_json(), net.about['step'], net.scores)
  return net.decide(probabilities)


def pooled(file: str, encoded: bytes) -> jax.Array:
  """The features of one picture."""
  trunk: LoadedTrunk = flaxart.load_trunk(file)
  module: nnx.Module = trunk.module
  square: np.ndarray = Square(trunk.preprocess.size)(encoded, name='mine.jpg')
  print(module, trunk.features, trunk.about)
  return trunk(trunk.preprocess.apply(square[None]))
