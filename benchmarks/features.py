"""Pictures a second of feature extraction, against PyTorch, Keras on JAX and the plain Flax way.

  python -m benchmarks.features --models=resnet50,vgg19 --peers=torch,keras --output=F.json

Ours is the folded trunk of `flaxart.off_the_shelf.extractor`, from uint8 pictures on the device to
pooled features; PyTorch also has BatchNorm fused into its convolutions, and `channels_last`. Each
peer is compared in its own variant of the network, in the same `--dtype`, on the accelerator if
there is one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from benchmarks import ours, peers, steps
from tfds_rijks.command import run

PEERS: dict[str, Callable[..., Callable]] = {
  'torch': peers.torch_features,
  'torch_compile': functools.partial(peers.torch_features, compiled=True),
  'keras': peers.keras_features,
  'plain': ours.plain_features,
}


def main() -> int | None:
  """The command."""
  return steps.compare('features', __doc__, mode='features', ours=ours.features, peers=PEERS)


if __name__ == '__main__':
  run(main)
