"""What to open and what to run next, printed at the end of a run and kept as `summary.md`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from flaxart.evaluation import results
from flaxart.evaluation.records import TABLES
from flaxart.machine.files import write_text
from flaxart.models import cards
from flaxart.tasks.task import Task
from flaxart.workdir import stored_results
from tfds_rijks import terminal

FILE = 'summary.md'
WORTH_OPENING = {
  FILE: 'the scores, and these commands for later',
  stored_results.FILE: 'every score beside its baselines, and what it was made from',
  TABLES: 'the scores of each class, and which are confused with which',
}
NEW = 'NEW_PICTURES'  # in a command: a folder that only the reader knows


def say(workdir: Path, config: ConfigDict, tasks: Sequence[Task]) -> None:
  """Prints the workdir, the files worth opening and the next commands; process 0 only."""
  if jax.process_index() != 0:
    return
  wide = max(map(len, WORTH_OPENING))
  lines = [f'\n{workdir} holds the finished run. Worth opening there:']
  lines += [
    f'  {name:{wide}}  {what}'
    for name, what in WORTH_OPENING.items()
    if (workdir / name).exists()  # an earlier flaxart wrote no summary
  ]
  lines += [f'\n{what}:\n  {command}' for what, command in _next(workdir, config, tasks).items()]
  terminal.say('\n'.join(lines))


def write(
  workdir: Path, config: ConfigDict, tasks: Sequence[Task], summary: Mapping[str, Any]
) -> None:
  """Writes `summary.md` into the workdir; process 0 only."""
  if jax.process_index() != 0:
    return
  about, train = summary['provenance'], summary['train']
  card = cards().get(config.model.name)
  parts = [
    f'# {workdir.name}',
    f'{card.title if card else config.model.name} at {config.data.image_size} pixels, '
    f'{"frozen" if config.trainable == "heads" else "trained"} from {config.init}, on '
    f'{about["dataset"]} {about["dataset_version"]}: {", ".join(task.name for task in tasks)}. '
    f'{train["epochs"]:g} epochs; the checkpoint kept is step {train["best_step"]}. '
    f'flaxart {about["version"]}.',
    f'```\n{results.table(summary, tasks, columns=terminal.WIDTH)}\n```',
    '| file | what it has |\n| --- | --- |\n'
    + '\n'.join(f'| `{name}` | {what} |' for name, what in WORTH_OPENING.items() if name != FILE),
    'Commands, from the folder in which the run was started:',
  ]
  for what, command in _next(workdir, config, tasks).items():
    parts.append(f'{what}:\n\n```sh\n{command}\n```')
  write_text(workdir / FILE, '\n\n'.join(parts) + '\n')


def _next(workdir: Path, config: ConfigDict, tasks: Sequence[Task]) -> dict[str, str]:
  """What a command does, and the command, ready to be pasted."""
  names = [task.name for task in tasks]
  listed = ' and '.join(filter(None, [', '.join(names[:-1]), names[-1]]))
  drawn = str(Path(config.data.manual_dir).expanduser()) if config.data.manual_dir else ''
  of_new = f'Name {listed} of new pictures' + ('' if drawn else f' ({NEW}: their folder)')
  page = 'Figures and tables on one page'
  if find_spec('matplotlib') is None:
    page += " (needs pip install 'flaxart[report]')"
  of_run = {'workdir': str(workdir), 'images': drawn or NEW, 'output': str(workdir / 'names.csv')}
  of_runs = {'runs': str(workdir), 'output': str(workdir / 'report')}
  return {of_new: _command('predict', of_run), page: _command('report', of_runs)}


def _command(name: str, flags: Mapping[str, str]) -> str:
  words = [f'--{flag}={value}' for flag, value in flags.items()]
  return ' '.join(['python -m flaxart', name, *map(terminal.quoted, words)])
