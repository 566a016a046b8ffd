"""The museum's job, whole: large scans -> prepared -> frozen ResNet50 -> three heads -> a table.

  python -m benchmarks.end_to_end --models=resnet50 --pictures=3000 --output=F.json

Draws scans of 2,000 x 1,500 pixels with three labels, and runs the three commands a user runs:
`tfds_rijks.prepare --image_size=320`, `flaxart.main` with a frozen trunk at 224 px and three heads
for 30 epochs, `flaxart.predict` on all scans. The trunk has random weights, which takes as long.
Rates are pictures a second; memory is the peak of the command and its children. `hours_for`
extrapolates linearly to 30,000 pictures: the rates of a small trial include start-up and
compilation, so it errs on the high side.
"""

from __future__ import annotations

import csv
import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import drawn, measure
from benchmarks.drawn import LABELS
from flaxart.models import cards
from tfds_rijks.command import run
from tfds_rijks.errors import UserError

SCAN = (2000, 1500)
WANTED = 30_000


@dataclasses.dataclass(frozen=True)
class Timed:
  """Seconds and error stream of a command, and peak memory of it and its children (sampled)."""

  seconds: float
  memory_gb: float
  said: str


def timed(line: list[str], **environment: str) -> Timed:
  """Runs a module with its flags; raises `UserError` with its error stream if it fails."""
  began = time.monotonic()
  with tempfile.TemporaryFile('w+', encoding='utf-8') as said:  # a full pipe would stop it
    process = subprocess.Popen(
      [sys.executable, '-m', *line],
      stdout=subprocess.DEVNULL,
      stderr=said,
      text=True,
      env={**os.environ, **environment},
    )
    most = 0.0
    while process.poll() is None:
      most = max(most, memory_gb(process.pid))
      time.sleep(0.2)
    seconds = time.monotonic() - began
    said.seek(0)
    words = said.read()
    if process.returncode:
      raise UserError(f'{" ".join(line[:2])}: {words[-500:]}')
  return Timed(seconds, most, words)


def memory_gb(pid: int) -> float:
  """Proportional set size of a process and its children; 0 where the system does not say."""
  total = 0
  for process in [pid, *children(pid)]:
    try:
      text = Path(f'/proc/{process}/smaps_rollup').read_text(encoding='utf-8')
    except OSError:
      continue  # it has just ended
    total += sum(int(x.split()[1]) for x in text.splitlines() if x.startswith('Pss:'))
  return total * 1024 / 1e9


def children(pid: int) -> list[int]:
  """All processes below this one."""
  try:
    own = [int(x) for x in Path(f'/proc/{pid}/task/{pid}/children').read_text('utf-8').split()]
  except OSError:
    return []
  return own + [x for child in own for x in children(child)]


def folder_gb(folder: Path) -> float:
  """The size of a folder on disk."""
  return sum(path.stat().st_size for path in folder.rglob('*') if path.is_file()) / 1e9


def job(model: str, folder: Path, *, pictures: int, size: int, width: float) -> list[dict]:
  """The three commands, one after the other."""
  scans, data, workdir = folder / 'scans', folder / 'data', folder / 'run'
  collection = ['--config.data.dataset=collection', f'--config.data.data_dir={data}']
  commands = {
    'prepare': [
      *('tfds_rijks.prepare', '--dataset=collection', f'--manual_dir={scans}'),
      *(f'--data_dir={data}', '--image_size=320', '--min_per_class=1'),
    ],
    'features_and_heads': [
      *('flaxart.main', '--config=configs/frozen.py', f'--workdir={workdir}', *collection),
      *(f'--config.model.name={model}', f'--config.model.width={width}', '--config.init=scratch'),
      *(f'--config.tasks={",".join(LABELS)}', f'--config.data.image_size={size}'),
      *('--config.train.epochs=30', f'--config.probe.cache_dir={folder / "features"}'),
    ],
    'predict': [
      *('flaxart.predict', f'--workdir={workdir}', f'--images={scans}'),
      f'--output={folder / "predictions.csv"}',
    ],
  }
  results: list[dict[str, Any]] = []
  for mode, line in commands.items():
    took = timed(line)
    results.append(
      {
        'model': model,
        'peer': 'none',
        'mode': mode,
        'ratio': None,
        'ours': round(pictures / took.seconds, 2),
        'theirs': None,
        'seconds': round(took.seconds, 1),
        'memory_gb': round(took.memory_gb, 2),
        'pictures': pictures,
        'size': size,
        'hours_for': {str(WANTED): round(took.seconds / pictures * WANTED / 3600, 2)},
      }
    )
    print(results[-1], flush=True)
  with (folder / 'predictions.csv').open(encoding='utf-8-sig', newline='') as file:
    rows = sum(row['status'] == 'ok' for row in csv.DictReader(file))
  if rows != pictures:
    raise UserError(f'predictions.csv: {rows} of {pictures} pictures have a prediction')
  disk = {name: folder_gb(folder / name) for name in ('scans', 'data', 'features', 'run')}
  for result in results:
    result['disk_gb'] = {name: round(gb, 4) for name, gb in disk.items()}
  return results


def main() -> int | None:
  """The command."""
  parser = measure.parser('end_to_end', __doc__, peers=[], default='')
  parser.add_argument('--pictures', type=int, default=300)
  parser.add_argument('--size', type=int, default=224, help='pixels of the network input')
  parser.add_argument('--width', type=float, default=1.0, help='of the network; for trials')
  arguments = parser.parse_args()
  results: list[dict] = []
  for model in measure.chosen(arguments.models, list(cards()), flag='--models'):
    with tempfile.TemporaryDirectory(dir=os.environ.get('TMPDIR')) as name:
      folder = Path(name)
      drawn.collection(folder / 'scans', arguments.pictures, SCAN, labels=LABELS)
      options = {'size': arguments.size, 'width': arguments.width}
      results += job(model, folder, pictures=arguments.pictures, **options)
    measure.save(arguments.output, results, command=measure.told(sys.argv))
  return None


if __name__ == '__main__':
  run(main)
