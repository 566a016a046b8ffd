"""The command of the benchmarks that compare one step of a network with a peer's."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping

from benchmarks import measure
from benchmarks.ours import variant
from benchmarks.sides import Side, in_turns
from flaxart.models import cards

Step = Callable[..., Callable]
# Pixels: the smallest typical size for networks published with 224, and with 299.
SIZES = {224: 128, 299: 139}


def typical_size(model: str) -> int:
  """The side in pixels at which two cores can measure the network."""
  own = cards()[model].image_size
  return SIZES.get(own, own)


def compare(
  name: str, doc: str | None, *, mode: str, ours: Step, peers: Mapping[str, Step]
) -> None:
  """Parses the command line, measures every model against every peer, saves after each.

  `ours(model, batch, size, variant=..., dtype=...)` and `peers[...](model, batch, size, dtype=...)`
  return a function that processes one batch. Each peer is compared in its own variant of the
  network.
  """
  parser = measure.parser(name, doc, peers=list(peers), default='torch,keras,plain')
  parser.add_argument('--batch', type=int, default=16)
  parser.add_argument('--size', type=int, default=0, help='pixels; 0 = typical for the network')
  parser.add_argument('--seconds', type=float, default=2.0, help='minimum per turn')
  parser.add_argument(
    '--dtype',
    choices=('float32', 'bfloat16'),
    default='float32',
    help='of the products; both sides',
  )
  arguments = parser.parse_args()
  results = []
  chosen = measure.chosen(arguments.peers, list(peers), flag='--peers')
  for model in measure.chosen(arguments.models, list(cards()), flag='--models'):
    size = arguments.size or typical_size(model)
    for peer in chosen:
      shape = (model, arguments.batch, size)
      sides = {
        'ours': Side(
          functools.partial(ours, *shape, variant=variant(model, peer), dtype=arguments.dtype),
          arguments.batch,
          command=True,
        ),
        peer: Side(
          functools.partial(peers[peer], *shape, dtype=arguments.dtype),
          arguments.batch,
          command=peer == 'three_heads',
        ),
      }
      in_turns(sides, rounds=arguments.rounds, seconds=arguments.seconds)
      about = {'batch': arguments.batch, 'size': size, 'dtype': arguments.dtype}
      results += measure.compared(model, mode, sides, **about)
      measure.save(arguments.output, results, command=measure.told(sys.argv))
