"""Use flaxart's parts in your own code: `python docs/own_code.py WORKDIR DATA_DIR DATASET`.

Takes the trunk of a finished run (or of a file of `flaxart weights convert`), puts a new head on
it, and fine-tunes both on the records of a prepared dataset with a step written here.
"""

from __future__ import annotations

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tensorflow_datasets as tfds
from flax import nnx

import flaxart
from tfds_rijks.images import Square


class Classifier(nnx.Module):
  """A trunk and one linear head; both are ordinary NNX modules."""

  def __init__(self, trunk: nnx.Module, features: int, classes: int):
    self.trunk = trunk
    self.head = nnx.Linear(features, classes, rngs=nnx.Rngs(0))

  def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
    """Preprocessed float `[B, H, W, 3]` -> logits `[B, C]`."""
    return self.head(self.trunk(images, train=train))


def main(workdir: str, data_dir: str, dataset: str) -> None:
  """Trains for a few steps and prints the loss of each."""
  # Records of TFDS: encoded pictures, read without TensorFlow, made square as in training.
  source = tfds.data_source(
    dataset, split='train', data_dir=data_dir, decoders={'image': tfds.decode.SkipDecoding()}
  )
  label = source.dataset_info.features['artist']
  square = Square(32, 'squash')
  records = [record for record in source if record['artist'] >= 0][:64]
  images = np.stack(
    [square(r['image'], name=r['object_number'].decode()) for r in records]
  )  # uint8
  artists = np.array([record['artist'] for record in records])

  loaded = flaxart.load_trunk(workdir)
  model = Classifier(loaded.module, loaded.features, label.num_classes)
  graphdef, params, statistics = nnx.split(model, nnx.Param, ...)
  tx = optax.adam(1e-3)

  @jax.jit
  def step(params, statistics, opt_state, images, artists):
    def loss_fn(params):
      model = nnx.merge(graphdef, params, statistics, copy=True)
      logits = model(loaded.preprocess.apply(images), train=True)
      loss = optax.softmax_cross_entropy_with_integer_labels(logits, artists).mean()
      return loss, nnx.state(model, nnx.Not(nnx.Param))

    (loss, statistics), grads = jax.value_and_grad(loss_fn, has_aux=True)(params)
    updates, opt_state = tx.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), statistics, opt_state, loss

  opt_state = tx.init(params)
  for i in range(8):
    params, statistics, opt_state, loss = step(
      params, statistics, opt_state, jnp.asarray(images), jnp.asarray(artists)
    )
    print(f'step {i}: loss {loss:.3f}')


if __name__ == '__main__':
  main(*sys.argv[1:])
