"""The child process that opens HDF5: prints the layers of a Keras file, or one line of what is
wrong with it.

    python -P hdf5_child.py FILE CPU_SECONDS MEMORY_BYTES

The HDF5 library follows what a file says: to other files, round in circles, and into memory that
is not there. Here it does so within limits, in a program that has nothing else to lose, and each
link, layout and size is looked at before it is followed. The script stands alone: it needs h5py and
NumPy, and imports nothing of flaxart.

Output: a line of JSON, `[[layer, [[dtype, shape], ...]], ...]`, then the bytes of all arrays.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import math
import re
import resource
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

MEMBER = 'model.weights.h5'  # of a .keras archive
MAX_LAYERS = 10_000
MAX_NAMES = 16 << 20  # bytes of one list of names
# deflate, shuffle, fletcher32 and lzf, which every h5py has. Others are loaded as plug-ins.
FILTERS = frozenset({1, 2, 3, 32000})

Layer = tuple[str, list[h5py.Dataset]]


class RefusedError(Exception):
  """The file is not what it should be; the message says why."""


def main(path: Path, seconds: int, memory: int) -> None:
  """Prints the layers of `path`."""
  with contextlib.suppress(ValueError, OSError):  # macOS has no limit of address space
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
  resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
  with opened(path) as source:
    length = source.seek(0, io.SEEK_END)
    with h5py.File(source, 'r') as file:
      layers = read_layers(file)
      for name, datasets in layers:
        for dataset in datasets:
          check(name, dataset, length=length)
      header = [
        [name, [[one.dtype.str, list(one.shape)] for one in datasets]] for name, datasets in layers
      ]
      out = sys.stdout.buffer
      out.write(json.dumps(header).encode() + b'\n')
      out.flush()  # the sizes are checked again before anything is read
      for _, datasets in layers:
        for dataset in datasets:
          out.write(np.ascontiguousarray(dataset[()]).tobytes())


def opened(path: Path) -> Any:
  """The HDF5 part of the file: the file itself, or the member of a `.keras` archive."""
  if not zipfile.is_zipfile(path):
    return path.open('rb')
  with zipfile.ZipFile(path) as archive:
    members = [info for info in archive.infolist() if info.filename == MEMBER]
    if len(members) != 1:
      raise RefusedError(
        f'a zip archive {"without" if not members else "with more than one"} {MEMBER}, expected '
        'a .keras file; check --source'
      )
    return io.BytesIO(archive.read(members[0]))  # its size was checked: `unpacked_size`


def read_layers(file: h5py.File) -> list[Layer]:
  """The layers with weights, in the file's order."""
  if 'layer_names' in file.attrs or 'layer_names0' in file.attrs:
    return legacy(file)  # weights only
  keys = list(itertools.islice(file, MAX_LAYERS))
  if 'model_weights' in keys:
    return legacy(group_at(file, 'model_weights'))  # a whole model; the optimizer is not read
  if 'layers' in keys:
    layers = group_at(file, 'layers')
    names = list(itertools.islice(layers, MAX_LAYERS))
    return keras3({name: group_at(layers, name) for name in names})
  # Keras on Windows writes names like layers\\conv2d.
  if windows := [key for key in keys if key.startswith('layers\\')]:
    return keras3({key.removeprefix('layers\\'): group_at(file, key) for key in windows})
  raise RefusedError(
    f'HDF5 with {", ".join(keys[:5]) or "nothing"}, expected Keras weights (layer_names, '
    'model_weights or layers)'
  )


def legacy(group: h5py.Group) -> list[Layer]:
  """`layer_names` lists the layers in order; each group lists its arrays as `weight_names`."""
  layers = []
  for name in texts(group, 'layer_names'):
    layer = group_at(group, name)
    layers.append((name, [dataset_at(layer, one) for one in texts(layer, 'weight_names')]))
  return [(name, arrays) for name, arrays in layers if arrays]


def texts(group: h5py.Group, attribute: str) -> list[str]:
  """A list attribute; Keras cuts one over 64 kB in pieces `layer_names0`, `layer_names1`, ..."""
  pieces = [attribute] if attribute in group.attrs else []
  while f'{attribute}{len(pieces)}' in group.attrs and len(pieces) < MAX_LAYERS:
    pieces.append(f'{attribute}{len(pieces)}')
  return [name for piece in pieces for name in text_values(group, piece)]


def text_values(group: h5py.Group, attribute: str) -> Iterator[str]:
  """The texts of an attribute."""
  about = group.attrs.get_id(attribute)
  if about.shape == (0,):  # Keras writes an empty list as numbers
    return
  if h5py.check_string_dtype(about.dtype) is None:
    raise RefusedError(f'{attribute} holds {about.dtype}, expected texts')
  size = math.prod(about.shape) * about.dtype.itemsize
  if max(size, about.get_storage_size()) > MAX_NAMES:
    raise RefusedError(f'{attribute} declares {size:,} bytes, expected at most {MAX_NAMES:,}')
  for name in np.atleast_1d(np.asarray(group.attrs[attribute], object)).ravel():
    yield name.decode() if isinstance(name, bytes) else str(name)


def keras3(group: dict[str, h5py.Group]) -> list[Layer]:
  """`layers/<class>_<n>/vars/<i>`: n counts the layers of one class in the model's order."""

  def number(key: str) -> tuple[str, int]:
    base, count = re.fullmatch(r'(.*?)(?:_(\d{1,9}))?', key, re.DOTALL).groups()  # type: ignore[union-attr]
    return base, int(count or 0)

  layers = []
  for key in sorted(group, key=number):
    layer = group[key]
    if 'layers' in layer or '\\' in key:
      raise RefusedError(
        f'layer {key} is itself a model; save that inner model alone and convert it'
      )
    if 'vars' not in layer:
      continue
    variables = group_at(layer, 'vars')
    places = list(itertools.islice(variables, 100))
    datasets = [dataset_at(variables, place) for place in sorted(places, key=int)]
    if datasets:
      named = 'name' in variables.attrs
      name = next(text_values(variables, 'name'), key) if named else key
      layers.append((name, datasets))
  return layers


def group_at(group: h5py.Group, name: str) -> h5py.Group:
  """The group of this name inside `group`."""
  found = item_at(group, name)
  if not isinstance(found, h5py.Group):
    raise RefusedError(f'{name} is a {type(found).__name__.lower()}, expected a group')
  return found


def dataset_at(group: h5py.Group, name: str) -> h5py.Dataset:
  """The dataset of this name, which may be a path, inside `group`."""
  found = item_at(group, name)
  if not isinstance(found, h5py.Dataset):
    raise RefusedError(f'{name} is a {type(found).__name__.lower()}, expected an array')
  return found


def item_at(group: h5py.Group, name: str) -> Any:
  """What the path `name` leads to inside `group`, over links that stay in the file."""
  found: Any = group
  for part in filter(None, name.split('/')):
    if not isinstance(found, h5py.Group):
      raise RefusedError(f'{name} leads through an array')
    kind = found.id.links.get_info(part.encode('utf-8', 'surrogateescape')).type
    if kind != h5py.h5l.TYPE_HARD:
      which = {h5py.h5l.TYPE_SOFT: 'a soft', h5py.h5l.TYPE_EXTERNAL: 'an external'}
      raise RefusedError(
        f'{name} is {which.get(kind, "an unknown kind of")} link, expected the array itself'
      )
    found = found[part]
  return found


def check(layer: str, dataset: h5py.Dataset, *, length: int) -> None:
  """Refuses an array that is not in this file, whole, in `length` bytes."""
  made = dataset.id.get_create_plist()
  if made.get_external_count():
    raise RefusedError(f'layer {layer} keeps an array in another file (external storage)')
  if made.get_layout() == h5py.h5d.VIRTUAL:
    raise RefusedError(f'layer {layer} has an array made of other files (a virtual dataset)')
  if dataset.shape is None or dataset.dtype.kind not in 'fiub' or dataset.dtype.itemsize > 8:
    raise RefusedError(f'layer {layer} holds {dataset.dtype}, expected numbers')
  declared = math.prod(dataset.shape) * dataset.dtype.itemsize
  stored = dataset.id.get_storage_size()
  chunks = dataset.chunks
  filters = [made.get_filter(i)[0] for i in range(made.get_nfilters())]
  if unknown := set(filters) - FILTERS:
    raise RefusedError(f'layer {layer} is packed with filter {min(unknown)}, expected gzip or none')
  if filters and chunks:
    needed = math.prod(-(-n // c) for n, c in zip(dataset.shape, chunks, strict=True))
    whole = dataset.id.get_num_chunks() == needed
  else:
    whole = declared <= stored and (dataset.id.get_offset() or 0) + declared <= length
  if not whole or stored > length:
    raise RefusedError(
      f'layer {layer} declares an array of {declared:,} bytes and holds {stored:,} of them in a '
      f'file of {length:,}'
    )


if __name__ == '__main__':
  try:
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
  except RefusedError as error:
    sys.exit(f'{error}')
  except MemoryError:
    sys.exit('needs more memory than its size accounts for')
  except Exception as error:  # a damaged file can raise anything
    sys.exit(f'{type(error).__name__}: {error}')
