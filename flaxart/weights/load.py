"""Loads a converted weights file: as a trunk ready to call, or as a network with its arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from flaxart.models.preprocess import Preprocess
from flaxart.models.trunk import Trunk
from flaxart.weights import file, names
from flaxart.weights.file import Weights
from tfds_rijks.errors import UserError


class LoadedTrunk:
  """A trunk in inference mode: `trunk(images)`.

  `about` is a dictionary of its origin (model, source, SHA-256; for a converted file also variant,
  licence and citation); `preprocess` maps uint8 pictures to the network's input; `module` is the
  network itself, an NNX module to build on.
  """

  def __init__(
    self,
    module: Trunk,
    preprocess: Preprocess,
    about: Mapping[str, Any],
    top: Mapping[str, np.ndarray] | None = None,
  ):
    self.about = dict(about)
    self.preprocess = preprocess
    self.features: int = module.features
    self.module = module
    self._top = {name: jnp.asarray(tensor) for name, tensor in (top or {}).items()}
    graphdef, self._state = nnx.split(module)
    self._pooled = jax.jit(lambda state, x: nnx.merge(graphdef, state)(x, train=False))
    self._map = jax.jit(lambda state, x: nnx.merge(graphdef, state).feature_map(x, train=False))

  def __call__(self, images: jax.Array | np.ndarray) -> jax.Array:
    """Preprocessed float `[B, H, W, 3]` -> pooled features `[B, D]`, float32."""
    return self._pooled(self._state, _checked(images))

  def logits(self, images: jax.Array | np.ndarray) -> jax.Array:
    """Preprocessed float `[B, H, W, 3]` -> `[B, classes]`, from a file converted with `--top`."""
    if not self._top:
      raise UserError(
        f'{self.about.get("source_file", "the trunk")}: has no classifier; convert it with --top'
      )
    card = self.module.card
    if card.classifier_map == 1:
      x = self(images)
    else:
      maps = self._map(self._state, _checked(images))
      if maps.shape[1:3] != (card.classifier_map,) * 2:
        raise UserError(
          f'{card.name}: found pictures of {images.shape[1]}x{images.shape[2]} '
          f'pixels; its classifier takes only {card.image_size}x{card.image_size}'
        )
      x = maps.reshape(len(maps), -1)
    for name in card.classifier[:-1]:
      x = nnx.relu(self._dense(name, x))
    return self._dense(card.classifier[-1], x)

  def _dense(self, name: str, x: jax.Array) -> jax.Array:
    return x @ self._top[f'{name}/kernel'] + self._top[f'{name}/bias']


def load_trunk(path: Path | str) -> LoadedTrunk:
  """Reads a file of `flaxart.weights.convert`.

  Raises:
    UserError: no such file, not a converted one, damaged, or not matching its network.
  """
  trunk, weights = read_trunk(path)
  return LoadedTrunk(trunk, weights.preprocess, weights.about, weights.top)


def read_trunk(path: Path | str, *, model: str | None = None) -> tuple[Trunk, Weights]:
  """The network of a converted file with its arrays, and the file's `about`.

  Raises:
    UserError: as `load_trunk`, or the file is of another network than `model`.
  """
  weights = file.read(path)
  if model not in (None, weights.model):
    raise UserError(
      f'{path}: holds {weights.model} ({weights.variant}), expected {model}; choose the file or '
      'config.model.name to match'
    )
  trunk = names.abstract_trunk(weights.model, weights.variant)
  _fill(trunk, weights, what=str(path))
  return trunk, weights


def _fill(trunk: Trunk, weights: Weights, *, what: str) -> None:
  """Puts every tensor in its place; raises `UserError` if names, shapes or dtypes differ."""
  file.check_names(what, expected=names.expected_shapes(trunk), found=weights.trunk)
  file.check_values(what, weights.tensors)
  state = nnx.state(trunk, (nnx.Param, nnx.BatchStat))
  for path, leaf in nnx.to_flat_state(state):
    leaf.set_value(jnp.asarray(weights.tensors['/'.join(map(str, path))]))
  nnx.update(trunk, state)


def _checked(images: Any) -> jax.Array:
  """Refuses pictures that were not preprocessed, which would give plausible nonsense."""
  if getattr(images, 'ndim', 0) != 4 or images.shape[-1] != 3:
    raise UserError(f'images: found shape {getattr(images, "shape", None)}, expected [B, H, W, 3]')
  if not jnp.issubdtype(images.dtype, jnp.floating):
    raise UserError(
      f'images: found {images.dtype}, expected preprocessed floats; apply '
      'trunk.preprocess.apply(images) first'
    )
  return jnp.asarray(images)
