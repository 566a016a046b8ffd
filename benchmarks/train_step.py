"""Pictures a second of one train step, against PyTorch, Keras on JAX and the plain Flax way.

  python -m benchmarks.train_step --models=resnet50,vgg19 --peers=torch,keras --output=F.json

Each peer meets ours in its own variant of the network (torchvision's strides, Keras's BatchNorm),
with one head of 375 classes, SGD with Nesterov momentum, the same batch of random pictures, float32
on CPU. Ours starts from uint8 pictures, the peers' are normalised already. `three_heads` compares
our step of three heads with our step of one. `first_s` figures hold the compilation.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from benchmarks import measure, ours, peers
from benchmarks.measure import Side
from flaxart.config import MODELS
from tfds_rijks.command import run

# Pixels: ResNet50 at 128, the others at the smallest size that is typical for them.
SIZES = {'resnet50': 128, 'vgg19': 128, 'inception_v3': 139, 'xception': 139}
PEERS: dict[str, Callable[[str, int, int], Callable]] = {
  'torch': peers.torch_train,
  'torch_compile': lambda *a: peers.torch_train(*a, compiled=True),
  'keras': peers.keras_train,
  'plain': ours.plain_train,
  'three_heads': lambda *a: ours.train(*a, variant='keras', heads=3),
}


def main() -> int | None:
  """The command."""
  parser = measure.parser('train_step', __doc__, peers=list(PEERS), default='torch,keras,plain')
  parser.add_argument('--batch', type=int, default=16)
  parser.add_argument('--size', type=int, default=0, help='pixels; 0 = typical for the network')
  parser.add_argument('--seconds', type=float, default=2.0, help='of a turn, at the least')
  arguments = parser.parse_args()
  models = measure.chosen(arguments.models, MODELS, flag='--models')
  names = measure.chosen(arguments.peers, list(PEERS), flag='--peers')
  results = []
  for model in models:
    size = arguments.size or SIZES[model]
    for peer in names:
      shape = (model, arguments.batch, size)
      sides = {
        'ours': Side(ours.train(*shape, variant=ours.variant(model, peer)), arguments.batch),
        peer: Side(PEERS[peer](*shape), arguments.batch),
      }
      measure.in_turns(sides, rounds=arguments.rounds, seconds=arguments.seconds)
      about = {'batch': arguments.batch, 'size': size, 'dtype': 'float32'}
      results += measure.compared(model, 'train', sides, **about)
      measure.save(arguments.output, results, command=measure.told(sys.argv))
  return None


if __name__ == '__main__':
  run(main)
