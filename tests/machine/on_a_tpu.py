"""The device cache compiled for a TPU that is not there, by libtpu: bytes of temporaries.

`python -m tests.machine.on_a_tpu`, run by `test_tpu.py` in a separate process with the environment
that libtpu needs. Prints JSON.
"""

from __future__ import annotations

import json
import math

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh

from flaxart.data.cache import taken
from flaxart.machine.sharding import DATA, over_batch, replicated

PICTURES, BATCH, SHAPE = 20_000, 256, (224, 224, 3)


def main():
  (device, *_) = topologies.get_topology_desc(platform='tpu', topology_name='v5e:2x2').devices
  mesh = Mesh([device], (DATA,), axis_types=(AxisType.Auto,))
  record = jax.ShapeDtypeStruct((BATCH,), jnp.int32, sharding=over_batch(mesh))
  found = {'a batch': BATCH * math.prod(SHAPE), 'all': PICTURES * math.prod(SHAPE)}
  for name, layout in (('rows', (1176, 128)), ('three channels', SHAPE)):
    pictures = jax.ShapeDtypeStruct((PICTURES, *layout), jnp.uint8, sharding=replicated(mesh))
    program = taken(SHAPE, mesh=mesh).lower(pictures, record).compile()
    found[name] = program.memory_analysis().temp_size_in_bytes
  print(json.dumps(found))


if __name__ == '__main__':
  main()
