"""`python -m flaxart.verify --workdir=W`: every file of every checkpoint against its manifest."""

from __future__ import annotations

import time
from pathlib import Path

from flaxart.machine import locks
from flaxart.workdir import manifest
from flaxart.workdir.beside_trainer import WAITS
from flaxart.workdir.manifest import FOLDER, steps_in
from tfds_rijks.command import Parser, run
from tfds_rijks.errors import UserError


def main() -> int:
  """Prints a line a checkpoint; exit code 2, with an error, if any is damaged."""
  parser = Parser(prog='python -m flaxart.verify', description=__doc__)
  parser.add_argument('--workdir', required=True, help='folder of a run')
  args = parser.parse_args()
  workdir = Path(args.workdir).expanduser()
  steps = verify(workdir)
  if trainer := locks.holder(workdir):
    print(f'a trainer, {trainer}, is active: checkpoints may change')
  wrong = 0
  for step, lines in steps.items():
    print(f'step {step}: {"intact" if not lines else f"{len(lines)} files differ"}')
    for line in lines:
      print(f'  {line}')
    wrong += bool(lines)
  if wrong:
    raise UserError(
      f'{args.workdir}: {wrong} of {len(steps)} checkpoints are damaged; remove them, '
      'or restore them from a copy'
    )
  return 0


def verify(workdir: Path) -> dict[int, list[str]]:
  """`{step: problems}` for every checkpoint of a run, even beside its trainer."""
  folder = workdir / FOLDER
  if not folder.is_dir():
    raise UserError(f'--workdir: {workdir} has no checkpoints; give the folder of a run')
  steps = steps_in(folder)
  if not steps:
    raise UserError(f'--workdir: {folder} is empty; the run has not saved anything yet')
  found = {step: _problems(folder / str(step)) for step in steps}
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
