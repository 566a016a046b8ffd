"""The identity of a run and its checkpoints: format, data, class names, preprocessing.

Weights of the right shape may still be wrong: the classes of the data in another order, another
version of the dataset, another scaling of the pixels. `run.json` has the format of a workdir and
the data it was begun on; each checkpoint has copies of the files needed to read it, under its
manifest. Any difference is refused by name.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flaxart
from flaxart.config import differences, read
from flaxart.data.source import Dataset
from flaxart.machine import form
from flaxart.machine.files import read_object, write_text
from flaxart.tasks.kinds import read_labels
from flaxart.tasks.task import Task
from tfds_rijks.errors import UserError

RUN, LABELS, TRUNK, CONFIG = 'run.json', 'labels.json', 'trunk.json', 'config.json'
COPIED = (RUN, LABELS, TRUNK, CONFIG)  # into every checkpoint
_SPLIT = form.fields({'records': form.count, 'sha256': form.text}, {'labels': form.each(form.text)})
_RUN = form.fields(
  {},
  {
    'format': form.count,
    'flaxart': form.name,
    'dataset': form.fields({'name': form.name, 'version': form.name, 'splits': form.each(_SPLIT)}),
  },
)
_SPEC = form.fields({'variant': form.name, 'preprocess': form.maybe(form.each(form.anything))})
TRUNK_FORM = form.fields(
  {
    'spec': _SPEC,
    'about': form.fields(
      {'sha256': form.maybe(form.name)}, {'image_size': form.count, 'source': form.name}
    ),
  }
)
FORMAT = 2  # of the workdir; raised when older versions could no longer read it


def write_run(workdir: Path, dataset: Dataset) -> None:
  """Writes `run.json`: format, version, and the data, each split by SHA-256."""
  entry = {'format': FORMAT, 'flaxart': flaxart.__version__, 'dataset': _data(dataset)}
  write_text(workdir / RUN, json.dumps(entry, indent=1, ensure_ascii=False) + '\n')


def raise_format(workdir: Path) -> None:
  """Marks a run of an earlier version as continued in this version's format."""
  if format_of(workdir) < FORMAT:
    entry = _read(workdir / RUN) | {'format': FORMAT, 'flaxart': flaxart.__version__}
    write_text(workdir / RUN, json.dumps(entry, indent=1, ensure_ascii=False) + '\n')


def check_format(folder: Path) -> None:
  """Raises `UserError` for a later format, naming the version that reads it."""
  if (found := format_of(folder)) > FORMAT:
    raise UserError(
      f'{folder}: has format {found}, flaxart {flaxart.__version__} reads up to {FORMAT}; install '
      f'flaxart {written_by(folder)} or later'
    )


def format_of(folder: Path) -> int:
  """The format of a run."""
  return int(_read(folder / RUN).get('format', 1))


def written_by(folder: Path) -> str:
  """The version of flaxart that began a run."""
  return str(_read(folder / RUN).get('flaxart', 'of that time'))


def facts(dataset: Dataset, tasks: Sequence[Task]) -> dict[str, str]:
  """What the data are, in few words: version, records, labels and classes."""
  data = _data(dataset)
  found = {'dataset': f'{data["name"]} {data["version"]}'}
  for split, entry in data['splits'].items():
    found[f'records in {split}'] = f'{entry["records"]} ({entry["sha256"][:8]})'
    for task, sha256 in entry['labels'].items():
      found[f'labels of {task} in {split}'] = sha256[:8]
  for one in tasks:
    sha256 = hashlib.sha256('\n'.join(one.classes).encode()).hexdigest()
    found[f'classes of {one.name}'] = f'{len(one.classes)} ({sha256[:8]})'
  return found


def check_dataset(workdir: Path, dataset: Dataset) -> None:
  """Raises `UserError` unless the data have the version and records that the run began with."""
  was = _read(workdir / RUN).get('dataset')
  if was is None:
    return
  now = _data(dataset, labels=False)
  advice = 'give the data it was trained on, or --remap_classes to use these'
  if was['version'] != now['version']:
    raise UserError(
      f'{workdir}: was begun on version {was["version"]} of {was["name"]}, {dataset.path} has '
      f'{now["version"]}; {advice}'
    )
  for split, entry in was['splits'].items():
    found = now['splits'].get(split)
    if found is None or any(found[key] != entry[key] for key in ('records', 'sha256')):
      records = f'{found["records"]} others' if found else 'none'
      raise UserError(
        f'{workdir}: was begun with {entry["records"]} records in {split}, {dataset.path} holds '
        f'{records}; {advice}'
      )


def check_labels(workdir: Path, tasks: Sequence[Task], dataset: Dataset) -> None:
  """Raises `UserError` if classes differ from those the run began with, naming the first, or if the
  same classes are given to other records.
  """
  stored = workdir / LABELS
  if not stored.exists():
    return
  old = {task.name: task for task in read_labels(stored)}
  for task in tasks:
    was = old.get(task.name)
    if was is None or type(was) is not type(task):
      raise UserError(
        f'{workdir}: was begun without {task.name!r} as a {task.kind} task; use another --workdir'
      )
    if was.classes != task.classes:
      where, then, here = _first_difference(was.classes, task.classes)
      raise UserError(
        f'{workdir}: class {where} of {task.name} was {then} when the run began and is {here} in '
        f'{dataset.path}; give the data it was trained on, --remap_classes to match by name, or '
        'another --workdir'
      )
  splits = _read(workdir / RUN).get('dataset', {}).get('splits', {})
  for name, entry in splits.items():
    for task, sha256 in entry.get('labels', {}).items():
      if dataset.split(name).labels_sha256(task) != sha256:
        raise UserError(
          f'{workdir}: the labels of {task} in {name} of {dataset.path} differ from '
          'those the run began with; give the data it was trained on, --remap_classes to use '
          'these, or another --workdir'
        )


def check_checkpoint(workdir: Path, folder: Path) -> None:
  """Refuses a checkpoint whose settings, classes or preprocessing differ from its workdir's."""
  check_format(folder)
  if (folder / LABELS).exists():
    here = {task.name: task for task in read_labels(workdir / LABELS)}
    for was in read_labels(folder / LABELS):
      if was.name not in here:
        raise UserError(f'{workdir / LABELS}: lacks {was.name!r}, which {folder} has a head for')
      if was.classes != here[was.name].classes:
        where, *values = _first_difference(was.classes, here[was.name].classes)
        raise _changed(workdir, folder, LABELS, f'class {where} of {was.name}', *values)
      for field in ('kind', 'center', 'scale'):
        then, now = getattr(was, field), getattr(here[was.name], field)
        if then != now:
          raise _changed(workdir, folder, LABELS, f'{field} of {was.name}', then, now)
  saved = _read(folder / TRUNK, TRUNK_FORM).get('spec', {})
  stated = _read(workdir / TRUNK, TRUNK_FORM).get('spec', {})
  for field, value in saved.items():
    if stated.get(field) != value:
      raise _changed(workdir, folder, TRUNK, field, value, stated.get(field))
  if (folder / CONFIG).exists():
    for field, (then, now) in differences(read(folder / CONFIG), read(workdir / CONFIG)).items():
      raise _changed(workdir, folder, CONFIG, f'config.{field}', then, now)


def _changed(
  workdir: Path, folder: Path, name: str, what: str, then: object, now: object
) -> UserError:
  return UserError(
    f'{folder}: {what} was {then} when it was saved and is {now} in {workdir / name}; restore that '
    f'file from {folder / name}'
  )


def copy_into(folder: Path, workdir: Path) -> None:
  """Copies the files needed to read a checkpoint into its folder, for its manifest."""
  for name in COPIED:
    if (workdir / name).exists():
      write_text(folder / name, (workdir / name).read_text(encoding='utf-8'))


def _first_difference(was: Sequence[str], now: Sequence[str]) -> tuple[int, str, str]:
  """Number and names of the first class that differs."""
  for i, (then, here) in enumerate(itertools.zip_longest(was, now)):
    if then != here:
      return i, repr(then) if then else 'nothing', repr(here) if here else 'nothing'
  raise ValueError('the same classes')


def _data(dataset: Dataset, *, labels: bool = True) -> dict[str, Any]:
  splits: dict[str, Any] = {}
  for name, split in dataset.splits.items():
    splits[name] = {'records': len(split), 'sha256': split.sha256}
    if labels:
      splits[name]['labels'] = {task: split.labels_sha256(task) for task in split.labels}
  return {'name': dataset.name, 'version': dataset.version, 'splits': splits}


def _read(path: Path, its: form.Form = _RUN) -> dict[str, Any]:
  """A JSON file; empty if it does not exist, as in older runs."""
  return read_object(path, form=its) if path.exists() else {}
