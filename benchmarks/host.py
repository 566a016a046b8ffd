"""What the host does beside a step, in the time of one of its cores: no accelerator is needed.

  python -m benchmarks.host --models=resnet50 --output=F.json

Dispatching a step: the state of a real network, handed on by a program that does nothing, as the
loop does it (a list of arrays) and as a tree; the least of many calls. A batch
onto the device: on a CPU, its copy. Decoding: one thread, from JPEGs in memory to squares.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import drawn, measure
from benchmarks.ours import create
from flaxart.machine.sharding import CompiledStep, Flat, create_mesh, put_batch
from flaxart.models import cards
from tfds_rijks.command import run
from tfds_rijks.images import Square
from tfds_rijks.resizing import check_resize

FILES = {'small': (300, 228), 'large': (2500, 1900)}  # width, height
SQUARES = (224, 299)


def milliseconds(work: Callable[[], Any], *, calls: int) -> float:
  """Least of the calling thread's time; what it started has ended before the next call."""
  taken = []
  for _ in range(calls):
    began = time.thread_time()
    result = work()
    taken.append(time.thread_time() - began)
    jax.block_until_ready(result)
  return 1e3 * min(taken)


def dispatch(model: str, *, calls: int) -> dict[str, Any]:
  """A step that does nothing, as a list of arrays (`ours`) and as a tree (`theirs`)."""
  config, _, state = create(model, 128, variant=cards()[model].variants[0], dtype='float32')
  step = CompiledStep(lambda state, batch: (state, {'loss': batch['draw'][0]}), config)
  batch = put_batch({'draw': np.arange(1)}, create_mesh())
  held: list[Any] = [Flat.of(state)]

  def flat() -> Any:
    held[0], metrics = step.flat(held[0], batch)
    return metrics

  def tree() -> Any:
    held[0], metrics = step(held[0], batch)
    return metrics

  flat()
  ours = milliseconds(flat, calls=calls)
  held[0] = held[0].whole()
  theirs = milliseconds(tree, calls=calls)
  return {
    'ours': ours,
    'theirs': theirs,
    'ratio': theirs / ours,
    'arrays': len(jax.tree.leaves(held[0])),
  }


def onto_device(batch: int, *, calls: int) -> float:
  """A batch of squares of 224 px with four columns of numbers."""
  columns = {name: np.zeros(batch, np.int32) for name in ('artist', 'material', 'type')}
  host = {'image': np.zeros((batch, 224, 224, 3), np.uint8), 'draw': np.arange(batch), **columns}
  mesh = create_mesh()
  return milliseconds(lambda: put_batch(host, mesh), calls=calls)


def decoding(data: list[bytes], size: int, resize: str, *, seconds: float) -> float:
  """Pictures a second of one core's time."""
  square, done = Square(size, 'squash', resize), 0
  square(data[0], name='drawn')
  began = time.thread_time()
  while done == 0 or time.thread_time() - began < seconds:
    square(data[done % len(data)], name='drawn')
    done += 1
  return done / (time.thread_time() - began)


def main() -> int | None:
  """The command."""
  parser = measure.parser('host', __doc__, peers=[], default='')
  parser.add_argument('--batch', type=int, default=256)
  parser.add_argument('--calls', type=int, default=100)
  parser.add_argument('--seconds', type=float, default=3.0, help='of a decoder')
  arguments = parser.parse_args()
  check_resize('simd', field='benchmarks.host')
  results: list[dict[str, Any]] = []

  def keep(model: str, mode: str, **found: Any) -> None:
    found = {k: round(v, 3) if isinstance(v, float) else v for k, v in found.items()}
    results.append({'model': model, 'peer': 'none', 'mode': mode, **found})
    print(json.dumps(results[-1]), flush=True)

  nothing = {'theirs': None, 'ratio': None}
  for model in measure.chosen(arguments.models, list(cards()), flag='--models'):
    keep(model, 'host_step', **dispatch(model, calls=arguments.calls))
  took = onto_device(arguments.batch, calls=arguments.calls)
  keep('loader', 'host_batch', ours=took, batch=arguments.batch, **nothing)
  with tempfile.TemporaryDirectory() as folder:
    for name, side in FILES.items():
      paths = drawn.collection(Path(folder) / name, 20, side, labels={})
      data = [path.read_bytes() for path in paths]
      for size in SQUARES:
        for resize in ('pillow', 'simd'):
          rate = decoding(data, size, resize, seconds=arguments.seconds)
          about = {'side': side[0], 'size': size, 'resize': resize}
          keep('loader', 'host_decode', ours=rate, **about, **nothing)
  measure.save(arguments.output, results, command=measure.told(sys.argv))
  return None


if __name__ == '__main__':
  run(main)
