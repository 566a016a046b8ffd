"""`flaxart.load(workdir)`: a finished run as a function from pictures to names."""

from __future__ import annotations

import functools
import html
import itertools
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from flaxart.data import any_picture
from flaxart.evaluation import calibration
from flaxart.evaluation.answer import Row, row, stored
from flaxart.evaluation.calibration import decide
from flaxart.machine.sharding import create_mesh
from flaxart.models.fold import fold_batchnorm
from flaxart.models.ops.kernel_forms import Inference
from flaxart.network.state import Network, TrainState
from flaxart.tasks.task import Task
from flaxart.weights.load import LoadedTrunk
from flaxart.weights.load import load_trunk as load_trunk_file
from flaxart.workdir import run_folder
from flaxart.workdir.beside_trainer import of_best
from flaxart.workdir.restore import restore_network
from flaxart.workdir.stored_results import FILE, read_results
from tfds_rijks import images as pictures
from tfds_rijks.errors import ImageError, UserError

SHOWN = 6  # class names of a task, in a notebook


class Net:
  """A trained network in inference mode.

  Attributes: `labels` `{task: class names in the order of the outputs}`, `preprocess` (of uint8
  values), `image_size`, `fit` and `resize` (how pictures become squares), `tasks`, `calibration`
  (what `decide` uses), `about` (run, step, dataset, version), `scores` `{task: its main score in
  words}`.
  """

  def __init__(
    self,
    network: Network,
    state: TrainState,
    config: ConfigDict,
    about: Mapping[str, Any],
    calibration: Mapping[str, Any] | None = None,
  ):
    self.tasks: tuple[Task, ...] = network.tasks
    self.labels = {task.name: task.classes for task in network.tasks}
    self.image_size: int = config.data.image_size
    self.fit: pictures.Fit = config.data.fit
    self.resize: pictures.Resize = config.data.resize
    self.about = dict(about)
    self.scores: dict[str, str] = self.about.pop('scores', {})
    self.calibration = dict(calibration or {})
    model = network.merge(state.trainable, state.frozen, state.batch_stats)
    # Only for inference: BatchNorm becomes part of the convolutions (equal to 1e-5 in float32; in
    # bfloat16 a probability may change by a hundredth).
    model.trunk = fold_batchnorm(model.trunk)
    graphdef, arrays = nnx.split(model)
    self.preprocess = model.preprocess
    self._smallest = model.trunk.card.min_size
    self._probabilities = Inference(functools.partial(_probabilities, graphdef, self.tasks), arrays)
    self._features = Inference(functools.partial(_features, graphdef), arrays)

  def __repr__(self) -> str:
    lines = [f'{self.about["model"]} at {self.image_size} px, step {self.about["step"]}']
    for task in self.tasks:
      what = f'{len(task.classes)} classes' if task.classes else 'a number'
      lines.append(f'  {task.name}: {what}, {self.scores.get(task.name, "not scored")}')
    return '\n'.join(lines)

  def _repr_html_(self) -> str:
    """The same as a table, with some of the classes, for a notebook."""
    lines = []
    for task in self.tasks:
      some = ', '.join(task.classes[:SHOWN]) + ', ...' * (len(task.classes) > SHOWN)
      cells = (task.name, len(task.classes) or 'a number', self.scores.get(task.name, ''), some)
      lines.append(
        ''.join(f'<td style="text-align:left">{html.escape(str(c))}</td>' for c in cells)
      )
    head = ''.join(f'<th>{name}</th>' for name in ('task', 'classes', 'score', 'among them'))
    title = html.escape(repr(self).partition('\n')[0])
    body = '</tr><tr>'.join([head, *lines])
    return f'<table><caption>{title}</caption><tr>{body}</tr></table>'

  def __call__(self, images: Any) -> dict[str, np.ndarray]:
    """`[B, H, W, 3]` uint8 -> `{task: [B, C] float32 probabilities}`.

    Softmax rows sum to 1; sigmoid classes are independent; a regression task gives `[B]` in its own
    unit. Train and test pictures were squares of `image_size` (see `square`); other sizes work too.
    """
    return jax.tree.map(np.asarray, self.dispatched(images))

  def dispatched(self, images: Any) -> dict[str, jax.Array]:
    """The same on the device, possibly still being computed."""
    return self._probabilities(self._checked(images))

  def features(self, images: Any) -> np.ndarray:
    """`[B, H, W, 3]` uint8 -> `[B, D]` float32 pooled features of the trunk."""
    return np.asarray(self._features(self._checked(images)))

  def decide(self, probabilities: Mapping[str, np.ndarray]) -> dict[str, list[list[str]]]:
    """The network's output for pictures -> the names decided for each task and picture.

    No name if its calibrated probability does not pass the threshold chosen on val (see
    `flaxart.evaluation.calibration`), or the run has none; several only for sigmoid tasks.
    """
    return {
      task.name: [
        decide(task, self.calibration.get(task.name), p) for p in probabilities[task.name]
      ]
      for task in self.tasks
    }

  def predict(self, given: Any, *, batch_size: int = 32) -> list[Row]:
    """Names with calibrated probabilities: a `Row` for each picture, in order.

    `given` is a list of pictures, or one: paths, bytes, arrays and records as `square` takes them.
    A row has the likeliest names of each task, each with its calibrated `probability` and whether
    it is `decided`; of a picture that cannot be read it has the `reason`. Raises `UserError` for
    what cannot be a picture.
    """
    if batch_size < 1:
      raise UserError(f'batch_size: found {batch_size}, expected 1 or more')
    rows: list[Row] = []
    several = iter(any_picture.several(given))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
      while batch := list(itertools.islice(several, batch_size)):
        squares = list(pool.map(self._square_or_reason, batch))
        images = np.zeros((batch_size, self.image_size, self.image_size, 3), np.uint8)  # one shape
        for i, square in enumerate(squares):
          if not isinstance(square, str):
            images[i] = square
        found = self(images)
        for i, (picture, square) in enumerate(zip(batch, squares, strict=True)):
          said = square if isinstance(square, str) else {task: p[i] for task, p in found.items()}
          name, number = any_picture.name_of(picture), any_picture.number_of(picture)
          rows.append(row(self.tasks, name, number, stored(self.tasks, self.calibration, said)))
    return rows

  def square(self, picture: Any, *, name: str = '') -> np.ndarray:
    """A picture -> uint8 `[S, S, 3]` as in training: a path, a file's bytes, RGB pixels uint8
    `[H, W, 3]`, or a record of `tfds.data_source`.

    Raises `ImageError` for a file that cannot be read, `UserError` for anything else.
    """
    square = pictures.Square(self.image_size, self.fit, self.resize)  # may need a library
    return any_picture.square_of(picture, square, name=name)

  def _square_or_reason(self, picture: Any) -> np.ndarray | str:
    try:
      return self.square(picture)
    except ImageError as error:
      return any_picture.reason_of(error)

  def _checked(self, images: Any) -> np.ndarray:
    array = np.asarray(images)
    if array.ndim != 4 or array.shape[3] != 3 or array.dtype != np.uint8:
      raise UserError(
        f'images: found {array.dtype} {array.shape}, expected uint8 [B, H, W, 3] with '
        'values 0 to 255'
      )
    if min(array.shape[1:3]) < self._smallest:
      raise UserError(
        f'images: found {array.shape[1]} x {array.shape[2]} pixels, the network '
        f'needs at least {self._smallest}'
      )
    return array


def load(workdir: str | Path, *, step: int | None = None, fallback: bool = False) -> Net:
  """The best checkpoint of a finished run (or `step`), ready to call.

  With `fallback` the best intact one. Only the best one makes decisions. Needs only the workdir,
  not the dataset. Raises `UserError` if it holds no run or no checkpoint.
  """
  workdir = Path(workdir).expanduser()
  config, tasks = run_folder.read_run(workdir)

  def read(step: int) -> tuple[Network, TrainState, calibration.Calibration]:
    network, state = restore_network(workdir, step, config, tasks, mesh=create_mesh())
    return network, state, calibration.read(workdir, step=step)

  chosen, (network, state, calibrated) = of_best(workdir, read, step=step, fallback=fallback)
  about = {
    'weights': run_folder.read_trunk_json(workdir)['about'],
    'workdir': str(workdir),
    'step': chosen,
    'model': config.model.name,
    'dataset': config.data.dataset,
    'init': config.init,
    'classes_sha256': {task.name: task.sha256 for task in tasks},
  }
  about['scores'] = _scores(workdir, tasks)
  return Net(network, state, config, about, calibrated)


def load_trunk(path: str | Path) -> LoadedTrunk:
  """A trunk ready to call: from a file of `flaxart weights convert`, or a finished run's best step.
  Raises `UserError` if it is neither, or damaged.
  """
  path = Path(path).expanduser()
  if not path.is_dir():
    return load_trunk_file(path)
  config, tasks = run_folder.read_run(path)
  step, (network, state) = of_best(
    path, lambda step: restore_network(path, step, config, tasks, mesh=create_mesh())
  )
  model = network.merge(state.trainable, state.frozen, state.batch_stats)
  about = {'model': config.model.name, 'source': f'run {path.name}, step {step}'}
  return LoadedTrunk(model.trunk, model.preprocess, about)


def _scores(workdir: Path, tasks: Iterable[Task]) -> dict[str, str]:
  """`{task: '88.4 % top1 on test'}` of a finished run, for tasks with scores."""
  results = read_results(workdir) if (workdir / FILE).exists() else {}
  split = 'test' if 'test' in results else 'val'
  found = {task.name: results.get(split, {}).get(task.name, {}).get(task.main) for task in tasks}
  mains = {task.name: task.main for task in tasks}
  return {
    name: f'{100 * value:.1f} % {mains[name]} on {split}'
    for name, value in found.items()
    if value is not None
  }


def _probabilities(
  graphdef: nnx.GraphDef, tasks: tuple[Task, ...], arrays: nnx.State, images: jax.Array
) -> dict[str, jax.Array]:
  logits = nnx.merge(graphdef, arrays)(images, train=False)
  return {task.name: task.answer(logits[task.name]) for task in tasks}


def _features(graphdef: nnx.GraphDef, arrays: nnx.State, images: jax.Array) -> jax.Array:
  return nnx.merge(graphdef, arrays).features(images, train=False)
