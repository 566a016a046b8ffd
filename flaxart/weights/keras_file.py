"""Reads Keras weights without Keras: legacy `.h5`, `.weights.h5` and `.keras`."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from flaxart.weights.file import file_size
from tfds_rijks.errors import UserError

MAX_BYTES = 4 << 30  # unpacked, of the weights inside a .keras file; VGG19 with top has 0.6 GB

Layer = tuple[str, list[np.ndarray]]  # name in the file, its arrays in Keras's order


def read_layers(path: Path) -> dict[str, list[Layer]]:
  """Layers that have weights, by kind (`conv`, `separable`, `norm`, `dense`), in the file's order.

  Raises:
    UserError: not a Keras file, damaged, or with an unknown kind of layer.
  """
  import h5py  # its shared library takes a third of a second to load, and is only needed here

  file_size(path)
  try:
    with open_weights(path) as source, h5py.File(source, 'r') as file:
      layers = _layers(file, path)
  except (OSError, KeyError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
    raise UserError(
      f'{path}: cannot be read as Keras weights ({error}); expected .h5, .weights.h5 '
      'or .keras: fetch it again, or check --source'
    ) from None
  kinds: dict[str, list[Layer]] = {'conv': [], 'separable': [], 'norm': [], 'dense': []}
  for name, arrays in layers:
    kinds[_kind(path, name, arrays)].append((name, arrays))
  return kinds


def open_weights(path: Path) -> Any:
  """The HDF5 part of the file: the file itself, or the member of a `.keras` archive."""
  if not zipfile.is_zipfile(path):
    return path.open('rb')
  with zipfile.ZipFile(path) as archive:
    members = {info.filename: info for info in archive.infolist()}
    if 'model.weights.h5' not in members:
      raise UserError(
        f'{path}: a zip archive without model.weights.h5, expected a .keras file; check --source'
      )
    if members['model.weights.h5'].file_size > MAX_BYTES:
      raise UserError(
        f'{path}: weights of {members["model.weights.h5"].file_size:,} bytes '
        f'unpacked, expected at most {MAX_BYTES:,}'
      )
    return io.BytesIO(archive.read('model.weights.h5'))


def _layers(file: Any, path: Path) -> list[Layer]:
  if 'layer_names' in file.attrs or 'layer_names0' in file.attrs:
    return _legacy(file)  # weights only
  if 'model_weights' in file:
    return _legacy(file['model_weights'])  # a whole model; its optimizer_weights are not read
  if 'layers' in file:
    return _keras3(dict(file['layers']), path)
  # Keras on Windows writes names like layers\\conv2d.
  if windows := {
    key.removeprefix('layers\\'): file[key] for key in file if key.startswith('layers\\')
  }:
    return _keras3(windows, path)
  raise UserError(
    f'{path}: HDF5 with {", ".join(list(file)[:5]) or "nothing"}, expected '
    'Keras weights (layer_names, model_weights or layers)'
  )


def _legacy(group: Any) -> list[Layer]:
  """`layer_names` lists the layers in order; each group lists its arrays as `weight_names`."""
  layers = [
    (name, [_array(group[name][weight]) for weight in _names(group[name], 'weight_names')])
    for name in _names(group, 'layer_names')
  ]
  return [(name, arrays) for name, arrays in layers if arrays]


def _names(group: Any, attribute: str) -> list[str]:
  """A list attribute; Keras cuts one over 64 kB in pieces `layer_names0`, `layer_names1`, ..."""
  pieces = [attribute] if attribute in group.attrs else []
  while f'{attribute}{len(pieces)}' in group.attrs:
    pieces.append(f'{attribute}{len(pieces)}')
  return [
    name.decode() if isinstance(name, bytes) else str(name)
    for piece in pieces
    for name in group.attrs[piece]
  ]


def _keras3(group: dict[str, Any], path: Path) -> list[Layer]:
  """`layers/<class>_<n>/vars/<i>`: n counts the layers of one class in the model's order."""

  def number(key: str) -> tuple[str, int]:
    base, count = re.fullmatch(r'(.*?)(?:_(\d+))?', key).groups()  # type: ignore[union-attr]
    return base, int(count or 0)

  layers = []
  for key in sorted(group, key=number):
    layer = group[key]
    if 'layers' in layer or '\\' in key:
      raise UserError(
        f'{path}: layer {key} is itself a model; save that inner model alone and convert it'
      )
    names = layer.get('vars', {})
    arrays = [_array(names[i]) for i in sorted(names, key=int)]
    if arrays:
      layers.append((str(names.attrs.get('name', key)), arrays))
  return layers


def _array(dataset: Any) -> np.ndarray:
  return np.asarray(dataset[()])


def _kind(path: Path, name: str, arrays: list[np.ndarray]) -> str:
  """The kind of a layer, from the shapes of its arrays."""
  ranks = tuple(a.ndim for a in arrays)
  kinds = {
    (4,): 'conv',
    (4, 1): 'conv',
    (4, 4): 'separable',
    (1, 1, 1): 'norm',
    (1, 1, 1, 1): 'norm',
    (2, 1): 'dense',
    (2,): 'dense',
  }
  if ranks not in kinds:
    raise UserError(
      f'{path}: layer {name} has arrays {[a.shape for a in arrays]}, expected '
      'convolutions, BatchNorm and dense layers'
    )
  return kinds[ranks]
