"""How many originals a second `prepare` reduces, against bare decoding, resizing and encoding.

  python -m benchmarks.prepare --output=prepare.json

draws pictures of 2,500 x 1,900 pixels with the byte size of photographs (about 0.9 MB at quality
90, 4:2:0), and reduces them to a short side of 320: `ours` by `tfds_rijks.pictures.read_all` (file,
decode, check, compare, resize, encode, keep), `theirs` by Pillow (draft, resize, save) in as many
processes, and nothing else. Rates are pictures a second, the median of the rounds; the CPU time a
picture, start-up of the processes included, says more on a busy machine.
"""

from __future__ import annotations

import io
import json
import os
import platform
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

from tfds_rijks import pictures, pool
from tfds_rijks.build_report import write_json
from tfds_rijks.command import Parser, run

WIDTH, HEIGHT, SIZE = 2500, 1900, 320
SUBSAMPLING = {'4:2:0': 2, '4:4:4': 0}


def draw(folder: Path, *, count: int, subsampling: int) -> dict[str, str]:
  """Pictures of soft shapes under film grain; the grain makes them as large as photos."""
  rng = np.random.default_rng(0)
  paths = {}
  grain = rng.normal(0, 4.0, (HEIGHT, WIDTH, 1))
  for i in range(count):
    small = Image.fromarray(rng.integers(0, 256, (19, 25, 3), np.uint8))
    soft = np.asarray(small.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), np.float32)
    pixels = np.clip(soft + np.roll(grain, 37 * i, axis=1), 0, 255).astype(np.uint8)
    path = folder / f'{subsampling}_{i:04d}.jpg'
    Image.fromarray(pixels).save(path, quality=90, subsampling=subsampling)
    paths[path.name] = str(path)
  return paths


def bare(path: str) -> int:
  """Pillow alone: the scaled decode, a resize, and JPEG of quality 95, 4:4:4."""
  with Image.open(path) as image:
    image.draft('RGB', (SIZE, SIZE))
    scale = SIZE / min(image.size)
    image = image.resize(
      (round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR
    )
    stream = io.BytesIO()
    image.save(stream, 'JPEG', quality=95, subsampling=0)
  return stream.tell()


def measure(function: Callable[[], int], *, rounds: int) -> tuple[float, float]:
  """(pictures a second, CPU milliseconds a picture in all processes), medians of `rounds`."""
  rates, costs = [], []
  for _ in range(rounds):
    began, cpu = time.monotonic(), _cpu_seconds()
    count = function()
    rates.append(count / (time.monotonic() - began))
    costs.append((_cpu_seconds() - cpu) / count * 1000)
  return round(statistics.median(rates), 1), round(statistics.median(costs), 1)


def _cpu_seconds() -> float:
  used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
  return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> int | None:
  """The command."""
  parser = Parser(prog='python -m benchmarks.prepare', description=__doc__)
  parser.add_argument('--pictures', type=int, default=200, help='of each kind')
  parser.add_argument('--rounds', type=int, default=3)
  parser.add_argument('--processes', type=int, default=pool.default_processes())
  parser.add_argument('--output', required=True, help='JSON file')
  arguments = parser.parse_args()
  results = []
  with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    for kind, subsampling in SUBSAMPLING.items():
      paths = draw(folder, count=arguments.pictures, subsampling=subsampling)
      mean = sum(Path(path).stat().st_size for path in paths.values()) / len(paths)

      stored: list[int] = []  # bytes a reduced picture

      def ours(paths: dict[str, str] = paths, stored: list[int] = stored) -> int:
        shelf = pictures.read_all(
          paths, pictures.Reading(SIZE, processes=arguments.processes), folder=folder
        )
        stored[:] = [len(shelf.data(name)) for name in list(shelf.pictures)[:50]]
        return len(shelf.pictures)

      def theirs(paths: dict[str, str] = paths) -> int:
        return len(
          list(
            pool.run(bare, list(paths.values()), what='Pillow alone', processes=arguments.processes)
          )
        )

      mine, my_cost = measure(ours, rounds=arguments.rounds)
      other, their_cost = measure(theirs, rounds=arguments.rounds)
      results.append(
        {
          'mode': kind,
          'peer': 'pillow',
          'ours': mine,
          'theirs': other,
          'ratio': round(mine / other, 2),
          'ours_cpu_ms': my_cost,
          'theirs_cpu_ms': their_cost,
          'source_kilobytes': round(mean / 1000),
          'prepared_kilobytes': round(statistics.mean(stored) / 1000),
          'processes': arguments.processes,
        }
      )
      print(json.dumps(results[-1]))
  write_json(
    Path(arguments.output),
    {
      'hardware': {'machine': platform.machine(), 'cores': os.cpu_count(), 'load': os.getloadavg()},
      'versions': {package: version(package) for package in ('pillow', 'simplejpeg', 'numpy')},
      'commit': subprocess.run(
        ['git', 'rev-parse', 'HEAD'], capture_output=True, text=True, check=False
      ).stdout.strip(),
      'results': results,
    },
  )
  return None


if __name__ == '__main__':
  run(main)
