"""Seconds from the command to the first training step, cold and warm.

  python -m benchmarks.startup --models=resnet50 --rounds=3 --output=F.json

Each start is a separate process: `python -m flaxart.main` on a small drawn collection, until
`metrics.jsonl` has its first line. `cold` begins a run with an empty compilation cache, `warm`
starts the same run again. `ratio` is cold over warm; imports alone are reported too.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import measure
from flaxart.models import cards
from tfds_rijks.command import run
from tfds_rijks.errors import UserError

PICTURES = 96
LIMIT_S = 900


def draw(folder: Path, size: int) -> None:
  """A collection of noise: the content does not matter here."""
  rng = np.random.default_rng(0)
  folder.mkdir()
  rows = ['image,type']
  for i in range(PICTURES):
    name = f'{i:04d}.jpg'
    Image.fromarray(rng.integers(0, 256, (size, size, 3), np.uint8)).save(folder / name)
    rows.append(f'{name},{("bowl", "coin")[i % 2]}')
  (folder / 'metadata.csv').write_text('\n'.join(rows) + '\n', encoding='utf-8')


def seconds_to_first_step(command: list[str], workdir: Path, *, cache: Path) -> float:
  """Starts or continues a run and stops it when its first step is written."""
  with tempfile.TemporaryFile('w+', encoding='utf-8') as said:  # a full pipe would stop it
    began, began_at = time.monotonic(), time.time()
    process = subprocess.Popen(
      [*command, f'--workdir={workdir}'],
      env={**os.environ, 'JAX_COMPILATION_CACHE_DIR': str(cache)},
      stdout=subprocess.DEVNULL,
      stderr=said,
      text=True,
    )
    try:
      while not written_since(began_at, workdir / 'metrics.jsonl'):
        if process.poll() is not None:
          said.seek(0)
          raise UserError(f'the run ended before its first step: {said.read()[-500:]}')
        if time.monotonic() - began > LIMIT_S:
          raise UserError(f'no step within {LIMIT_S} s')
        time.sleep(0.02)
      return time.monotonic() - began
    finally:
      process.kill()
      process.wait()


def written_since(time_s: float, path: Path) -> bool:
  """Whether a file has content written after `time_s`."""
  try:
    about = path.stat()
  except FileNotFoundError:
    return False
  return about.st_size > 0 and about.st_mtime > time_s


def main() -> int | None:
  """The command."""
  parser = measure.parser('startup', __doc__, peers=[], default='')
  parser.add_argument('--size', type=int, default=128)
  parser.add_argument('--width', type=float, default=1.0, help='of the network; for trials')
  arguments = parser.parse_args()
  results = []
  with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    draw(folder / 'source', arguments.size)
    prepare = ['--dataset=collection', f'--manual_dir={folder / "source"}']
    subprocess.run(
      [sys.executable, '-m', 'tfds_rijks.prepare', *prepare, f'--data_dir={folder / "data"}'],
      check=True,
      stdout=subprocess.DEVNULL,
    )
    for model in measure.chosen(arguments.models, list(cards()), flag='--models'):
      command = [
        *(sys.executable, '-m', 'flaxart.main', '--config=configs/scratch.py'),
        *(f'--config.model.name={model}', f'--config.model.width={arguments.width}'),
        *('--config.data.dataset=collection', f'--config.data.data_dir={folder / "data"}'),
        *('--config.tasks=type', f'--config.data.image_size={arguments.size}'),
        *('--config.train.batch_size=16', '--config.log.every_steps=1'),
      ]
      taken: dict[str, list[float]] = {'cold': [], 'warm': [], 'imports': []}
      for i in range(arguments.rounds):
        cache = folder / f'compiled_{model}_{i}'
        for state in ('cold', 'warm'):
          run_folder = folder / f'{model}_{i}'
          taken[state].append(seconds_to_first_step(command, run_folder, cache=cache))
        began = time.monotonic()
        subprocess.run([sys.executable, '-c', 'import flaxart.train'], check=True)
        taken['imports'].append(time.monotonic() - began)
      medians = {state: round(statistics.median(values), 2) for state, values in taken.items()}
      results.append(
        {
          'model': model,
          'peer': 'cold',
          'mode': 'startup',
          'ratio': round(medians['cold'] / medians['warm'], 2),
          'ours': medians['warm'],
          'theirs': medians['cold'],
          'imports_s': medians['imports'],
          'unit': 's',
          'size': arguments.size,
          'rounds': arguments.rounds,
        }
      )
      print(results[-1], flush=True)
      measure.save(arguments.output, results, command=measure.told(sys.argv))
  return None


if __name__ == '__main__':
  run(main)
