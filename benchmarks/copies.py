"""How many planted copies are found, and how many other pairs, beside imagehash.

  python -m benchmarks.copies --works=2000 --copies=440 --output=museum.json
  python -m benchmarks.copies --pictures=FOLDER --works=2000 --copies=440 --output=folder.json
  python -m benchmarks.copies --pictures=FOLDER --search=112039 --output=search.json

The first two plant copies, equally many of each kind, among works of the synthetic museum or of a
folder; a found pair is false if it is neither planted nor equal (in a folder it may be a copy that
already existed). `--peers=imagehash` compares its hashes in eight orientations at several
distances. The third times the search among many pictures: each is the mean of two of the folder,
for which only sketches are made. A second look at such a pair sees the first of the two.
"""

from __future__ import annotations

import itertools
import resource
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tfds_rijks import images, pictures
from tfds_rijks.build_report import write_json
from tfds_rijks.command import Parser, run
from tfds_rijks.copies import Source, find
from tfds_rijks.copies.sketches import SIDE, TURNS, sketch, turned
from tfds_rijks.rijksmuseum.synthetic import draw_museum
from tfds_rijks.rijksmuseum.synthetic.copying import HOW, copied

DISTANCES = (4, 8, 12, 16)  # bits of 64


def planted(folder: Path, works: list[Path], copies: int) -> dict[str, Path]:
  """Works and copies by name; a copy's name has its work's number and its kind."""
  rng = np.random.default_rng(0)
  found: dict[str, Path] = {}
  for i, path in enumerate(works):
    try:
      images.decode(path.read_bytes(), name=str(path))
    except images.ImageError:
      continue
    found[f'{i:06d}'] = path
  for k, name in enumerate(itertools.islice(itertools.cycle(list(found)), copies)):
    how = HOW[k % len(HOW)]
    picture = images.encode_jpeg(images.decode(found[name].read_bytes(), name=name))
    copy = folder / f'{k:06d}.jpg'
    copy.write_bytes(copied(picture, how, rng))
    found[f'{name} {how}'] = copy
  return found


def measured(named: Mapping[str, Path], folder: Path, *, processes: int | None) -> dict[str, Any]:
  """The result of `read_all`, and the additional time for it."""
  seconds = {}
  for rule in ('equal', 'likely'):
    reading = pictures.Reading(processes=processes, copies=rule)
    began = time.monotonic()
    shelf = pictures.read_all(named, reading, folder=folder)
    seconds[rule] = time.monotonic() - began
  seed_of = shelf.copies.seed_of
  equal = {name: picture.digest or name for name, picture in shelf.pictures.items()}
  group = {name: seed_of.get(name, name) for name in named}
  same = defaultdict(set)
  for name in named:
    same[equal.get(name, name)].add(group[name])
  hits: Counter[str] = Counter()
  ways: Counter[str] = Counter()
  for copy in named:
    name, _, how = copy.partition(' ')
    if how:
      ways[how] += 1
      there = same[equal.get(name, name)] & same[equal.get(copy, copy)]
      hits[how] += bool(there)
  others = [pair for pair in shelf.copies.likely if work(pair[0]) != work(pair[1])]
  works = len(named) - sum(ways.values())
  return {
    'works': works,
    'copies': sum(ways.values()),
    'recall': sum(hits.values()) / max(1, sum(ways.values())),
    'recall_by_way': {how: hits[how] / ways[how] for how in ways},
    'other_pairs_of_works': len({frozenset((work(a), work(b))) for a, b, _ in others}),
    'other_pairs': others[:50],
    'largest_group': max(Counter(seed_of.values()).values(), default=0),
    'doubtful': len(shelf.copies.doubtful),
    'seconds': seconds,
  }


def work(name: str) -> str:
  """The work that a picture is a copy of, or itself."""
  return name.partition(' ')[0]


def imagehash_finds(named: Mapping[str, Path]) -> dict[str, Any]:
  """The same for hashes of 64 bits, the nearest of eight orientations, at several distances."""
  import imagehash  # type: ignore[import-untyped]

  report = {}
  for kind in ('phash', 'dhash', 'whash'):
    bits = {}
    for name, path in named.items():
      grey = np.asarray(Image.fromarray(images.decode(path.read_bytes(), name=name)).convert('L'))
      bits[name] = np.stack(
        [getattr(imagehash, kind)(Image.fromarray(turned(grey, t))).hash.ravel() for t in TURNS]
      )
    names = list(bits)
    every = np.stack([bits[name] for name in names]).astype(np.int16) * 2 - 1  # [N, 8, 64]
    far = np.min([(64 - every[:, 0] @ every[:, t].T) // 2 for t in TURNS], axis=0)
    works = np.array([work(name) for name in names])
    upper = np.triu(np.ones(far.shape, bool), 1)
    same = works[:, None] == works
    originals = {name: i for i, name in enumerate(names)}
    copies = [i for i, name in enumerate(names) if ' ' in name]
    report[kind] = {
      str(most): {
        'recall': float(np.mean([far[i, originals[works[i]]] <= most for i in copies])),
        'other_pairs': int((upper & ~same & (far <= most)).sum()),
      }
      for most in DISTANCES
    }
  return report


def search(paths: list[Path], number: int, *, processes: int | None) -> dict[str, Any]:
  """Seconds and memory of sketches and search among `number` means of two pictures."""
  decoded = (images.decode(path.read_bytes(), name=str(path)) for path in paths)
  began = time.process_time()
  seconds_decoding = 0.0
  every = np.empty((len(paths), SIDE, SIDE), np.uint8)
  for i in range(len(paths)):
    before = time.process_time()
    image = next(decoded)
    seconds_decoding += time.process_time() - before
    every[i] = np.frombuffer(sketch(image), np.uint8).reshape(SIDE, SIDE)
  sketching = (time.process_time() - began - seconds_decoding) / len(paths) * number
  rng = np.random.default_rng(0)
  pairs = rng.integers(len(paths), size=(number, 2))
  with tempfile.TemporaryDirectory() as name:
    file = Path(name) / 'sketches'
    with file.open('wb') as out:
      for begin in range(0, number, 1000):
        first, second = pairs[begin : begin + 1000].T
        out.write((every[first] // 2 + every[second] // 2).tobytes())
    sources = [
      Source(f'{i:06d}', str(paths[first]), images.MAX_PIXELS, 1.0, '')
      for i, first in enumerate(pairs[:, 0].tolist())
    ]
    before, began = used(), time.monotonic()
    found = find(sources, file, rule='likely', scratch=Path(name), processes=processes)
    wall, after = time.monotonic() - began, used()
    disk = sum(path.stat().st_size for path in Path(name).iterdir())
  own, workers = (
    resource.getrusage(of).ru_maxrss for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
  )
  return {
    'pictures': number,
    'cpu_seconds_of_sketches': sketching,
    'cpu_seconds_of_the_search': after - before,
    'seconds_of_the_search': wall,
    'likely': len(found.likely),
    'doubtful': len(found.doubtful),
    'megabytes': own // 1024,
    'megabytes_of_the_largest_worker': workers // 1024,
    'megabytes_on_disk': disk // 2**20,
  }


def used() -> float:
  """CPU seconds of this process and of workers that have ended."""
  every = (resource.getrusage(of) for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
  return sum(usage.ru_utime + usage.ru_stime for usage in every)


def main() -> None:
  """The command."""
  parser = Parser(prog='python -m benchmarks.copies', description=__doc__)
  parser.add_argument('--pictures', help='folder; without it the synthetic museum')
  parser.add_argument('--works', type=int, default=2000)
  parser.add_argument('--copies', type=int, default=440)
  parser.add_argument('--seed', type=int, default=0, help='another one is another museum')
  parser.add_argument('--search', type=int, default=0, help='number of pictures to time the search')
  parser.add_argument('--peers', default='', help='imagehash')
  parser.add_argument('--processes', type=int)
  parser.add_argument('--output', required=True, help='JSON file')
  arguments = parser.parse_args()
  root = Path(arguments.pictures) if arguments.pictures else None
  found = root.rglob('*') if root else ()
  every = sorted(path for path in found if path.suffix.lower() in images.SUFFIXES)
  if arguments.search:
    results = search(every, arguments.search, processes=arguments.processes)
  else:
    with tempfile.TemporaryDirectory() as name:
      folder = Path(name)
      if arguments.pictures:
        chosen = np.random.default_rng(0).permutation(len(every))[: arguments.works]
        works = [every[i] for i in sorted(chosen)]
      else:
        museum = draw_museum(folder / 'museum', objects=arguments.works, seed=arguments.seed)
        works = sorted((museum / 'jpg2').iterdir())
      named = planted(folder, works, arguments.copies)
      results = measured(named, folder, processes=arguments.processes)
      if arguments.peers == 'imagehash':
        results['imagehash'] = imagehash_finds(named)
  write_json(Path(arguments.output), results)
  print({key: value for key, value in results.items() if key != 'other_pairs'})


if __name__ == '__main__':
  run(main)
