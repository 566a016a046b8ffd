"""A workdir is one run: begun once, continued by the same config, refused to any other."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from flaxart.config import differences, read, to_json
from flaxart.data.source import Dataset
from flaxart.models.classifier import TrunkSpec
from flaxart.tasks import Task, labels_json, tasks_from_json
from flaxart.writer import write_text
from tfds_rijks.errors import UserError

CONFIG, LABELS, TRUNK = 'config.json', 'labels.json', 'trunk.json'


def dated(config: ConfigDict) -> Path:
  """`runs/2026-11-23_142501_resnet50_artist-type`: where a run goes that names no workdir."""
  now = datetime.datetime.now().strftime('%Y-%m-%d_%H%M%S')
  return (
    Path('runs') / f'{now}_{config.model.name}_{config.tasks.replace(",", "-").replace(" ", "")}'
  )


def check(workdir: Path, config: ConfigDict) -> None:
  """Refuses a folder that holds another run, or something that is no run at all."""
  if workdir.exists() and not workdir.is_dir():
    raise UserError(f'--workdir: {workdir} is a file; give a folder')
  stored = workdir / CONFIG
  if stored.exists():
    changed = differences(read(stored), config)
    if changed:
      fields = '; '.join(
        f'config.{k}: {old!r} there, {new!r} here' for k, (old, new) in changed.items()
      )
      raise UserError(
        f'{workdir}: holds a run with another config ({fields}); use the same values '
        'to continue it, or another --workdir'
      )
  elif workdir.is_dir() and any(workdir.iterdir()):
    raise UserError(
      f'--workdir: {workdir} is not empty and holds no run (no {CONFIG}); give a new folder'
    )


def check_labels(workdir: Path, tasks: list[Task], dataset: Dataset) -> None:
  """Refuses to go on with other classes than the run began with, naming the first that differs."""
  stored = workdir / LABELS
  if not stored.exists():
    return
  old = {t.name: t for t in tasks_from_json(stored.read_text(encoding='utf-8'), source=str(stored))}
  for task in tasks:
    was = old.get(task.name)
    if was is None or was.kind != task.kind:
      raise UserError(
        f'{workdir}: was begun without {task.name!r} as a {task.kind} task; use another --workdir'
      )
    if was.classes != task.classes:
      where = next(
        (i for i, (a, b) in enumerate(zip(was.classes, task.classes, strict=False)) if a != b),
        min(len(was.classes), len(task.classes)),
      )
      here = task.classes[where] if where < len(task.classes) else 'nothing'
      there = was.classes[where] if where < len(was.classes) else 'nothing'
      raise UserError(
        f'{workdir}: class {where} of {task.name} was {there!r} when the run began and is {here!r} '
        f'in {dataset.path}; give the data it was trained on, or another --workdir'
      )


def begin(
  workdir: Path, config: ConfigDict, tasks: list[Task], *, spec: TrunkSpec, about: dict[str, Any]
) -> None:
  """Writes `config.json`, `labels.json` and `trunk.json` (what the trunk started from).

  Nothing changes when a run is continued.
  """
  workdir.mkdir(parents=True, exist_ok=True)
  if not (workdir / LABELS).exists():
    write_text(workdir / LABELS, labels_json(tasks))
  if not (workdir / TRUNK).exists():
    entry = {'spec': spec.to_json(), 'about': about}
    write_text(workdir / TRUNK, json.dumps(entry, indent=1, ensure_ascii=False) + '\n')
  if not (workdir / CONFIG).exists():  # last: a folder with a config is a run that has begun
    write_text(workdir / CONFIG, to_json(config))


def read_run(workdir: Path) -> tuple[ConfigDict, list[Task]]:
  """Config and tasks of a run, from what the workdir holds."""
  config = read(workdir / CONFIG)
  path = workdir / LABELS
  if not path.exists():
    raise UserError(f'{path}: not found; --workdir must be the folder of a run')
  return config, tasks_from_json(path.read_text(encoding='utf-8'), source=str(path))


def read_trunk_json(workdir: Path) -> dict[str, Any]:
  """`{'spec', 'about'}`: variant and preprocessing of a run's trunk, and where it came from."""
  path = workdir / TRUNK
  try:
    return json.loads(path.read_text(encoding='utf-8'))
  except FileNotFoundError:
    raise UserError(f'{path}: not found; --workdir must be the folder of a run') from None


def continue_command(workdir: Path) -> str:
  """The command that continues this run."""
  return f'python -m flaxart.main --workdir={workdir}'
