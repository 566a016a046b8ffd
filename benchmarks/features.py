"""Pictures a second of feature extraction, against PyTorch, Keras on JAX and the plain Flax way.

  python -m benchmarks.features --models=resnet50,vgg19 --peers=torch,keras --output=F.json

Ours is the folded trunk of `flaxart.features`, from uint8 pictures on the device to pooled
features; PyTorch has BatchNorm fused into its convolutions, too, and `channels_last`. Each peer
meets ours in its own variant of the network; float32 on CPU.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from benchmarks import measure, ours, peers
from benchmarks.measure import Side
from benchmarks.train_step import SIZES
from flaxart.config import MODELS
from tfds_rijks.command import run

PEERS: dict[str, Callable[[str, int, int], Callable]] = {
  'torch': peers.torch_features,
  'torch_compile': lambda *a: peers.torch_features(*a, compiled=True),
  'keras': peers.keras_features,
  'plain': ours.plain_features,
}


def main() -> int | None:
  """The command."""
  parser = measure.parser('features', __doc__, peers=list(PEERS), default='torch,keras,plain')
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
        'ours': Side(ours.features(*shape, variant=ours.variant(model, peer)), arguments.batch),
        peer: Side(PEERS[peer](*shape), arguments.batch),
      }
      measure.in_turns(sides, rounds=arguments.rounds, seconds=arguments.seconds)
      about = {'batch': arguments.batch, 'size': size, 'dtype': 'float32'}
      results += measure.compared(model, 'features', sides, **about)
      measure.save(arguments.output, results, command=measure.told(sys.argv))
  return None


if __name__ == '__main__':
  run(main)
