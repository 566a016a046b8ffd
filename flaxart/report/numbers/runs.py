"""Finished runs read from their workdirs; unfinished ones are named, never counted."""

from __future__ import annotations

import dataclasses
import functools
import glob
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from flaxart.config import flat, read
from flaxart.evaluation.calibration import FORM as CALIBRATION
from flaxart.logs.metric_writer import check_line
from flaxart.machine import form
from flaxart.machine.files import damaged, read_object
from flaxart.models import cards
from flaxart.settings import read_tasks
from flaxart.tasks.kinds import read_labels
from flaxart.tasks.task import Task
from flaxart.workdir.stored_results import read_results
from tfds_rijks import strict_json
from tfds_rijks.errors import UserError
from tfds_rijks.progress import track
from tfds_rijks.words import alphabetical, counted

_TABLES = form.each(
  form.each(
    form.fields(
      {},
      {
        'per_class': form.listed(
          form.fields(
            {'class': form.name, 'n': form.count, 'predicted': form.count},
            dict.fromkeys(('precision', 'recall', 'f1'), form.maybe(form.number)),
          )
        ),
        'confusion': form.listed(form.listed(form.count)),
      },
    )
  )
)
SPLITS = ('train', 'val', 'test')
INVENTED = ' (invented objects)'  # after the name of a dataset
OFF_THE_SHELF, FINE_TUNED, SCRATCH = 'off_the_shelf', 'fine_tuned', 'scratch'
RANDOM_TRUNK = 'random_trunk'  # a frozen trunk that has learned nothing: a control
MODES = {
  FINE_TUNED: 'fine-tuned',
  OFF_THE_SHELF: 'off the shelf',
  SCRATCH: 'from scratch',
  RANDOM_TRUNK: 'random trunk, frozen',
}


@dataclasses.dataclass(frozen=True)
class LeftOut:
  """A folder without numbers, and why."""

  path: Path
  reason: str


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
  """One finished run. `lines` are those of `metrics.jsonl`; optional files are None where missing.

  `labels`: `{name: Task}`; `tables` and `calibration` as the run wrote them.
  """

  path: Path
  config: ConfigDict
  labels: Mapping[str, Task]
  results: Mapping[str, Any]
  lines: list[dict[str, Any]]
  tables: Mapping[str, Any] | None
  calibration: Mapping[str, Any] | None

  @property
  def name(self) -> str:
    """The folder's name."""
    return self.path.name

  @functools.cached_property
  def settings(self) -> dict[str, Any]:
    """All settings, flat: `{'optim.learning_rate': 0.001}`."""
    return flat(self.config)

  @property
  def seed(self) -> int:
    """`config.seed`."""
    return int(self.config.seed)

  @property
  def tasks(self) -> list[str]:
    """Task names in the order of the settings."""
    return list(read_tasks(self.config))

  @property
  def model(self) -> str:
    """`config.model.name`."""
    return str(self.config.model.name)

  @property
  def network(self) -> str:
    """The network's name in print, or `model` if this flaxart does not have it."""
    card = cards().get(self.model)
    return card.title if card else self.model

  @property
  def mode(self) -> str:
    """off_the_shelf, fine_tuned (starts from weights, moves the trunk), scratch or random_trunk."""
    if self.config.trainable == 'heads':
      return RANDOM_TRUNK if self.config.init == 'scratch' else OFF_THE_SHELF
    return SCRATCH if self.config.init == 'scratch' else FINE_TUNED

  @property
  def joint(self) -> bool:
    """Whether tasks share trained weights. Heads on a frozen trunk do not: each is independent."""
    return len(self.tasks) > 1 and self.config.trainable != 'heads'

  @property
  def is_candidate(self) -> bool:
    """Whether the run only tried a setting on val, without testing it."""
    return 'test' not in self.results

  @property
  def provenance(self) -> Mapping[str, Any]:
    """The provenance in `results.json`."""
    return self.results['provenance']

  @property
  def train(self) -> Mapping[str, Any]:
    """Steps, epochs, seconds ... of the training."""
    return self.results['train']

  @property
  def dataset(self) -> str:
    """`rijksmuseum/multitask 1.0.0`, and whether its objects are invented."""
    name = f'{self.provenance["dataset"]} {self.provenance["dataset_version"]}'
    return f'{name}{INVENTED if self.invented else ""}'

  @property
  def invented(self) -> bool:
    """Whether flaxart drew the objects; runs of earlier versions have only the setting."""
    return bool(self.provenance.get('invented', self.config.data.synthetic_objects))

  @property
  def of_the_museum(self) -> bool:
    """Whether the data are the whole Rijksmuseum Challenge, whose results were published."""
    mine = self.provenance['dataset'].partition('/')[0] == 'rijksmuseum'
    return mine and bool(self.provenance.get('complete', not self.invented))

  def split_hash(self, split: str) -> str | None:
    """SHA-256 of the split's sorted ids; None if the dataset has no such split."""
    entry = self.provenance['splits'].get(split)
    return entry['sha256'] if entry else None

  @property
  def test_key(self) -> tuple[str, str | None]:
    """Runs with equal keys were tested on the same objects of the same dataset."""
    return self.dataset, self.split_hash('test')

  @property
  def data_key(self) -> tuple[Any, ...]:
    """Runs with equal keys had the same data in every split."""
    return (self.dataset, *(self.split_hash(split) for split in SPLITS))

  @property
  def images_seen(self) -> int:
    """Pictures trained on, with repetitions."""
    seen = self.train.get('images_seen')
    return int(self.train['steps'] * self.config.train.batch_size if seen is None else seen)

  @property
  def seconds(self) -> float:
    """Seconds of training and of extracting features, without evaluation."""
    return float(self.train['seconds']) + float(self.train.get('features', {}).get('seconds', 0))

  @property
  def settings_tried(self) -> int:
    """The number of settings this run chose from, on val."""
    return int(self.train.get('settings_tried', 1))


def read_runs(pattern: str) -> tuple[list[Run], list[LeftOut]]:
  """The finished runs among the folders that match `pattern` (commas separate several patterns).

  Raises:
    UserError: no folder matches, or none is a run.
  """
  whole = Path(pattern).expanduser().is_dir()  # its name may have a comma
  parts = [pattern] if whole else filter(None, map(str.strip, pattern.split(',')))
  found = {Path(name).absolute() for part in parts for name in _matching(part)}
  folders = sorted(found, key=lambda folder: alphabetical(str(folder)))
  if not folders:
    raise UserError(
      f"--runs: no folder matches {pattern!r}; give a pattern such as --runs='runs/figure1/*'"
    )
  runs, left_out = [], []
  for folder in track(folders, 'reading runs', len(folders), unit='run'):
    try:
      runs.append(read_run(folder))
    except UserError as error:
      left_out.append(LeftOut(folder, str(error).replace(f'{folder}/', '')))
  if not runs and not any((folder / 'config.json').exists() for folder in folders):
    raise UserError(
      f'--runs: {pattern!r} matches {counted(len(folders), "folder")} without a run (no '
      'config.json); give the folders of runs'
    )
  return runs, left_out


def _matching(part: str) -> list[str]:
  """The matching folders; a name such as `[x]` means itself if it exists, else a pattern."""
  path = Path(part).expanduser()
  there = next((p for p in (path, *path.parents) if p.exists()), Path())
  pattern = Path(glob.escape(str(there))) / path.relative_to(there)
  # Path.glob does not take patterns that start at the root.
  return [name for name in glob.glob(str(pattern)) if Path(name).is_dir()]  # noqa: PTH207


def read_run(folder: Path) -> Run:
  """One finished run.

  Raises:
    UserError: why the folder has no numbers, in a few words.
  """
  if not (folder / 'config.json').exists():
    raise UserError('not a run (no config.json)')
  if not (folder / 'results.json').exists():
    raise UserError('unfinished (no results.json)')
  results = read_results(folder)
  if not (folder / 'labels.json').exists():
    raise UserError('labels.json is missing')
  labels = {task.name: task for task in read_labels(folder / 'labels.json')}
  config = read(folder / 'config.json')
  missing = [task for task in read_tasks(config) if task not in labels]
  if missing:
    raise UserError(f'labels.json has no {", ".join(missing)}, which config.json names')
  return Run(
    path=folder,
    config=config,
    labels=labels,
    results=results,
    lines=_lines(folder / 'metrics.jsonl', setting=results['train'].get('setting')),
    tables=_tables(folder / 'tables.json', labels),
    calibration=_optional(folder / 'calibration.json', CALIBRATION) or results.get('calibration'),
  )


def _optional(path: Path, its: form.Form) -> dict[str, Any] | None:
  """A JSON file that a run need not have."""
  return read_object(path, form=its, nan_as_none=True) if path.exists() else None


def _tables(path: Path, labels: Mapping[str, Task]) -> dict[str, Any] | None:
  """`tables.json`, whose classes must be those of `labels.json`."""
  found = _optional(path, _TABLES)
  for split, tasks in (found or {}).items():
    for name, tables in tasks.items():
      classes = len(labels[name].classes) if name in labels else 0
      rows, counts = tables.get('per_class'), tables.get('confusion', [])
      if (rows is not None and len(rows) != classes) or any(
        len(one) != 3 or max(one[:2]) >= classes for one in counts
      ):
        raise damaged(path, f'{split}.{name} has other classes than labels.json')
  return found


def _lines(path: Path, *, setting: str | None) -> list[dict[str, Any]]:
  """The lines of the run; of several settings tried, those of the one kept."""
  if not path.exists():
    return []
  lines = []
  for line in path.read_text(encoding='utf-8', errors='replace').splitlines():
    try:
      entry = strict_json.parse(line, nan_as_none=True)
      check_line(entry, '')
    except ValueError:  # a line truncated by a crash; the run wrote it again
      continue
    lines.append(entry)
  return [line for line in lines if line.get('setting') in (None, setting)]
