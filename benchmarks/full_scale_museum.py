"""How long 112,039 objects take to prepare, in how much memory, and what each config counts.

Writes a synthetic archive with the real file naming, the real long tails and small pictures; counts
what every config selects; prepares some of them and measures the whole process tree:

  python -m benchmarks.full_scale_museum --folder=/tmp/full --output=full_scale.json

The head of each distribution was counted on the real records (`prent` on two thirds of the
objects, `papier` on 84 %: docs/published.md; a fifth is anonymous); the tail is a
power law that gives the published number of labels. Pictures are coloured noise of about 60 pixels.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import string
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg

from tfds_rijks import splits
from tfds_rijks.build_report import FILE, write_json
from tfds_rijks.command import Parser, run
from tfds_rijks.errors import UserError
from tfds_rijks.progress import track
from tfds_rijks.rijksmuseum import configs, groundtruth, layout, protocols, survey
from tfds_rijks.rijksmuseum.groups import base_number
from tfds_rijks.rijksmuseum.rijksmuseum_dataset_builder import protocol_objects
from tfds_rijks.rijksmuseum.synthetic.records import Work, oai_dc, write_ground_truth

OBJECTS = 112_039
# Counted on the objects with exactly one value (Tonkes and Sabatelli's notebooks); label totals
# are those of Mensink and van Gemert.
TYPES = {
  'prent': 0.66,
  'tekening': 0.14,
  'schilderij': 0.042,
  'foto': 0.023,
  'beeldhouwwerk': 0.007,
}
MATERIALS = {
  'papier': 0.84,
  'porselein': 0.0155,
  'zilver': 0.012,
  'faience': 0.0096,
  'hout': 0.008,
  'brons': 0.005,
}
TYPE_LABELS, MATERIAL_LABELS, ARTIST_LABELS = 1_824, 406, 6_622
SEVERAL_TYPES, SEVERAL_MATERIALS, ANONYMOUS, PARTS, DISTANCED = 0.3, 0.13, 0.2, 0.07, 0.06
ROLES = {
  'prent': 'prentmaker',
  'tekening': 'tekenaar',
  'schilderij': 'schilder',
  'foto': 'fotograaf',
}
CHUNK = 2000


def draw(folder: Path, *, objects: int, seed: int = 0) -> None:
  """Writes `jpg2/`, `xml2/` and `rijksgt.mat` with `objects` records from a seed."""
  rng = np.random.default_rng(seed)
  works = list(_works(objects, rng))
  for name in ('jpg2', 'xml2'):
    (folder / name).mkdir(parents=True)
  for i, work in enumerate(track(works, 'writing the museum', len(works), unit='objects')):
    if i % CHUNK == 0:
      noise = rng.integers(0, 256, (CHUNK, 6, 8, 3), dtype=np.uint8)
    pixels = np.ascontiguousarray(noise[i % CHUNK].repeat(8, 0).repeat(8, 1))  # [48, 64, 3]
    picture = simplejpeg.encode_jpeg(pixels, quality=90, colorspace='RGB', colorsubsampling='420')
    if i % 20_000 == 777:
      picture = picture[: len(picture) // 2]
    (folder / 'jpg2' / f'{work.stem}.jpg').write_bytes(picture)
    (folder / 'xml2' / f'{work.stem}.xml').write_bytes(oai_dc(work, declared=i % 7 > 0))
  names = {
    creator: creator.partition(': ')[2] or 'anoniem' for work in works for creator in work.creators
  }
  sets = rng.choice([1, 2, 3], objects, p=[0.7, 0.1, 0.2])
  write_ground_truth(folder / 'rijksgt.mat', works, names=names, sets=sets)


def _works(objects: int, rng: np.random.Generator) -> Iterator[Work]:
  kinds = _labels(TYPES, TYPE_LABELS, 'soort', rng, objects, exponent=1.0)
  materials = _labels(MATERIALS, MATERIAL_LABELS, 'stof', rng, objects, exponent=1.1)
  second = _labels({}, TYPE_LABELS, 'soort', rng, objects, exponent=0.9)
  other = _labels({}, MATERIAL_LABELS, 'stof', rng, objects, exponent=0.9)
  makers = _labels({}, ARTIST_LABELS, 'Maker', rng, objects, exponent=1.05)
  draws = rng.random((objects, 5))
  years = rng.integers(1500, 1950, objects)
  parts: list[str] = []
  number = 0
  for i in range(objects):
    kind, material = kinds[i], materials[i]
    if not parts:  # a new group: one record, or the lettered parts of one object number
      number += 1
      count = int(rng.integers(2, 5)) if draws[i, 0] < PARTS else 1
      parts = [f'-{letter}' for letter in string.ascii_uppercase[:count]] if count > 1 else ['']
      base, thing = _number(kind, number), (kind, material, makers[i])
    kind, material, maker = thing
    object_number = base + parts.pop(0)
    role = ROLES.get(kind, 'vervaardiger')
    if draws[i, 1] < ANONYMOUS:
      creators: tuple[str, ...] = (' : ',) if draws[i, 2] < 0.3 else ('anoniem',)
    elif draws[i, 1] < ANONYMOUS + DISTANCED:
      creators = (f' toegeschreven aan {role}: {maker}',)
    else:
      creators = (f' {role}: {maker}',)
    if kind == 'prent' and draws[i, 2] < 0.4:
      creators += (f' uitgever: {makers[-i]}',)
    yield Work(
      stem=f'{i + 1:07d}_{object_number}',
      number=object_number,
      title=f'Werk {number}',
      creators=creators,
      types=(kind, second[i]) if draws[i, 3] < SEVERAL_TYPES else (kind,),
      materials=(material, other[i]) if draws[i, 4] < SEVERAL_MATERIALS else (material,),
      techniques=('etsen',),
      years=None if draws[i, 3] > 0.95 else (int(years[i]), int(years[i]) + 5),
    )


def _labels(
  head: dict[str, float],
  total: int,
  stem: str,
  rng: np.random.Generator,
  n: int,
  *,
  exponent: float,
) -> list[str]:
  """`n` labels: those of `head` with their shares, the rest a power law over `total` labels."""
  names = [*head, *(f'{stem} {k}' for k in range(len(head), total))]
  tail = 1.0 / np.arange(3, total - len(head) + 3) ** exponent
  shares = np.array([*head.values(), *(tail / tail.sum() * (1 - sum(head.values())))])
  return [names[k] for k in rng.choice(total, n, p=shares / shares.sum())]


def _number(kind: str, number: int) -> str:
  forms = {
    'prent': (
      f'RP-P-OB-{number // 100}.{number % 100:03d}',
      f'RP-P-1908-{number}',
      f'RP-P-1889-A-{number}',
    ),
    'tekening': (f'RP-T-00-{number}', f'RP-T-1898-A-{number}'),
    'schilderij': (f'SK-A-{number}',),
    'foto': (f'RP-F-F{number:05d}',),
  }.get(kind, (f'BK-NM-{number}', f'BK-1958-{number}', f'NG-MC-{number}'))
  return forms[number % len(forms)]


def measure(source: Path, data_dir: Path, config: str) -> dict[str, Any]:
  """Prepares `rijksmuseum/config` in a fresh process: seconds, memory, counts, reuse."""
  command = [
    sys.executable,
    '-m',
    'tfds_rijks.prepare',
    f'--dataset=rijksmuseum/{config}',
    f'--manual_dir={source}',
    f'--data_dir={data_dir}',
  ]
  seconds, peak = _watched(command)
  again, _ = _watched(command)
  folder = data_dir / 'rijksmuseum' / config / configs.VERSION
  report = json.loads((folder / FILE).read_text())
  size = sum(path.stat().st_size for path in folder.iterdir())
  shutil.rmtree(data_dir / 'rijksmuseum' / config)
  return {
    'config': config,
    'seconds': round(seconds, 1),
    'peak_rss_bytes': peak,
    'bytes': size,
    'second_run_seconds': round(again, 1),
    'splits': report['splits'],
    'classes': {task: about['classes'] for task, about in report['tasks'].items()},
    'siblings_in_train': report['siblings_in_train'],
    'excluded': report['excluded'],
  }


def count(source: Path) -> list[dict[str, Any]]:
  """Objects, classes and siblings of every config, without the pictures."""
  found = layout.find(source)
  read = survey.read_records(found, found.stems)
  truth = groundtruth.read(source / layout.GROUND_TRUTH, rows=len(found.stems))
  groups = {stem: base_number(layout.object_number(stem)) for stem in found.stems}
  objects = protocol_objects(groups, read)
  rows = []
  for name, about in configs.PROTOCOLS.items():
    choice = protocols.Choice(attribution=about.attribution)
    outcome = protocols.run(name, objects, choice, stems=found.stems, truth=truth)
    split_of = {stem: split for split, stems in outcome.splits.items() for stem in stems}
    siblings = splits.siblings({stem: groups[stem] for stem in split_of}, split_of)
    rows.append(
      {
        'config': name,
        'splits': {split: len(stems) for split, stems in outcome.splits.items()},
        'classes': {task: len(names) for task, names in outcome.classes.items()},
        'siblings_in_train': siblings['leaked'] / max(1, siblings['test']),
      }
    )
  return rows


def _watched(command: list[str]) -> tuple[float, int]:
  """Runs a command: (wall seconds, peak resident memory of it and its children in bytes)."""
  began, peak, done = time.monotonic(), 0, threading.Event()
  process = subprocess.Popen(command)

  def watch() -> None:
    nonlocal peak
    while not done.wait(0.25):
      peak = max(peak, _resident(process.pid))

  watcher = threading.Thread(target=watch)
  watcher.start()
  code = process.wait()
  done.set()
  watcher.join()
  if code:
    raise UserError(f'{" ".join(command)}: ended with {code}; see its message above')
  return time.monotonic() - began, peak


def _resident(pid: int) -> int:
  """Resident bytes of a process and its descendants (Linux); shared pages count in each."""
  total = 0
  try:
    total += int(Path(f'/proc/{pid}/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE')
    for task in Path(f'/proc/{pid}/task').iterdir():
      for child in (task / 'children').read_text().split():
        total += _resident(int(child))
  except (FileNotFoundError, ProcessLookupError):
    return total  # it has just ended
  return total


def main() -> None:
  """The command."""
  parser = Parser(
    prog='python -m benchmarks.full_scale_museum',
    description=__doc__,
  )
  parser.add_argument(
    '--folder', type=Path, required=True, help='for the archive and the prepared data'
  )
  parser.add_argument('--objects', type=int, default=OBJECTS)
  parser.add_argument('--configs', default='full,challenge2014', help='to prepare')
  parser.add_argument('--output', type=Path, required=True, help='JSON with the figures')
  args = parser.parse_args()
  source = args.folder / 'source'
  if not (source / 'rijksgt.mat').exists():
    draw(source, objects=args.objects)
  counts = count(source)
  results = []
  for config in args.configs.split(','):
    results.append(measure(source, args.folder / 'prepared', config))
    write_json(
      args.output,
      {
        'hardware': f'{platform.machine()}, {os.cpu_count()} cores',
        'versions': {'python': platform.python_version()},
        'objects': args.objects,
        'counts': counts,
        'results': results,
      },
    )


if __name__ == '__main__':
  run(main)
