"""A prepared TFDS dataset as splits of encoded pictures and label arrays; no JAX, no TensorFlow."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfds_rijks.errors import UserError
from tfds_rijks.progress import track

KEYS = ('image', 'object_number', 'group')  # features that are no labels


@dataclasses.dataclass
class Split:
  """One split: record `i` is `(ids[i], picture(i), {task: labels[task][i]})`.

  Labels: `[N]` int32 (-1 missing), `[N, C]` bool multi-hot (empty row = missing) or `[N]` float32
  (NaN missing).
  """

  name: str
  records: Any  # TFDS data source, pictures still encoded
  ids: list[str]
  groups: list[str]
  labels: dict[str, np.ndarray]

  def __len__(self) -> int:
    return len(self.ids)

  def picture(self, i: int) -> bytes:
    """The encoded picture of record `i`."""
    return self.records[i]['image']

  @property
  def sha256(self) -> str:
    """Of the sorted record ids: equal hashes mean the same split."""
    return hashlib.sha256('\n'.join(sorted(self.ids)).encode()).hexdigest()


@dataclasses.dataclass
class Dataset:
  """A prepared dataset: where it lies, what its labels are, its splits."""

  name: str
  version: str
  path: Path
  features: Mapping[str, Any]
  splits: dict[str, Split]

  def split(self, name: str) -> Split:
    """The split, or a line that names those there are."""
    if name not in self.splits:
      raise UserError(
        f'{self.name}: has no split {name!r}; its splits are {", ".join(self.splits)}'
      )
    return self.splits[name]

  @property
  def build(self) -> dict[str, Any]:
    """The build report that `tfds_rijks.prepare` left beside the data (empty if there is none)."""
    report = self.path / 'build_report.json'
    return json.loads(report.read_text(encoding='utf-8')) if report.exists() else {}


def find(dataset: str, data_dir: str | Path) -> Path | None:
  """The folder of the newest prepared version of `dataset` below `data_dir`, or None."""
  folder = Path(data_dir).expanduser() / dataset
  versions = [p.parent for p in folder.glob('*/dataset_info.json')]
  if (folder / 'dataset_info.json').exists():  # a version was named
    versions = [folder]
  return max(
    versions, key=lambda p: [int(n) if n.isdigit() else -1 for n in p.name.split('.')], default=None
  )


def open_dataset(
  dataset: str, *, data_dir: str | Path, tasks: Iterable[str], splits: Iterable[str] | None = None
) -> Dataset:
  """Opens a prepared dataset and reads the labels of `tasks` into memory.

  Raises `UserError` if it is not there, names what is, and says how to prepare it.
  """
  # The folder says all there is to know; the builder's code is not needed to read it.
  import tensorflow_datasets as tfds

  path = find(dataset, data_dir)
  if path is None:
    root = Path(data_dir).expanduser()
    there = sorted(
      str(p.parent.parent.relative_to(root)) for p in root.glob('**/dataset_info.json')
    )
    raise UserError(
      f'config.data.dataset: {dataset!r} is not prepared in {root} (found: '
      f'{", ".join(there) or "nothing"}); run python -m tfds_rijks.prepare --dataset={dataset} '
      f'--manual_dir=SOURCE --data_dir={root}, or set config.data.manual_dir'
    )
  builder = tfds.builder_from_directory(str(path))
  features = dict(builder.info.features)
  if 'image' not in features or 'object_number' not in features:
    raise UserError(f'{path}: has features {", ".join(features)}; expected image and object_number')
  names = [name for name in builder.info.splits if splits is None or name in splits]
  return Dataset(
    name=dataset,
    version=str(builder.version),
    path=path,
    features=features,
    splits={name: _read_split(builder, name, features, list(tasks)) for name in names},
  )


def _read_split(builder: Any, name: str, features: Mapping[str, Any], tasks: list[str]) -> Split:
  import tensorflow_datasets as tfds

  records = builder.as_data_source(split=name, decoders={'image': tfds.decode.SkipDecoding()})
  tasks = [task for task in tasks if task in features]
  columns: dict[str, list[Any]] = {key: [] for key in ('object_number', 'group', *tasks)}
  for i in track(range(len(records)), f'reading labels of {name}', len(records), unit='record'):
    record = records[i]
    for key, column in columns.items():
      column.append(record.get(key, b''))
  return Split(
    name=name,
    records=records,
    ids=[_text(value) for value in columns['object_number']],
    groups=[_text(value) for value in columns['group']],
    labels={task: _label_array(features[task], columns[task]) for task in tasks},
  )


def _label_array(feature: Any, values: list[Any]) -> np.ndarray:
  inner = getattr(feature, 'feature', None)
  if inner is not None:  # Sequence(ClassLabel)
    hot = np.zeros((len(values), inner.num_classes), bool)
    for row, classes in zip(hot, values, strict=True):
      row[np.asarray(classes, int)] = True
    return hot
  if np.issubdtype(np.dtype(feature.np_dtype), np.floating):
    return np.asarray(values, np.float32)
  return np.asarray(values, np.int32)


def _text(value: bytes | str) -> str:
  return value.decode('utf-8') if isinstance(value, bytes) else str(value)
