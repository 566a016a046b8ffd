"""The four networks by name."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from flax import nnx

from flaxart.models.inception import InceptionV3
from flaxart.models.resnet import ResNet50
from flaxart.models.trunk import Trunk
from flaxart.models.vgg import VGG19
from flaxart.models.xception import Xception
from tfds_rijks.errors import UserError

MODELS: dict[str, type[Trunk]] = {
  model.name: model for model in (VGG19, InceptionV3, Xception, ResNet50)
}


def create_trunk(
  name: str,
  *,
  rngs: nnx.Rngs,
  dtype: Any = jnp.float32,
  width: float = 1.0,
  shallow: bool = False,
  variant: str = 'keras',
) -> Trunk:
  """A network without its classifier, with He-uniform kernels.

  `trunk(images, train=...)` maps preprocessed `[B, H, W, 3]` to pooled `[B, D]` float32.
  `trunk.features` is D, `trunk.min_size` the smallest side of an input in pixels, and
  `trunk.preprocess` what its originals put before it.

  Args:
    name: `vgg19`, `inception_v3`, `xception` or `resnet50`.
    rngs: the stream `params` is used.
    dtype: of the computation; parameters and statistics are float32.
    width: multiplies every channel count; 1 is the published network.
    shallow: one block per stage, for tests and trials.
    variant: whose details: `keras`, `torchvision` or `timm`; see the network's docstring.

  Raises:
    UserError: for a network or variant that does not exist.
  """
  if name not in MODELS:
    raise UserError(f'model: found {name!r}, expected one of {", ".join(MODELS)}')
  model: Any = MODELS[name]
  if variant not in model.variants:
    raise UserError(f'variant: found {variant!r}, {name} has {", ".join(model.variants)}')
  trunk: Trunk = model(rngs=rngs, width=width, shallow=shallow, variant=variant)
  trunk.dtype = dtype
  return trunk
