"""How near a step comes to what the machine can do at most, and where its time goes.

  python -m benchmarks.roofline --models=resnet50 --modes=train,features --output=F.json

The ceilings are measured first: one large matrix product in the step's type, and reading and
writing an array that no cache holds. A picture's multiplications and additions are counted in the
plain network (`lax.conv`), so an algorithm that needs fewer of them can pass the first ceiling; its
bytes are XLA's count for the compiled step, as if nothing stayed in a cache between two kernels, so
a large cache can pass the second. `operations` are the shares of the time in a profile, by the name
that XLA gave the operation without its number.
"""

from __future__ import annotations

import collections
import functools
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import measure, ours
from benchmarks.steps import SIZES
from flaxart import hugepages
from flaxart.config import MODELS
from flaxart.models.convolution import use_lowering
from tfds_rijks.command import run

BUILD = {'train': ours.train, 'features': ours.features}
PROFILED = 3  # steps
SHOWN = 6  # operations; the rest are summed


def seconds(work: Callable[[], Any], *, least: float) -> float:
  """Of one call, the median over calls of at least so many seconds, after two unmeasured ones."""
  work()
  work()
  taken: list[float] = []
  while sum(taken) < least or len(taken) < 3:
    began = time.monotonic()
    work()
    taken.append(time.monotonic() - began)
  return statistics.median(taken)


def ceilings(*, dtype: str, least: float, side: int) -> tuple[float, float]:
  """FLOP a second of a product of square matrices, and bytes a second read and written.

  `side` of the matrices; the array has eight times as many values as one of them.
  """
  a, b = jax.random.normal(jax.random.key(0), (2, side, side), dtype)
  array = jnp.zeros((8, side, side), jnp.float32)
  product, copy = jax.jit(jnp.matmul), jax.jit(lambda x: x + 1)
  flop = 2 * side**3 / seconds(lambda: jax.block_until_ready(product(a, b)), least=least)
  moved = 2 * array.nbytes / seconds(lambda: jax.block_until_ready(copy(array)), least=least)
  return flop, moved


def operations(work: Callable[[], Any]) -> list[tuple[str, float]]:
  """Shares of the time of a few steps by kind of operation, the largest first; then the rest."""
  with tempfile.TemporaryDirectory() as name:
    with jax.profiler.trace(name):
      for _ in range(PROFILED):
        work()
    (path,) = Path(name).rglob('*.xplane.pb')
    planes = list(jax.profiler.ProfileData.from_file(str(path)).planes)
    # A device's own plane, where it has one: the host's says how long it took to start them.
    devices = [_of_plane(plane) for plane in planes if plane.name.startswith('/device:')]
    found = sum(devices, collections.Counter()) or sum(
      map(_of_plane, planes), collections.Counter[str]()
    )
  total, most = sum(found.values()), found.most_common(SHOWN)
  shares = [(kind, round(spent / total, 3)) for kind, spent in most]
  return [*shares, ('the rest', round(1 - sum(share for _, share in shares), 3))]


def _of_plane(plane: Any) -> collections.Counter[str]:
  """Nanoseconds by kind of operation."""
  found: collections.Counter[str] = collections.Counter()
  for line in plane.lines:
    for event in line.events:
      operation = dict(event.stats).get('hlo_op')
      if operation:
        found[re.sub(r'[.\d]+$', '', str(operation))] += event.duration_ns
  return found


def measured(
  model: str, mode: str, *, batch: int, size: int, dtype: str, least: float
) -> dict[str, Any]:
  """Rate, cost of a picture, and profile of one step."""
  build = functools.partial(BUILD[mode], model, batch, size, variant='keras', dtype=dtype)
  with use_lowering('native'):  # the network as it is written down
    flop = build().lowered().cost_analysis()['flops']
  step = build()
  rate = batch / seconds(step, least=least)
  moved = step.lowered().compile().cost_analysis()['bytes accessed']
  return {
    'model': model,
    'peer': 'none',
    'mode': f'roofline_{mode}',
    'ratio': None,
    'ours': round(rate, 2),
    'theirs': None,
    'gflop': round(flop / batch / 1e9, 3),
    'mb': round(moved / batch / 1e6, 1),
    'operations': operations(step),
    'batch': batch,
    'size': size,
    'dtype': dtype,
  }


def main() -> int | None:
  """The command."""
  hugepages.restart()  # as flaxart's commands do
  parser = measure.parser('roofline', __doc__, peers=[], default='')
  parser.add_argument('--modes', default=','.join(BUILD), help=f'of {", ".join(BUILD)}')
  parser.add_argument('--batch', type=int, default=16)
  parser.add_argument('--size', type=int, default=0, help='pixels; 0 = typical for the network')
  parser.add_argument('--seconds', type=float, default=5.0, help='of each measurement')
  parser.add_argument('--dtype', choices=('float32', 'bfloat16'), default='float32')
  parser.add_argument('--matrix', type=int, default=4096, help='side, for the ceilings')
  arguments = parser.parse_args()
  options = {'dtype': arguments.dtype, 'least': arguments.seconds}
  flop_s, byte_s = ceilings(**options, side=arguments.matrix)
  results = []
  for model in measure.chosen(arguments.models, MODELS, flag='--models'):
    for mode in measure.chosen(arguments.modes, list(BUILD), flag='--modes'):
      size = arguments.size or SIZES[model]
      found = measured(model, mode, batch=arguments.batch, size=size, **options)
      roofs = flop_s / (found['gflop'] * 1e9), byte_s / (found['mb'] * 1e6)
      results.append(
        {
          **found,
          'ceiling_gflop_s': round(flop_s / 1e9, 1),
          'ceiling_gb_s': round(byte_s / 1e9, 1),
          'roof_product': round(roofs[0], 1),
          'roof_memory': round(roofs[1], 1),
          'share_product': round(found['ours'] / roofs[0], 3),
          'share_memory': round(found['ours'] / roofs[1], 3),
        }
      )
      print(json.dumps(results[-1]), flush=True)
      measure.save(arguments.output, results, command=measure.told(sys.argv))
  return None


if __name__ == '__main__':
  run(main)
