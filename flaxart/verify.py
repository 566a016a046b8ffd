"""`python -m flaxart.verify --workdir=W`: every file of every checkpoint against its manifest;
with `--data_dir=D`, every file of the prepared datasets in D, records too, against its hash.
"""

from __future__ import annotations

import time
from pathlib import Path

from flaxart.data import damage
from flaxart.machine import locks
from flaxart.workdir import manifest
from flaxart.workdir.beside_trainer import WAITS
from flaxart.workdir.manifest import FOLDER, steps_in
from tfds_rijks import fingerprint, terminal
from tfds_rijks.command import Parser, run
from tfds_rijks.errors import UserError
from tfds_rijks.progress import track
from tfds_rijks.words import counted


def main() -> int:
  """Prints a line a checkpoint or dataset; exit code 2, with an error, if any is damaged."""
  parser = Parser(prog='python -m flaxart.verify', description=__doc__)
  parser.add_argument('--workdir', help='folder of a run')
  parser.add_argument('--data_dir', help='folder of prepared datasets')
  args = parser.parse_args()
  if not (args.workdir or args.data_dir):
    raise UserError('give --workdir, the folder of a run, or --data_dir, that of prepared datasets')
  if args.data_dir:
    _verify_data(Path(args.data_dir).expanduser())
  if args.workdir:
    _verify_run(Path(args.workdir).expanduser())
  return 0


def _verify_data(data_dir: Path) -> None:
  found = verify_data(data_dir)
  for folder, lines in found.items():
    state = 'intact' if fingerprint.is_sealed(folder) else 'readable, but unsealed'
    terminal.say(f'{folder}: {state if not lines else counted(len(lines), "problem")}')
    for line in lines:
      terminal.say(f'  {line}')
  if wrong := [folder for folder, lines in found.items() if lines]:
    raise UserError(
      f'{wrong[0]}: is damaged: {"; ".join(found[wrong[0]][:6])} ({len(wrong)} of '
      f'{counted(len(found), "dataset is", "datasets are")} damaged); {fingerprint.ADVICE}'
    )


def verify_data(data_dir: Path) -> dict[Path, list[str]]:
  """`{folder: problems}` for every prepared version at or below `data_dir`.

  Without hashes, records are read through: their format has checksums.
  """
  files = [path for pattern in fingerprint.OF_A_VERSION for path in data_dir.glob(f'**/{pattern}')]
  folders = sorted({path.parent for path in files})
  folders = [f for f in folders if not any(part.startswith('.') for part in f.parts[-3:])]
  if not folders:
    raise UserError(f'--data_dir: {data_dir} has no prepared dataset; give the folder of some')
  return {folder: damage.all_damage(folder) for folder in track(folders, 'checking', len(folders))}


def _verify_run(workdir: Path) -> None:
  steps = verify(workdir)
  if trainer := locks.holder(workdir):
    terminal.say(f'a trainer, {trainer}, is active: checkpoints may change')
  wrong = 0
  for step, lines in steps.items():
    differ = counted(len(lines), 'file differs', 'files differ')
    terminal.say(f'step {step}: {differ if lines else "intact"}')
    for line in lines:
      terminal.say(f'  {line}')
    wrong += bool(lines)
  if wrong:
    raise UserError(
      f'{workdir}: {wrong} of {counted(len(steps), "checkpoint is", "checkpoints are")} damaged; '
      'remove what is damaged, or restore it from a copy'
    )


def verify(workdir: Path) -> dict[int, list[str]]:
  """`{step: problems}` for every checkpoint of a run, even beside its trainer."""
  folder = workdir / FOLDER
  if not folder.is_dir():
    raise UserError(f'--workdir: {workdir} has no checkpoints; give the folder of a run')
  steps = steps_in(folder)
  if not steps:
    raise UserError(f'--workdir: {folder} is empty; the run has not saved anything yet')
  found = {step: _problems(folder / str(step)) for step in track(steps, 'checking', len(steps))}
  for wait in (0, *WAITS):  # a trainer may be sealing a checkpoint, or have deleted it
    time.sleep(wait)
    trainer = locks.holder(workdir)
    for step in [step for step, lines in found.items() if lines]:
      found[step] = _problems(folder / str(step))
      if not (folder / str(step)).exists():
        del found[step]
    if trainer is None or not any(found.values()):
      break
  return found


def _problems(folder: Path) -> list[str]:
  try:
    return manifest.problems(folder)
  except FileNotFoundError as error:
    return [f'{error.filename}: vanished while it was read']


if __name__ == '__main__':
  run(main)
