"""Pictures a second that the loader delivers, against a PyTorch DataLoader with Pillow.

  python -m benchmarks.input --peers=torch --rounds=5 --output=F.json

From drawn JPEGs of 2,500 x 1,900 and of 300 x 228 pixels to shuffled uint8 batches of squares. Ours
is `flaxart.data.loader` over a prepared dataset (ArrayRecord); PyTorch's opens the same files with
Pillow in one worker process per core. On the large files ours is measured twice: decoding them each
time (`large`), and as a user trains on them, re-encoded once by `tfds_rijks.prepare` with the short
side at 320 pixels (`prepared`), with the one-time cost reported too. On the small files three
times: decoding each time (`small`), resized by SIMD instructions (`simd`:
`config.data.resize=simd`), and decoded once into a memory-mapped file (`decoded`:
`config.data.cache=host`).
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import drawn, measure
from benchmarks.peers import needs
from benchmarks.sides import Side, in_turns
from flaxart.data.decoded import with_decoded
from flaxart.data.loader import Decode, TrainBatch, train_batches
from flaxart.data.source import open_dataset
from tfds_rijks.command import run
from tfds_rijks.images import Square
from tfds_rijks.pool import default_processes
from tfds_rijks.prepare import prepare
from tfds_rijks.resizing import check_resize

SIDES = {'large': (2500, 1900), 'small': (300, 228)}  # width, height
# Small files per large one: decoded, they must not all fit into the CPU cache.
MANY = {'large': 1, 'small': 16}
SIZE, BATCH = 224, 32
SQUARE = Square(SIZE, 'squash')
AHEAD = 10  # batches; neither loader buffers more


class Files:
  """A map-style dataset: file -> uint8 square, by Pillow with its scaled decoding."""

  def __init__(self, paths: list[Path], *, draft: bool):
    self.paths, self.draft = paths, draft

  def __len__(self) -> int:
    return len(self.paths)

  def __getitem__(self, i: int) -> np.ndarray:
    with Image.open(self.paths[i]) as image:
      if self.draft:
        image.draft('RGB', (SIZE, SIZE))
      return np.asarray(image.convert('RGB').resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def torch_loader(paths: list[Path], *, draft: bool) -> Iterator[Any]:
  """Endless batches of a DataLoader whose workers, one per core, persist over epochs."""
  needs('torchvision')
  data = importlib.import_module('torch.utils.data')
  loader = data.DataLoader(
    Files(paths, draft=draft),
    batch_size=BATCH,
    shuffle=True,
    num_workers=default_processes(),
    persistent_workers=True,
    drop_last=True,
  )
  while True:
    yield from loader


def our_loader(
  data_dir: Path, name: str, square: Square = SQUARE, *, decoded: Path | None = None
) -> Iterator[Any]:
  """Endless batches as training gets them; `decoded`: a folder for a file of decoded pictures."""
  dataset = open_dataset(name, data_dir=str(data_dir), tasks=['type'])
  split = dataset.split('train')
  if decoded:
    split = with_decoded(split, decoded, dataset, square)
  return train_batches(TrainBatch(Decode(split, square), BATCH, seed=0), start_step=0)


def batch_by_batch(loader: Callable[[], Iterator[Any]]) -> Callable[[], Any]:
  """The work of a loader: its next batch."""
  return functools.partial(next, loader())


def main() -> int | None:
  """The command."""
  parser = measure.parser('input', __doc__, peers=['torch', 'torch_draft'], default='torch')
  parser.add_argument('--pictures', type=int, default=128, help='large ones; 16x as many small')
  parser.add_argument('--seconds', type=float, default=4.0, help='minimum per turn')
  arguments = parser.parse_args()
  names = measure.chosen(arguments.peers, ['torch', 'torch_draft'], flag='--peers')
  check_resize('simd')  # one of the inputs; checked before anything is measured
  results = []
  with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    for kind, size in SIDES.items():
      count = arguments.pictures * MANY[kind]
      paths = drawn.collection(folder / kind, count, size, labels={'type': 2})
      builds: dict[str, dict[str, Any]] = {kind: {}}
      if kind == 'large':
        builds['prepared'] = {'image_size': 320}
      else:
        builds |= {'simd': {}, 'decoded': {}}
      for mode, options in builds.items():
        data_dir = folder / f'data_{mode}'
        began = time.monotonic()
        path = prepare('collection', manual_dir=folder / kind, data_dir=data_dir, **options)
        prepared_s = time.monotonic() - began
        dataset = str(path.parent.relative_to(data_dir))
        for peer in names:
          decoded = folder / 'decoded' if mode == 'decoded' else None
          square = dataclasses.replace(SQUARE, resize='simd') if mode == 'simd' else SQUARE
          ours = functools.partial(our_loader, data_dir, dataset, square, decoded=decoded)
          theirs = functools.partial(torch_loader, paths, draft=peer == 'torch_draft')
          sides = {
            'ours': Side(functools.partial(batch_by_batch, ours), BATCH, ahead=AHEAD, command=True),
            peer: Side(functools.partial(batch_by_batch, theirs), BATCH, ahead=AHEAD),
          }
          in_turns(sides, rounds=arguments.rounds, seconds=arguments.seconds)
          about = {
            'batch': BATCH,
            'size': SIZE,
            'source': 'x'.join(map(str, size)),
            'prepared_in_s': round(prepared_s, 1),
          }
          results += measure.compared('loader', f'input_{mode}', sides, **about)
          measure.save(arguments.output, results, command=measure.told(sys.argv))
  return None


if __name__ == '__main__':
  run(main)
