"""The inference form of a network: BatchNorm folded into the convolutions before it."""

from __future__ import annotations

from typing import TypeVar

from flax import nnx

from flaxart.models.layers import Conv

M = TypeVar('M', bound=nnx.Module)


def fold_batchnorm(network: M) -> M:
  """Returns an equal network without BatchNorm, for inference; the given one is unchanged.

  With running statistics BatchNorm is `x * scale + offset` per channel, which a convolution absorbs
  as `kernel * scale` and `bias * scale + offset`. It is done in float32, before any cast to the
  compute dtype; outputs agree to about 1e-6 relative in float32. Works inside `jax.jit` too.
  """
  folded = nnx.merge(*nnx.split(network), copy=True)
  for _, conv in list(nnx.iter_graph(folded)):
    if isinstance(conv, Conv) and conv.norm is not None:
      norm = conv.norm
      scale, offset = norm.scale_and_offset(norm.mean[...], norm.var[...])
      bias = 0.0 if conv.bias is None else conv.bias[...]
      conv.kernel = nnx.Param(conv.kernel[...] * scale)
      conv.bias = nnx.Param(bias * scale + offset)
      conv.norm = None
  return folded
