"""What devices send each other in one train step: read from the compiled program, not timed.

  python -m benchmarks.collectives --models=resnet50 --devices=4 --output=F.json

Simulated devices, the network at full width in bfloat16 as written for a GPU, small pictures: what
is sent are gradients, statistics and losses, whose size does not depend on the pictures. Counted
where XLA has cut the program up among devices, before it merges or widens anything (CPUs add in
float32). Each way: `jit` or `shard_map`, stored statistics in BatchNorm, those of the global batch,
or those of each device's own part.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
import tempfile
from pathlib import Path

import jax

from benchmarks import measure
from benchmarks.ours import HEADS
from flaxart.config import default_config
from flaxart.machine.sharding import create_mesh, over_batch, replicated
from flaxart.machine.target import use_target
from flaxart.network.classifier import InitialTrunk
from flaxart.network.state import create_train_state
from flaxart.settings import read_settings
from flaxart.tasks.objective import Objective
from flaxart.tasks.softmax import Softmax
from flaxart.training.optim import create_learning_rate_fn, create_optimizer
from flaxart.training.step import make_train_step
from tfds_rijks.command import run

WAYS = {  # parallelism, model.bn, model.bn_sync
  'jit_stored': ('jit', 'frozen', True),
  'jit_batch': ('jit', 'batch', True),
  'shard_map_stored': ('shard_map', 'frozen', True),
  'shard_map_batch': ('shard_map', 'batch', True),
  'shard_map_own': ('shard_map', 'batch', False),
}
SIZES = {'vgg19': 32, 'resnet50': 32, 'inception_v3': 75, 'xception': 71}
BYTES = {'bf16': 2, 'f32': 4, 's32': 4, 'u32': 4, 'pred': 1}


def sent(program: str) -> dict[str, tuple[int, int]]:
  """`{dtype: (arrays, bytes)}` of all sums and gathers over devices in a program's HLO."""
  found: dict[str, tuple[int, int]] = {}
  for line in re.findall(r'^.* = (.*?) (?:all-reduce|all-gather|reduce-scatter)\(', program, re.M):
    for dtype, shape in re.findall(r'(\w+)\[([\d,]*)\]', line):
      count, total = found.get(dtype, (0, 0))
      size = math.prod(int(n) for n in shape.split(',') if n)
      found[dtype] = count + 1, total + size * BYTES[dtype]
  return found


def cut_up(model: str, way: str, *, batch: int, width: float) -> str:
  """The HLO of a step after it was cut up among devices."""
  config, size = default_config(), SIZES[model]
  config.model.name, config.model.width, config.data.image_size = model, width, size
  config.parallelism, config.model.bn, config.model.bn_sync = WAYS[way]
  tasks = [Softmax('artist', tuple(map(str, range(HEADS['artist']))))]
  settings, mesh, networks = read_settings(config), create_mesh(), []
  rate = create_learning_rate_fn(config, steps=10, steps_per_epoch=5)

  def create() -> object:
    tx = create_optimizer(config, settings, rate)
    network, state = create_train_state(
      config, settings, tasks, tx, mesh=mesh, trunk=InitialTrunk()
    )
    networks.append(network)
    return state

  def placed(tree: object, sharding: object) -> object:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)

  shapes = {'image': ((batch, size, size, 3), 'uint8'), 'draw': ((batch,), 'int32')}
  shapes['artist'] = shapes['draw']
  data = {name: jax.ShapeDtypeStruct(*shape) for name, shape in shapes.items()}
  with use_target('gpu'), tempfile.TemporaryDirectory() as folder:
    state = placed(jax.eval_shape(create), replicated(mesh))
    step = make_train_step(networks[0], config, rate, Objective())
    lowered = step.traced(state, placed(data, over_batch(mesh))).lower()  # type: ignore[arg-type]
    options = {'xla_dump_to': folder, 'xla_dump_hlo_pass_re': '.*partition.*'}
    lowered.compile(compiler_options={**options, 'xla_backend_optimization_level': 0})
    after = sorted(Path(folder).glob('*after*partition*.txt'))
    return after[-1].read_text('utf-8')


def main() -> int | None:
  """The command."""
  parser = measure.parser('collectives', __doc__, peers=[], default='')
  parser.add_argument('--devices', type=int, default=4)
  parser.add_argument('--ways', default=','.join(WAYS), help=f'of {", ".join(WAYS)}')
  parser.add_argument('--width', type=float, default=1.0, help='of the network; for trials')
  arguments = parser.parse_args()
  os.environ['XLA_FLAGS'] = f'--xla_force_host_platform_device_count={arguments.devices}'
  jax.config.update('jax_enable_compilation_cache', False)  # nothing found there is cut up again
  results = []
  for model in measure.chosen(arguments.models, list(SIZES), flag='--models'):
    for way in measure.chosen(arguments.ways, list(WAYS), flag='--ways'):
      found = sent(cut_up(model, way, batch=2 * arguments.devices, width=arguments.width))
      results.append(
        {
          'model': model,
          'peer': 'none',
          'mode': f'collectives_{way}',
          'ratio': None,
          'ours': round(sum(size for _, size in found.values()) / 1e6, 3),
          'theirs': None,
          'devices': arguments.devices,
          'arrays': {dtype: count for dtype, (count, _) in sorted(found.items())},
          'mb': {dtype: round(size / 1e6, 3) for dtype, (_, size) in sorted(found.items())},
        }
      )
      print(json.dumps(results[-1]), flush=True)
  measure.save(arguments.output, results, command=measure.told(sys.argv))
  return None


if __name__ == '__main__':
  run(main)
