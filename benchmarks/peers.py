"""The other side of the comparisons: the same networks in PyTorch, Keras on JAX and plain Flax.
They get everything a careful user does: `channels_last`, fused BatchNorm for inference, compiled
steps, pictures already normalised, in their own layout and on the device, and on a GPU autotuned
convolutions and TF32 products, as JAX uses by default.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from flaxart.models import cards
from flaxart.models.card import Card, Source
from flaxart.weights.originals import (
  import_keras,
  keras_application,
  missing_peer,
  torch_net,
)
from tfds_rijks.errors import UserError

CLASSES = 375  # artists of the Rijksmuseum Challenge
MOMENTUM, RATE = 0.9, 1e-3


def random_batch(batch: int, size: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
  """uint8 `[B, S, S, 3]` and labels `[B]`: random, because zeros compute faster."""
  rng = np.random.default_rng(seed)
  return (
    rng.integers(0, 256, (batch, size, size, 3), np.uint8),
    rng.integers(0, CLASSES, batch).astype(np.int32),
  )


def normalised(images: np.ndarray) -> np.ndarray:
  """uint8 -> float32 in about [-2, 2]."""
  return ((images.astype(np.float32) - 127.5) / 64).astype(np.float32)


def needs(source: str) -> None:
  """Raises `UserError` with what to install if a peer is missing."""
  reason = missing_peer(source)
  if reason:
    raise UserError(f'--peers: {reason.replace("[parity]", "[benchmarks]")}')


def torch_source(card: Card) -> Source:
  """The source of PyTorch's network: torchvision if it has it, else timm."""
  source = card.source('torchvision') or card.source('timm')
  if source is None:
    raise UserError(f'--peers: PyTorch has no {card.title}; leave out torch and torch_compile')
  return source


def torch_trunk(model: str) -> Any:
  """PyTorch's network, initialised, with pooled features and one linear head."""
  card = cards()[model]
  source = torch_source(card)
  needs(source.library)
  torch: Any = importlib.import_module('torch')
  torch.manual_seed(0)
  net = torch_net(model, source.library, num_classes=CLASSES)
  for module in net.modules():
    if hasattr(module, 'reset_parameters'):
      module.reset_parameters()
  if hasattr(net, 'AuxLogits'):  # the auxiliary classifier, which ours does not have
    net.aux_logits, net.AuxLogits = False, None
  if len(card.classifier) > 1:  # the trunk only, as ours: pooled, without the large layers
    pool = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    head = torch.nn.Linear(card.features, CLASSES)
    net = torch.nn.Sequential(getattr(net, source.maps[-1]), pool, head)
  return net.to(memory_format=torch.channels_last)


def torch_train(
  model: str, batch: int, size: int, *, dtype: str, compiled: bool = False
) -> Callable:
  """A step of SGD with Nesterov momentum; eager, or by `torch.compile`. bfloat16 by autocast."""
  torch: Any = importlib.import_module('torch')
  images, labels = random_batch(batch, size)
  x = on_device(torch.from_numpy(normalised(images)).permute(0, 3, 1, 2))  # NHWC: channels_last
  y = on_device(torch.from_numpy(labels).long())
  net = on_device(torch_trunk(model).train())
  optimizer = torch.optim.SGD(net.parameters(), RATE, momentum=MOMENTUM, nesterov=True)
  forward = torch.compile(net) if compiled else net

  def step() -> None:
    optimizer.zero_grad(set_to_none=True)
    with autocast(dtype):
      loss = torch.nn.functional.cross_entropy(forward(x), y)
    loss.backward()
    optimizer.step()
    loss.item()
    wait()

  return step


def torch_features(
  model: str, batch: int, size: int, *, dtype: str, compiled: bool = False
) -> Callable:
  """Inference with BatchNorm fused into the convolutions, weights in `dtype`."""
  net = torch_trunk(model).eval()
  torch: Any = importlib.import_module('torch')
  fuse = importlib.import_module('torch.fx.experimental.optimization').fuse
  if any(isinstance(module, torch.nn.BatchNorm2d) for module in net.modules()):
    net = fuse(net).to(memory_format=torch.channels_last)
  kind = getattr(torch, dtype)
  net = on_device(net.to(kind))
  net = torch.compile(net) if compiled else net
  images = normalised(random_batch(batch, size)[0])
  x = on_device(torch.from_numpy(images).permute(0, 3, 1, 2).to(kind))

  def step() -> None:
    with torch.inference_mode():
      net(x)
    wait()

  return step


def on_device(thing: Any) -> Any:
  """Moves a tensor or module to the GPU, if PyTorch sees one, and sets that up."""
  torch: Any = importlib.import_module('torch')
  if torch.cuda.is_available():
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision('high')
  return thing.to('cuda' if torch.cuda.is_available() else 'cpu')


def autocast(dtype: str) -> Any:
  """A context in which products are computed in `dtype`, on the device of `on_device`."""
  torch: Any = importlib.import_module('torch')
  kind = 'cuda' if torch.cuda.is_available() else 'cpu'
  return torch.autocast(kind, dtype=torch.bfloat16, enabled=dtype == 'bfloat16')


def wait() -> None:
  """Waits until the GPU has finished."""
  torch: Any = importlib.import_module('torch')
  if torch.cuda.is_available():
    torch.cuda.synchronize()


def keras_net(model: str, size: int, dtype: str) -> Any:
  """`keras.applications` with a head of our size as its classifier; bfloat16 by Keras's policy."""
  needs('keras')
  keras = import_keras()
  keras.config.set_dtype_policy('mixed_bfloat16' if dtype == 'bfloat16' else 'float32')
  build = keras_application(model)
  trunk = build(weights=None, include_top=False, pooling='avg', input_shape=(size, size, 3))
  return keras.Model(trunk.input, keras.layers.Dense(CLASSES)(trunk.output))


def keras_train(model: str, batch: int, size: int, *, dtype: str) -> Callable:
  """`train_on_batch` of a compiled model."""
  net, keras = keras_net(model, size, dtype), import_keras()
  net.compile(
    optimizer=keras.optimizers.SGD(RATE, momentum=MOMENTUM, nesterov=True),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
  )
  images, labels = random_batch(batch, size)
  x, y = jax.device_put((normalised(images), labels))
  return lambda: net.train_on_batch(x, y)


def keras_features(model: str, batch: int, size: int, *, dtype: str) -> Callable:
  """`predict_on_batch`."""
  net = keras_net(model, size, dtype)
  x = jax.device_put(normalised(random_batch(batch, size)[0]))
  return lambda: net.predict_on_batch(x)
