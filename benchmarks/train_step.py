"""Pictures a second of one train step, against PyTorch, Keras on JAX and the plain Flax way.

  python -m benchmarks.train_step --models=resnet50,vgg19 --peers=torch,keras --output=F.json

Each peer is compared in its own variant of the network (torchvision's strides, Keras's BatchNorm),
with one head of 375 classes, SGD with Nesterov momentum, the same batch of random pictures, the
same `--dtype`, on the accelerator if there is one. Ours starts from uint8 pictures, the peers' are
normalised already. `three_heads` compares our step of three heads with our step of one. `first_s`
includes compilation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from benchmarks import ours, peers, steps
from tfds_rijks.command import run

PEERS: dict[str, Callable[..., Callable]] = {
  'torch': peers.torch_train,
  'torch_compile': functools.partial(peers.torch_train, compiled=True),
  'keras': peers.keras_train,
  'plain': ours.plain_train,
  'three_heads': functools.partial(ours.train, variant='keras', heads=3),
}


def main() -> int | None:
  """The command."""
  return steps.compare('train_step', __doc__, mode='train', ours=ours.train, peers=PEERS)


if __name__ == '__main__':
  run(main)
