"""How near a step comes to the machine's limits, and where its time goes.

  python -m benchmarks.roofline --models=resnet50 --modes=train,features --output=F.json

The ceilings are measured first: one large matrix product in the step's type, and reading and
writing an array too large for any cache. A picture's cost is that of the network as written, the
same on every machine: the multiplications and additions of its convolutions (an algorithm that
needs fewer, such as Winograd's, can exceed the first ceiling), and the outputs of convolutions,
each as often as it is written and read if every convolution, statistic and normalisation is a
separate operation (`PASSES`; values that stay in a cache can exceed the second). Pooling, sums and
concatenations of branches are not counted. `operations` are the shares of the time in a profile, by
XLA's name of the operation without its number. Everything runs in separate processes, one after the
other.
"""

from __future__ import annotations

import collections
import json
import math
import multiprocessing
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from benchmarks import measure, ours
from benchmarks.steps import typical_size
from flaxart.machine import hugepages
from flaxart.machine.target import use_target
from flaxart.models import cards, create_trunk
from flaxart.models.layers import batch_norms
from tfds_rijks.command import run
from tfds_rijks.errors import UserError

BUILD = {'train': ours.train, 'features': ours.features}
# How often an output of a convolution is written and read: in features once each, BatchNorm being
# part of the convolution. In training without BatchNorm: written, read by the next one; its
# gradient by ReLU (two reads, a write), for the input (read, write of that) and for the kernel (two
# reads). With BatchNorm also: statistics (read), normalised and written; their gradients (two
# reads).
PASSES = {'features': (2, 2), 'train': (9, 14)}  # plain, normalised
PROFILED = 3  # steps
SHOWN = 6  # operations; the rest are summed
AROUND = ('while', 'call', 'conditional')  # their time is that of the operations inside


def alone(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
  """The result of a function of this module, run in a process of its own."""
  context = multiprocessing.get_context('spawn')
  with ProcessPoolExecutor(1, mp_context=context) as pool:
    return pool.submit(function, *args, **kwargs).result()


def seconds(work: Callable[[], Any], *, least: float) -> float:
  """Median seconds of a call over at least `seconds` of calls, after two unmeasured ones."""
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


def cost(model: str, mode: str, *, size: int, dtype: str) -> tuple[float, float]:
  """FLOP and bytes of one picture, counted on a CPU: other backends do not say."""
  jax.config.update('jax_platforms', 'cpu')
  with use_target('tpu'):  # the network as written
    shape = {'variant': cards()[model].variants[0], 'dtype': dtype}
    trunk = nnx.eval_shape(lambda: create_trunk(model, rngs=nnx.Rngs(0)))
    has_norms = any(True for _ in batch_norms(trunk))
    traced = BUILD[mode](model, 1, size, **shape).traced()
    forward = ours.features(model, 1, size, **shape).traced()
  plain = normalised = 0
  for equation in _convolutions(forward.jaxpr.jaxpr):
    values = math.prod(equation.outvars[0].aval.shape)
    # The depthwise half of a separable convolution has no BatchNorm.
    if not has_norms or equation.params['feature_group_count'] > 1:
      plain += values
    else:
      normalised += values
  passes = PASSES[mode]
  moved = (plain * passes[0] + normalised * passes[1]) * jnp.dtype(dtype).itemsize
  return traced.lower().cost_analysis()['flops'], moved


def _convolutions(jaxpr: Any) -> Iterator[Any]:
  for equation in jaxpr.eqns:
    if equation.primitive.name == 'conv_general_dilated':
      yield equation
    for inner in jax.core.jaxprs_in_params(equation.params):
      yield from _convolutions(inner)


def operations(work: Callable[[], Any]) -> list[tuple[str, float]]:
  """Shares of the time of a few steps by kind of operation, the largest first; then the rest."""
  with tempfile.TemporaryDirectory() as name:
    with jax.profiler.trace(name):
      for _ in range(PROFILED):
        work()
    (path,) = Path(name).rglob('*.xplane.pb')
    planes = list(jax.profiler.ProfileData.from_file(str(path)).planes)
    # A device's own plane, if it has one: the host's has the time of launching them.
    devices = [_of_plane(plane) for plane in planes if plane.name.startswith('/device:')]
    found = sum(devices, collections.Counter()) or sum(
      map(_of_plane, planes), collections.Counter[str]()
    )
  if not found:
    raise UserError(
      f'profile: found no operations in {", ".join(plane.name for plane in planes)}; expected '
      'events that name one (hlo_op)'
    )
  total, most = sum(found.values()), found.most_common(SHOWN)
  shares = [(kind, round(spent / total, 3)) for kind, spent in most]
  return [*shares, ('the rest', round(1 - sum(share for _, share in shares), 3))]


def _of_plane(plane: Any) -> collections.Counter[str]:
  """Nanoseconds by kind of operation."""
  found: collections.Counter[str] = collections.Counter()
  for line in plane.lines:
    for event in line.events:
      kind = re.sub(r'[.\d]+$', '', str(dict(event.stats).get('hlo_op', '')))
      if kind and kind not in AROUND:
        found[kind] += event.duration_ns
  return found


def measured(
  model: str, mode: str, *, batch: int, size: int, dtype: str, least: float
) -> tuple[float, list[tuple[str, float]]]:
  """Pictures a second, and the profile, of one step."""
  step = BUILD[mode](model, batch, size, variant=cards()[model].variants[0], dtype=dtype)
  return batch / seconds(step, least=least), operations(step)


def main() -> int | None:
  """The command."""
  hugepages.restart()  # as flaxart's commands do
  parser = measure.parser('roofline', __doc__, peers=[], default='')
  parser.add_argument('--modes', default=','.join(BUILD), help=f'of {", ".join(BUILD)}')
  parser.add_argument('--batch', type=int, default=16)
  parser.add_argument('--size', type=int, default=0, help='pixels; 0 = typical for the network')
  parser.add_argument('--seconds', type=float, default=5.0, help='per measurement')
  parser.add_argument('--dtype', choices=('float32', 'bfloat16'), default='float32')
  parser.add_argument('--matrix', type=int, default=4096, help='side, for the ceilings')
  arguments = parser.parse_args()
  dtype, least = arguments.dtype, arguments.seconds
  flop_s, byte_s = alone(ceilings, dtype=dtype, least=least, side=arguments.matrix)
  results = []
  for model in measure.chosen(arguments.models, list(cards()), flag='--models'):
    for mode in measure.chosen(arguments.modes, list(BUILD), flag='--modes'):
      size = arguments.size or typical_size(model)
      flop, moved = alone(cost, model, mode, size=size, dtype=dtype)
      shape = {'batch': arguments.batch, 'size': size, 'dtype': dtype}
      rate, shares = alone(measured, model, mode, **shape, least=least)
      results.append(
        {
          'model': model,
          'peer': 'none',
          'mode': f'roofline_{mode}',
          'ratio': None,
          'ours': round(rate, 2),
          'theirs': None,
          'gflop': round(flop / 1e9, 3),
          'mb': round(moved / 1e6, 1),
          'ceiling_gflop_s': round(flop_s / 1e9, 1),
          'ceiling_gb_s': round(byte_s / 1e9, 1),
          'roof_product': round(flop_s / flop, 1),
          'roof_memory': round(byte_s / moved, 1),
          'share_product': round(rate * flop / flop_s, 4),
          'share_memory': round(rate * moved / byte_s, 4),
          'operations': shares,
          **shape,
        }
      )
      print(json.dumps(results[-1]), flush=True)
      measure.save(arguments.output, results, command=measure.told(sys.argv))
  return None


if __name__ == '__main__':
  run(main)
