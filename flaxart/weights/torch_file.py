"""Reads PyTorch state dicts without PyTorch: `.pth` in both of its formats, and safetensors.

A `.pth` file is a pickle, and an ordinary unpickler runs whatever code a pickle names. This one
allows only the few names that a dictionary of tensors needs, as `torch.load(weights_only=True)`
does.
"""

from __future__ import annotations

import collections
import dataclasses
import io
import math
import pickle
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flaxart.weights.file import file_size, read_safetensors
from tfds_rijks.errors import UserError

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # torch/serialization.py, MAGIC_NUMBER
_DTYPES = {
  'FloatStorage': np.float32,
  'DoubleStorage': np.float64,
  'HalfStorage': np.float16,
  'LongStorage': np.int64,
  'IntStorage': np.int32,
  'ByteStorage': np.uint8,
  'BoolStorage': np.bool_,
}


def read_state(path: Path) -> dict[str, np.ndarray]:
  """Name -> array, as in the state dict.

  Raises:
    UserError: another format, a damaged file, or a pickle with anything but tensors.
  """
  if path.suffix == '.safetensors':
    return read_safetensors(path)[1]
  file_size(path)
  try:
    state = _read_zip(path) if zipfile.is_zipfile(path) else _read_legacy(path)
  except UserError:
    raise
  except Exception as error:  # a damaged pickle can raise anything
    raise UserError(
      f'{path}: cannot be read as a PyTorch state dict ({type(error).__name__}: '
      f'{error}); expected .pth or .safetensors: fetch it again, or check '
      '--source'
    ) from None
  if isinstance(state, dict) and isinstance(state.get('state_dict'), dict):
    state = state['state_dict']
  if (
    not isinstance(state, dict)
    or not state
    or not all(isinstance(k, str) and isinstance(v, np.ndarray) for k, v in state.items())
  ):
    raise UserError(
      f'{path}: holds {type(state).__name__}, expected a state dict (names and '
      'tensors); save model.state_dict() and convert that'
    )
  return state


@dataclasses.dataclass(frozen=True)
class _Storage:
  """A stand-in for `torch.FloatStorage` and the like, which a pickle names."""

  dtype: Any


class _Unpickler(pickle._Unpickler):
  """Builds dictionaries and NumPy arrays, and nothing else.

  In Python, as the one in C takes 32 GB for a memo number of 31 bits in a file of some bytes.
  """

  def __init__(self, file: Any, path: Path, storage: Callable[[tuple], np.ndarray]):
    super().__init__(file, encoding='utf-8')
    self.path = path
    self.storage = storage

  def find_class(self, module: str, name: str) -> Any:
    if (module, name) == ('collections', 'OrderedDict'):
      return collections.OrderedDict
    if (module, name) == ('torch._utils', '_rebuild_tensor_v2'):
      return _rebuild_tensor
    if (module, name) == ('torch._utils', '_rebuild_parameter'):
      return lambda data, requires_grad, hooks: data
    if module == 'torch' and name in _DTYPES:
      return _Storage(_DTYPES[name])
    if module == 'torch' and name.endswith('Storage'):
      raise UserError(
        f'{self.path}: holds {name.removesuffix("Storage")} tensors, which flaxart does not '
        'read; save them as float32: '
        '{name: tensor.float() for name, tensor in model.state_dict().items()}'
      )
    raise UserError(
      f'{self.path}: the pickle wants to run {module}.{name}, expected tensors only; '
      'save model.state_dict() and convert that'
    )

  def persistent_load(self, pid: Any) -> np.ndarray:
    return self.storage(pid)


def _rebuild_tensor(
  storage: np.ndarray, offset: int, size: Sequence[int], stride: Sequence[int], *_: Any
) -> np.ndarray:
  last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
  # A stride of 0 would make any number of numbers of one.
  too_many = math.prod(size) > storage.size
  if min(offset, *size, *stride, 0) < 0 or too_many or (0 not in size and last >= storage.size):
    raise ValueError(f'a tensor of {size} reaches beyond its {storage.size} stored numbers')
  steps = [s * storage.itemsize for s in stride]
  return np.lib.stride_tricks.as_strided(storage[offset:], size, steps, writeable=False)


def _read_zip(path: Path) -> Any:
  """PyTorch >= 1.6: `<name>/data.pkl`, and each storage's bytes in `<name>/data/<key>`."""
  with zipfile.ZipFile(path) as archive:
    members = {info.filename.partition('/')[2]: info for info in archive.infolist()}
    if 'data.pkl' not in members:
      raise UserError(
        f'{path}: a zip archive without data.pkl, expected a .pth file of PyTorch; check --source'
      )
    if sum(info.file_size for info in members.values()) > 2 * file_size(path):
      raise UserError(f'{path}: unpacks to more than twice its size, which PyTorch never writes')
    order = members.get('byteorder')
    if order is not None and archive.read(order) != b'little':
      raise UserError(f'{path}: stored big-endian, expected little-endian')

    def storage(pid: tuple) -> np.ndarray:
      _, kind, key, _, numel = pid
      return np.frombuffer(archive.read(members[f'data/{key}']), kind.dtype, count=numel)

    cached = _cached(storage)
    return _Unpickler(io.BytesIO(archive.read(members['data.pkl'])), path, cached).load()


def _read_legacy(path: Path) -> Any:
  """PyTorch < 1.6: four pickles, a list of storage keys, then each storage's count and numbers."""
  storages: dict[str, np.ndarray] = {}

  def storage(pid: tuple) -> np.ndarray:
    _, kind, key, _, numel, view = pid
    dtype = np.dtype(kind.dtype)
    if view is not None:
      raise ValueError('storages that are views of others are not supported')
    if key not in storages:
      held = sum(array.nbytes for array in storages.values())
      if held + numel * dtype.itemsize > file_size(path):
        raise ValueError(f'storages of more numbers than the file holds, such as {numel}')
      storages[key] = np.empty(numel, dtype)
    return storages[key]

  with path.open('rb') as file:
    load = lambda: _Unpickler(file, path, storage).load()  # noqa: E731
    if load() != _LEGACY_MAGIC:
      raise ValueError('it does not start like one')
    load()  # protocol version
    load()  # sizes of C types on the machine that wrote it
    state = load()
    for key in load():
      count = int.from_bytes(file.read(8), 'little')
      target = storages[key]
      if count != target.size or file.readinto(target.data.cast('B')) != target.nbytes:
        raise ValueError(f'storage {key} is truncated')
  return state


def _cached(read: Callable[[tuple], np.ndarray]) -> Callable[[tuple], np.ndarray]:
  """Tensors may share a storage; it is read once."""
  seen: dict[str, np.ndarray] = {}

  def storage(pid: tuple) -> np.ndarray:
    if pid[2] not in seen:
      seen[pid[2]] = read(pid)
    return seen[pid[2]]

  return storage
