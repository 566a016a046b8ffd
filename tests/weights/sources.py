"""Weights in the originals' formats without the originals: right names, random numbers."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import h5py
import numpy as np

from flaxart.weights import names
from flaxart.weights.convert import source_of

CLASSES = 10


def keras_layers(model: str, *, seed: int = 0) -> list[tuple[str, list[np.ndarray]]]:
  """Layers in the order of Keras's `model.layers`, unnamed as Keras leaves them."""
  trunk = names.abstract_trunk(model, 'keras')
  shapes = names.expected_shapes(trunk)
  rng = np.random.default_rng(seed)
  take = lambda path: _random(rng, path, shapes[path])  # noqa: E731
  layers: list[tuple[str, list[np.ndarray]]] = []
  for path in trunk.layers():
    conv = path
    if names.is_separable(trunk, path):
      conv = f'{path}/pointwise'
      depthwise = take(f'{path}/depthwise/kernel').transpose(0, 1, 3, 2)
      layers.append(('separable_conv2d', [depthwise, take(f'{conv}/kernel')]))
    else:
      layers.append(
        ('conv2d', [take(f'{path}/{f}') for f in ('kernel', 'bias') if f'{path}/{f}' in shapes])
      )
    layers.append(
      (
        'batch_normalization',
        [
          take(f'{conv}/norm/{f}')
          for f in ('scale', 'bias', 'mean', 'var')
          if f'{conv}/norm/{f}' in shapes
        ],
      )
    )
  return [(name, arrays) for name, arrays in layers if arrays]


def _random(rng: np.random.Generator, path: str, shape: tuple[int, ...]) -> np.ndarray:
  values = rng.normal(size=shape).astype(np.float32)
  return np.abs(values) if path.endswith('/var') else values


def numbered(layers: list, *, first: int = 0) -> list:
  """Unique names with Keras's running numbers, which start wherever the session left off."""
  counts: dict[str, int] = {}
  result = []
  for name, arrays in layers:
    n = counts.get(name, first)
    counts[name] = n + 1
    result.append((f'{name}_{n}' if n else name, arrays))
  return result


def write_legacy(path: Path, layers: list, *, whole_model: bool = False) -> Path:
  """Keras 2 and earlier, as the official downloads are; `whole_model` as `model.save('x.h5')`."""
  with h5py.File(path, 'w') as file:
    group = file.create_group('model_weights') if whole_model else file
    if whole_model:
      file.create_group('optimizer_weights').create_dataset('iteration', data=3)
    entries = [('input_1', []), *layers]  # layers without weights are listed too
    group.attrs['layer_names'] = [name.encode() for name, _ in entries]
    for name, arrays in entries:
      layer = group.create_group(name)
      weights = [f'{name}/weight{i}:0' for i in range(len(arrays))]
      layer.attrs['weight_names'] = [w.encode() for w in weights]
      for weight, array in zip(weights, arrays, strict=True):
        layer.create_dataset(weight, data=array)
  return path


def write_keras3(path: Path, layers: list) -> Path:
  """Keras 3: `.weights.h5`, or the same inside a `.keras` archive."""
  buffer = io.BytesIO()
  with h5py.File(buffer, 'w') as file:
    file.create_group('optimizer/vars').create_dataset('0', data=3)
    for name, arrays in layers:
      group = file.create_group(f'layers/{name}/vars')
      for i, array in enumerate(arrays):
        group.create_dataset(str(i), data=array)
  if path.suffix == '.keras':
    with zipfile.ZipFile(path, 'w') as archive:
      archive.writestr('metadata.json', '{}')
      archive.writestr('config.json', '{}')
      archive.writestr('model.weights.h5', buffer.getvalue())
  else:
    path.write_bytes(buffer.getvalue())
  return path


def torch_state(model: str, source: str, *, seed: int = 0) -> dict[str, np.ndarray]:
  """A state dict with the names of torchvision or timm, and a classifier of ten classes."""
  trunk = names.abstract_trunk(model, source_of(model, source).variant)
  shapes = names.expected_shapes(trunk)
  rng = np.random.default_rng(seed)

  def take(path: str) -> np.ndarray:
    value = _random(rng, path, shapes[path])
    return value.transpose(3, 2, 0, 1).copy() if value.ndim == 4 else value

  state: dict[str, np.ndarray] = {}
  for path in trunk.layers():
    conv, norm = trunk.torch_layer(path)
    ours = path
    if names.is_separable(trunk, path):
      state[f'{conv}.conv1.weight'] = take(f'{path}/depthwise/kernel')
      conv, ours = f'{conv}.pointwise', f'{path}/pointwise'
    state[f'{conv}.weight'] = take(f'{ours}/kernel')
    if f'{ours}/bias' in shapes:
      state[f'{conv}.bias'] = take(f'{ours}/bias')
    if norm:
      for theirs, field in (
        ('weight', 'scale'),
        ('bias', 'bias'),
        ('running_mean', 'mean'),
        ('running_var', 'var'),
      ):
        state[f'{norm}.{theirs}'] = take(f'{ours}/norm/{field}')
      state[f'{norm}.num_batches_tracked'] = np.array(7, np.int64)
  if trunk.card.classifier_map == 1:
    state['fc.weight'] = rng.normal(size=(CLASSES, trunk.features)).astype(np.float32)
    state['fc.bias'] = rng.normal(size=CLASSES).astype(np.float32)
  return state


class RunsCode:
  """Pickles as a call of `os.system`."""

  def __reduce__(self):
    import os

    return os.system, ('touch /tmp/flaxart-must-never-exist',)


def write_hostile_pth(path: Path) -> Path:
  """A `.pth` whose pickle wants to run a program."""
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('archive/data.pkl', pickle.dumps({'conv1.weight': RunsCode()}, protocol=2))
    archive.writestr('archive/version', '3\n')
  return path
