"""A workdir is one run: begun once, continued with the same config, refused to any other."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

import flaxart
from flaxart.config import differences, lost, not_a_run, read, to_json
from flaxart.data.source import Dataset
from flaxart.machine import locks, processes
from flaxart.machine.files import damaged, read_object, write_text
from flaxart.network.classifier import TrunkSpec
from flaxart.network.image_size import with_image_size
from flaxart.settings import read_tasks
from flaxart.tasks.kinds import labels_json, read_labels
from flaxart.tasks.task import Task
from flaxart.workdir import identity
from flaxart.workdir.identity import CONFIG, LABELS, RUN, TRUNK
from tfds_rijks.errors import UserError
from tfds_rijks.terminal import quoted

PATTERN = '*?[]\\'  # a path with one of these means other paths to Orbax
log = logging.getLogger('flaxart')


def dated(config: ConfigDict) -> Path:
  """`runs/2026-11-23_142501_resnet50_artist-type`: the default workdir of a run."""
  now = datetime.datetime.now().strftime('%Y-%m-%d_%H%M%S')
  return Path('runs') / f'{now}_{config.model.name}_{"-".join(read_tasks(config))}'


def check(workdir: Path, config: ConfigDict) -> ConfigDict:
  """The settings, with the picture size of the folder's run if it holds one.

  Raises `UserError` if the folder holds another run, or something other than a run.
  """
  if workdir.exists() and not workdir.is_dir():
    raise UserError(f'--workdir: {workdir} is a file; give a folder')
  stored = workdir / CONFIG
  if stored.exists():
    identity.check_format(workdir)
    if not config.data.image_size:
      config = with_image_size(config, read_trunk_json(workdir)['about'])
    changed = differences(read(stored), config)
    if changed:
      fields = '; '.join(
        f'config.{k} was {old!r}, now {new!r}' for k, (old, new) in changed.items()
      )
      raise UserError(
        f'{workdir}: was started with a different config ({fields}); use the same '
        'values to continue it, or another --workdir'
      )
  elif workdir.is_dir() and not all(_is_of_a_beginning(path) for path in workdir.iterdir()):
    raise UserError(
      f'--workdir: {workdir} is not empty and does not hold a run (no {CONFIG}); give a new folder'
    )
  return config


def check_trains(workdir: Path) -> None:
  """Raises `UserError` for a folder that Orbax cannot save in, and a run with settings that no
  longer exist.
  """
  if any(mark in str(workdir.resolve()) for mark in PATTERN):
    raise UserError(
      f'--workdir: {workdir.resolve()} has one of {" ".join(PATTERN)} in its name, which '
      'Orbax takes for a pattern and loses what it saves; give another folder'
    )
  gone = lost(workdir / CONFIG) if is_run(workdir) else {}
  if gone:
    fields = ', '.join(f'config.{field}={value!r}' for field, value in gone.items())
    raise UserError(
      f'{workdir}: was begun with {fields}, which flaxart {flaxart.__version__} does not have; '
      'it can be loaded and evaluated, but not continued: start another --workdir without '
      f'it, or finish this run with flaxart {identity.written_by(workdir)}'
    )


@contextlib.contextmanager
def held(
  workdir: Path,
  config: ConfigDict,
  tasks: list[Task],
  dataset: Dataset,
  *,
  spec: TrunkSpec,
  about: dict[str, Any],
) -> Iterator[None]:
  """The workdir, begun if it is new and locked against a second trainer.

  Process 0 does both; the others wait for it.
  """
  with locks.WorkdirLock(workdir) if jax.process_index() == 0 else contextlib.nullcontext():
    if jax.process_index() == 0:
      begin(workdir, config, tasks, dataset, spec=spec, about=about)
    processes.wait_for_all('workdir begun')
    yield


def begin(
  workdir: Path,
  config: ConfigDict,
  tasks: list[Task],
  dataset: Dataset,
  *,
  spec: TrunkSpec,
  about: dict[str, Any],
) -> None:
  """Writes `run.json` (format and data), `labels.json`, `trunk.json` (the origin of the trunk)
  and `config.json`.

  When a run is continued, only these change: the format, the settings in `config`, and, while there
  is no checkpoint yet, the trunk, which is read again.
  """
  workdir.mkdir(parents=True, exist_ok=True)
  if not (workdir / CONFIG).exists():
    identity.write_run(workdir, dataset)
    write_text(workdir / LABELS, labels_json(tasks))
    _write_trunk(workdir, spec, about)
  else:
    identity.raise_format(workdir)
    _replace_trunk(workdir, config, spec, about)
  write_text(workdir / CONFIG, to_json(config))  # last: a folder with a config is a run


def _write_trunk(workdir: Path, spec: TrunkSpec, about: dict[str, Any]) -> None:
  entry = {'spec': spec.to_json(), 'about': about}
  write_text(workdir / TRUNK, json.dumps(entry, indent=1, ensure_ascii=False) + '\n')


def _replace_trunk(
  workdir: Path, config: ConfigDict, spec: TrunkSpec, about: dict[str, Any]
) -> None:
  """Writes `trunk.json` if the trunk has changed, and logs it if its weights have."""
  try:
    stored = read_trunk_json(workdir)
    was = TrunkSpec.from_json(stored['spec']), stored['about']
  except UserError:  # damaged, which is harmless: it is known again
    was = None
  if was == (spec, about):
    return
  if was is None or (was[0], was[1].get('sha256')) != (spec, about['sha256']):
    log.warning(
      '%s: config.init=%s has changed since this run was begun; nothing was '
      'trained yet, so it starts from the present trunk',
      workdir,
      config.init,
    )
  _write_trunk(workdir, spec, about)


def is_run(workdir: Path) -> bool:
  """Whether a run has begun in this folder."""
  return (workdir / CONFIG).exists()


def read_run(workdir: Path) -> tuple[ConfigDict, list[Task]]:
  """Config and tasks of a run, from its workdir."""
  identity.check_format(workdir)
  config = read(workdir / CONFIG)
  path = workdir / LABELS
  if not path.exists():
    raise not_a_run(path)
  return config, read_labels(path)


def read_trunk_json(workdir: Path) -> dict[str, Any]:
  """`{'spec', 'about'}`: variant and preprocessing of a run's trunk, and its origin."""
  path = workdir / TRUNK
  try:
    found = read_object(path, form=identity.TRUNK_FORM)
  except FileNotFoundError:
    raise not_a_run(path) from None
  try:
    TrunkSpec.from_json(found['spec'])
  except UserError as error:
    raise damaged(path, error) from None
  return found


def _is_of_a_beginning(path: Path) -> bool:
  """Whether a run killed before it wrote `config.json` may have left this file."""
  ours = (locks.FILE, RUN, LABELS, TRUNK)
  return path.name in ours or (path.name.startswith('.') and path.suffix == '.tmp')


def continue_command(workdir: Path, *, remap_classes: bool = False) -> str:
  """The command that continues this run; its settings are in the workdir."""
  remap = ' --remap_classes' if remap_classes else ''
  return f'python -m flaxart.main {quoted(f"--workdir={workdir}")}{remap}'
