"""The originals (Keras, torchvision, timm) of the networks, with random weights, for comparison.

Their statistics, scales and offsets are far from their initial values, so that nothing agrees by
chance. Needs the extra `parity`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.util
import os
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flaxart.models import card_of
from flaxart.weights.convert import source_of
from tfds_rijks.errors import UserError

Outputs = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Original:
  """An original with random weights: `save(folder)` writes its file, `run(images)` gives its
  outputs.

  `run` takes preprocessed `[B, H, W, 3]` and returns `features`, two inner maps under our names,
  and with `top=True` (224 or 299 pixels only) `logits`.
  """

  model: str
  source: str
  save: Callable[[Path], Path]
  run: Callable[..., Outputs]
  net: Any  # the Keras model or PyTorch module, classifier included


def missing_peer(source: str) -> str | None:
  """The reason why originals of `source` cannot be built here; None if they can."""
  needed = {
    'keras': ('keras', 'h5py'),
    'torchvision': ('torch', 'torchvision'),
    'timm': ('torch', 'torchvision', 'timm'),
  }[source]
  absent = [name for name in needed if importlib.util.find_spec(name) is None]
  return f'{", ".join(absent)} not installed; pip install flaxart[parity]' if absent else None


def original(model: str, source: str, *, seed: int = 0) -> Original:
  """Builds an original; raises `UserError` if its package is missing."""
  reason = missing_peer(source)
  if reason:
    raise UserError(f'parity with {source}: {reason}')
  return (
    keras_original(model, seed=seed)
    if source == 'keras'
    else torch_original(model, source, seed=seed)
  )


def random_weight(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
  """Kernels that keep the size of activations; statistics far from 0 and 1."""
  if name == 'var':
    value = rng.uniform(0.4, 2.5, shape)
  elif name == 'scale':
    value = rng.uniform(0.5, 1.5, shape)
  elif len(shape) == 1:
    value = rng.normal(0, 0.3, shape)
  else:
    return rng.standard_normal(shape, np.float32)
  return value.astype(np.float32)


def import_keras() -> Any:
  """Keras on its JAX backend, whatever the user's own choice."""
  os.environ['KERAS_BACKEND'] = 'jax'
  keras = importlib.import_module('keras')
  if keras.config.backend() != 'jax':
    raise UserError(
      f'parity with keras: its backend is {keras.config.backend()}, expected jax; '
      'start Python with KERAS_BACKEND=jax'
    )
  return keras


def keras_application(model: str) -> Callable[..., Any]:
  """The function in `keras.applications` that builds the network."""
  return getattr(import_keras().applications, source_of(model, 'keras').builder)


@contextlib.contextmanager
def zeros(keras: Any) -> Iterator[None]:
  """Keras's default kernels are zeros: drawing them takes longer than everything else."""
  default = keras.initializers.GlorotUniform
  drawn = default.__call__
  default.__call__ = lambda self, shape, dtype=None: keras.ops.zeros(shape, dtype)
  try:
    yield
  finally:
    default.__call__ = drawn


def keras_original(model: str, *, seed: int) -> Original:
  """`keras.applications`, with its classifier."""
  keras, build = import_keras(), keras_application(model)
  with zeros(keras):
    whole = build(weights=None, classifier_activation=None)
    trunk = build(weights=None, include_top=False, input_shape=(None, None, 3))
  rng = np.random.default_rng(seed)
  for layer in whole.layers:
    for weight in layer.weights:
      role = {'gamma': 'scale', 'moving_variance': 'var'}.get(weight.name, weight.name)
      value = random_weight(role, tuple(weight.shape), rng)
      if value.ndim > 1:
        depthwise = weight.name == 'depthwise_kernel'
        value *= np.sqrt(2 / np.prod(value.shape[: 2 if depthwise else -1]))
      weight.assign(value)
  trunk.set_weights([np.asarray(w) for w in whole.weights[: len(trunk.weights)]])

  def with_maps(net: Any, *more: Any) -> Any:
    # Sum layers have no names of their own; the card gives their index.
    adds = [layer.name for layer in net.layers if type(layer).__name__ == 'Add']
    names = source_of(model, 'keras').maps
    layers = [adds[int(name[4:])] if name.startswith('Add ') else name for name in names]
    return keras.Model(net.input, [*(net.get_layer(name).output for name in layers), *more])

  maps, maps_and_logits = with_maps(trunk), with_maps(whole, whole.output)

  def run(images: np.ndarray, *, top: bool = False) -> Outputs:
    found = (maps_and_logits if top else maps).predict(images, verbose=0)
    arrays = [np.asarray(x) for x in found]
    return named(model, arrays[:-1]) | {'logits': arrays[-1]} if top else named(model, arrays)

  def save(folder: Path) -> Path:
    path = folder / f'{model}.weights.h5'
    whole.save_weights(path)
    return path

  return Original(model, 'keras', save, run, whole)


def named(model: str, maps: Sequence[np.ndarray]) -> Outputs:
  """Two inner maps under our names, and `features`, pooled from the last map."""
  *inner, last = maps
  return {**dict(zip(inner_maps(model), inner, strict=True)), 'features': last.mean(axis=(1, 2))}


def inner_maps(model: str) -> tuple[str, str]:
  """Our names of the two maps to compare."""
  maps = card_of(model).maps
  assert maps is not None  # every network with sources names them
  return maps


def import_torchvision() -> Any:
  """Imports torchvision with a PyTorch that its compiled operators were not built for.

  Those operators (for detection) are not needed here, but registering their shapes would fail, so
  it is skipped.
  """
  if 'torchvision' not in sys.modules:
    sys.modules['torchvision._meta_registrations'] = types.ModuleType('_meta_registrations')
  return importlib.import_module('torchvision')


def torch_net(model: str, library: str, **options: Any) -> Any:
  """The network of `torchvision.models` or `timm.create_model`, with empty arrays."""
  torch: Any = importlib.import_module('torch')
  vision, builder = import_torchvision(), source_of(model, library).builder
  with torch.device('meta'):  # their own initialisation takes longer than everything else
    if library == 'timm':
      net = importlib.import_module('timm').create_model(builder, pretrained=False, **options)
    else:
      net = getattr(vision.models, builder)(weights=None, **options)
  return net.to_empty(device='cpu')


def torch_original(model: str, source: str, *, seed: int) -> Original:
  """`torchvision.models` or `timm.create_model`, with the classifier."""
  torch: Any = importlib.import_module('torch')
  net = torch_net(model, source).eval()
  rng = np.random.default_rng(seed)
  state = net.state_dict()
  for name, tensor in state.items():
    if name.endswith('num_batches_tracked'):
      tensor.zero_()
      continue
    prefix, role = name.rsplit('.', 1)
    is_norm = f'{prefix}.running_var' in state
    role = {'running_var': 'var', 'weight': 'scale' if is_norm else 'weight'}.get(role, role)
    value = random_weight(role, tuple(tensor.shape), rng)
    if value.ndim > 1:
      value *= np.sqrt(2 / np.prod(value.shape[1:]))
    tensor.copy_(torch.from_numpy(value))
  maps: Outputs = {}

  def record(name: str) -> Callable:
    def hook(_module: Any, _inputs: Any, output: Any) -> None:
      maps[name] = output.detach().permute(0, 2, 3, 1).contiguous().clone().numpy()

    return hook

  names, modules = source_of(model, source).maps, dict(net.named_modules())
  for name in names:
    modules[name].register_forward_hook(record(name))

  def run(images: np.ndarray, *, top: bool = False) -> Outputs:
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    with torch.no_grad():
      logits = net(x).numpy()
    outputs = named(model, [maps[name] for name in names])
    return outputs | ({'logits': logits} if top else {})

  def save(folder: Path) -> Path:
    if source == 'timm':
      path = folder / f'{model}.safetensors'
      importlib.import_module('safetensors.torch').save_file(net.state_dict(), path)
    else:
      path = folder / f'{model}.pth'
      torch.save(net.state_dict(), path)
    return path

  return Original(model, source, save, run, net)
