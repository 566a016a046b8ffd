"""A prepared TFDS dataset as splits of encoded pictures and label arrays; no JAX, no TensorFlow."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from flaxart.data.damage import check_files, explained
from tfds_rijks import features_json, fingerprint, label_origin
from tfds_rijks.errors import UserError
from tfds_rijks.label_origin import Origin
from tfds_rijks.labels import RARE
from tfds_rijks.progress import track
from tfds_rijks.words import did_you_mean, nearest


def weight_name(task: str) -> str:
  """The name of a task's weights beside its labels; a feature cannot have it."""
  return f'weight/{task}'


@dataclasses.dataclass
class Split:
  """One split: record `i` is `(ids[i], picture(i), {task: labels[task][i]})`.

  Labels: `[N]` int32 (-1 missing), `[N, C]` bool multi-hot (empty row = missing) or `[N]` float32
  (NaN missing). `weights`: how much each label counts in the training loss, `[N]` float32 or, of
  several labels, `[N, C]`, where 0 is unknown; only of tasks with labels from decisions, of which
  not all count 1.
  """

  name: str
  records: Any  # TFDS data source, pictures still encoded
  ids: list[str]
  groups: list[str]
  labels: dict[str, np.ndarray]
  # What batches hold instead of decoding: pictures, uint8 `[N, S, S, 3]` (`flaxart.data.cache`), or
  # features, float32 `[N, D]` (`flaxart.off_the_shelf`); and whether they are on the devices, so
  # that batches leave them out.
  decoded: np.ndarray | None = None
  on_device: bool = False
  weights: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

  def __len__(self) -> int:
    return len(self.ids)

  @property
  def folder(self) -> Path:
    """The folder of the prepared data."""
    return Path(self.records.dataset_info.data_dir)

  def picture(self, i: int) -> bytes:
    """The encoded picture of record `i`."""
    raw = self.records.data_source[i]
    return self._image.deserialize_example_np(raw, decoders=self.records.decoders)['image']

  @functools.cached_property
  def _image(self) -> Any:
    """Parses the picture alone: parsing the other features takes longer than reading a record."""
    import tensorflow_datasets as tfds

    return tfds.features.FeaturesDict({'image': self.records.dataset_info.features['image']})

  @property
  def columns(self) -> dict[str, np.ndarray]:
    """What a training batch holds of each record beside its picture: labels, and weights under
    `weight_name`.
    """
    return self.labels | {weight_name(task): rows for task, rows in self.weights.items()}

  @property
  def sha256(self) -> str:
    """SHA-256 of the sorted record ids: equal hashes mean the same split."""
    return hashlib.sha256('\n'.join(sorted(self.ids)).encode()).hexdigest()

  @functools.cached_property
  def _by_id(self) -> list[int]:
    return sorted(range(len(self)), key=lambda i: self.ids[i])

  def labels_sha256(self, task: str) -> str:
    """SHA-256 of the labels (and weights) of `task` in the order of the sorted ids: with equal
    `sha256`, equal hashes mean that every record has the same label.
    """
    digest, order = hashlib.sha256(), self._by_id
    for rows in [self.labels[task], *([self.weights[task]] if task in self.weights else [])]:
      for first in range(0, len(order), 4096):  # multi-hot rows are wide: never copied all at once
        digest.update(np.ascontiguousarray(rows[order[first : first + 4096]]).tobytes())
    return digest.hexdigest()


@dataclasses.dataclass
class Context:
  """Other facts about a split's records, for baselines and scores, never for the network. `others`:
  the label features that are not tasks of the run, as in `Split.labels` (multi-hot as a sparse
  matrix). `rare` `{task: [N] bool}`: whose label is missing only because too few works have it
  (empty for a dataset without that information).
  """

  others: dict[str, Any] = dataclasses.field(default_factory=dict)
  rare: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Dataset:
  """A prepared dataset: its folder, labels and splits."""

  name: str
  version: str
  path: Path
  features: Mapping[str, Any]
  splits: dict[str, Split]
  contexts: dict[str, Context]  # of each split

  def split(self, name: str) -> Split:
    """The split; `UserError` lists the splits if there is no such one."""
    if name not in self.splits:
      raise UserError(f'{self.name}: no split {name!r}; its splits are {", ".join(self.splits)}')
    return self.splits[name]

  @property
  def build(self) -> dict[str, Any]:
    """The build report of `tfds_rijks.prepare` (empty if there is none)."""
    report = self.path / 'build_report.json'
    try:
      return features_json.read_object(report) if report.exists() else {}
    except (OSError, ValueError) as error:
      raise explained(self.path, error) from None


def find(dataset: str, data_dir: str | Path) -> Path | None:
  """The folder of the newest prepared version of `dataset` below `data_dir`, or None."""
  folder = Path(data_dir).expanduser() / dataset
  versions = [p.parent for name in fingerprint.OF_A_VERSION for p in folder.glob(f'*/{name}')]
  if any((folder / name).exists() for name in fingerprint.OF_A_VERSION):  # a version was named
    versions = [folder]
  return max(
    versions, key=lambda p: [int(n) if n.isdigit() else -1 for n in p.name.split('.')], default=None
  )


def open_dataset(
  dataset: str, *, data_dir: str | Path, tasks: Iterable[str], splits: Iterable[str] | None = None
) -> Dataset:
  """Opens a prepared dataset and reads the labels of `tasks` into memory.

  Raises `UserError` if it does not exist (lists those that do, and how to prepare it) or a file is
  damaged.
  """
  # The folder is enough; the builder's code is not needed to read it.
  import tensorflow_datasets as tfds

  path = find(dataset, data_dir)
  if path is None:
    root = Path(data_dir).expanduser()
    there = sorted(
      str(p.parent.parent.relative_to(root)) for p in root.glob('**/dataset_info.json')
    )
    raise UserError(
      f'config.data.dataset: {dataset!r} is not prepared in {root} (found: '
      f'{", ".join(there) or "nothing"}); {_advice(dataset, root, there)}'
    )
  check_files(path)
  try:
    builder = tfds.builder_from_directory(str(path))
    features = dict(builder.info.features)
  except Exception as error:  # TFDS and its readers raise nearly anything over damaged files
    raise explained(path, error) from None
  if 'image' not in features or 'object_number' not in features:
    raise UserError(f'{path}: has features {", ".join(features)}; expected image and object_number')
  names = [name for name in builder.info.splits if splits is None or name in splits]
  try:
    read = {name: _read_split(builder, name, features, list(tasks)) for name in names}
  except Exception as error:
    raise explained(path, error) from None
  return Dataset(
    name=dataset,
    version=str(builder.version),
    path=path,
    features=features,
    splits={name: split for name, (split, _) in read.items()},
    contexts={name: context for name, (_, context) in read.items()},
  )


def _advice(dataset: str, root: Path, there: list[str]) -> str:
  """What to do about a dataset that is not prepared; never a command that refuses its name."""
  from tfds_rijks.prepare import why_not

  command = 'python -m tfds_rijks.prepare --dataset={} --manual_dir=SOURCE --data_dir=' + str(root)
  hint = did_you_mean(nearest(dataset, there))
  if why := why_not(dataset):
    return f'{hint}{why}; for pictures of your own run {command.format("collection")}'
  return f'{hint}run {command.format(dataset)}, or set config.data.manual_dir'


def is_label(feature: Any) -> bool:
  """Whether a TFDS feature is a label: a class, several classes, or a number."""
  inner = getattr(feature, 'feature', None)  # of a Sequence
  if 'ClassLabel' in (type(feature).__name__, type(inner).__name__):
    return True
  dtype = getattr(feature, 'np_dtype', None)
  return getattr(feature, 'shape', None) == () and dtype in (np.float32, np.float64)


def _read_split(
  builder: Any, name: str, features: Mapping[str, Any], tasks: list[str]
) -> tuple[Split, Context]:
  import tensorflow_datasets as tfds

  records = builder.as_data_source(split=name, decoders={'image': tfds.decode.SkipDecoding()})
  tasks = [task for task in tasks if task in features]
  others = [key for key, feature in features.items() if is_label(feature) and key not in tasks]
  rare = {task: f'{task}{RARE}' for task in tasks if f'{task}{RARE}' in features}
  origin = [label_origin.FEATURE] if label_origin.FEATURE in features else []
  keys = ('object_number', 'group', *tasks, *others, *rare.values(), *origin)
  columns: dict[str, list[Any]] = {key: [] for key in keys}
  for i in track(range(len(records)), f'reading labels of {name}', len(records), unit='record'):
    record = records[i]
    for key, column in columns.items():
      column.append(record.get(key, b''))
  labels = {task: _label_array(features[task], columns[task]) for task in tasks}
  origins = [label_origin.parse(_text(content)) for key in origin for content in columns[key]]
  split = Split(
    name=name,
    records=records,
    ids=[_text(value) for value in columns['object_number']],
    groups=[_text(value) for value in columns['group']],
    labels=labels,
    weights={
      task: rows
      for task in tasks
      if (rows := _weights(features[task], labels[task], [one.get(task) for one in origins]))
      is not None
    },
  )
  context = Context(
    others={key: _compact(_label_array(features[key], columns.pop(key))) for key in others},
    rare={task: np.array([len(t) > 0 for t in columns[key]], bool) for task, key in rare.items()},
  )
  return split, context


def _compact(labels: np.ndarray) -> Any:
  """Multi-hot rows are nearly all zero; a thousand classes per record would not fit otherwise."""
  return scipy.sparse.csr_array(labels) if labels.ndim == 2 else labels


def _label_array(feature: Any, values: list[Any]) -> np.ndarray:
  inner = getattr(feature, 'feature', None)
  if inner is not None:  # Sequence(ClassLabel)
    hot = np.zeros((len(values), inner.num_classes), bool)
    for row, classes in zip(hot, values, strict=True):
      numbers = np.asarray(classes, int)
      _check_classes(numbers, inner, least=0)
      row[numbers] = True
    return hot
  if np.issubdtype(np.dtype(feature.np_dtype), np.floating):
    return np.asarray(values, np.float32)
  numbers = np.asarray(values, np.int32)
  if type(feature).__name__ == 'ClassLabel':
    _check_classes(numbers, feature, least=-1)
  return numbers


def _weights(
  feature: Any, labels: np.ndarray, origins: Sequence[Origin | None]
) -> np.ndarray | None:
  """As in `Split.weights`; None if every label counts 1. `origins` are those of this feature."""
  if all(one is None or (one.weight == 1 and not one.partial) for one in origins):
    return None
  weights = np.ones(labels.shape, np.float32)
  names = feature.feature.names if labels.ndim == 2 else ()
  number = {name: i for i, name in enumerate(names)}
  for row, one in enumerate(origins):
    if one is not None and labels.ndim == 1:
      weights[row] = one.weight
    elif one is not None:
      weights[row] = 0 if one.partial else 1
      decided = [number[name] for name in (*one.values, *one.rejected) if name in number]
      weights[row, decided] = one.weight
  return weights


def _check_classes(numbers: np.ndarray, feature: Any, *, least: int) -> None:
  if numbers.size and not (least <= numbers.min() and numbers.max() < feature.num_classes):
    raise ValueError(
      f'a label is {max(numbers.max(), -numbers.min())}, there are {feature.num_classes} classes'
    )


def _text(value: bytes | str) -> str:
  return value.decode('utf-8') if isinstance(value, bytes) else str(value)
