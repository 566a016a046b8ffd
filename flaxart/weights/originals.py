"""The originals (Keras, torchvision, timm) that the networks are compared with, at random weights.

Their statistics, scales and offsets are far from their initial values, so that nothing agrees by
chance. Needs the extra `parity`.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tfds_rijks.errors import UserError

Outputs = dict[str, np.ndarray]

# Two feature maps on the way: our names, and the originals' (Keras's Add layers by their order).
INNER: dict[str, dict[str, tuple[str, ...]]] = {
  'vgg19': {
    'ours': ('stage2', 'stage4'),
    'keras': ('block2_pool', 'block4_pool'),
    'torch': ('features.9', 'features.27'),
  },
  'inception_v3': {
    'ours': ('mixed2', 'mixed7'),
    'keras': ('mixed2', 'mixed7'),
    'torch': ('Mixed_5d', 'Mixed_6e'),
  },
  'xception': {
    'ours': ('block4', 'block12'),
    'keras': ('Add 2', 'Add 10'),
    'torch': ('block3', 'block11'),
  },
  'resnet50': {
    'ours': ('stage1', 'stage3'),
    'keras': ('conv2_block3_out', 'conv4_block6_out'),
    'torch': ('layer1', 'layer3'),
  },
}
_LAST = {'vgg19': 'features', 'resnet50': 'layer4', 'inception_v3': 'Mixed_7c'}


@dataclasses.dataclass(frozen=True)
class Original:
  """An original with random weights: `save(folder)` its file, `run(images)` its outputs.

  `run` takes preprocessed `[B, H, W, 3]` and returns `features`, two inner maps under our names,
  and with `top=True` (224 or 299 pixels only) `logits`.
  """

  model: str
  source: str
  save: Callable[[Path], Path]
  run: Callable[..., Outputs]
  net: Any  # the Keras model or PyTorch module, classifier included


def missing_peer(source: str) -> str | None:
  """Why originals of `source` cannot be built here; None if they can."""
  needed = {
    'keras': ('keras', 'h5py'),
    'torchvision': ('torch', 'torchvision'),
    'timm': ('torch', 'torchvision', 'timm'),
  }[source]
  absent = [name for name in needed if importlib.util.find_spec(name) is None]
  return f'{", ".join(absent)} not installed; pip install flaxart[parity]' if absent else None


def original(model: str, source: str, *, seed: int = 0) -> Original:
  """Builds an original; raises `UserError` where its package is missing."""
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
    value = rng.normal(0, 1, shape)
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
  """What builds the network in `keras.applications`."""
  names = {
    'vgg19': 'VGG19',
    'inception_v3': 'InceptionV3',
    'xception': 'Xception',
    'resnet50': 'ResNet50',
  }
  return getattr(import_keras().applications, names[model])


def keras_original(model: str, *, seed: int) -> Original:
  """`keras.applications`, with its classifier."""
  keras, build = import_keras(), keras_application(model)
  whole = build(weights=None, classifier_activation=None)
  rng = np.random.default_rng(seed)
  for layer in whole.layers:
    for weight in layer.weights:
      role = {'gamma': 'scale', 'moving_variance': 'var'}.get(weight.name, weight.name)
      value = random_weight(role, tuple(weight.shape), rng)
      if value.ndim > 1:
        depthwise = weight.name == 'depthwise_kernel'
        value *= np.sqrt(2 / np.prod(value.shape[: 2 if depthwise else -1]))
      weight.assign(value)
  trunk = build(weights=None, include_top=False, input_shape=(None, None, 3))
  trunk.set_weights([np.asarray(w) for w in whole.weights[: len(trunk.weights)]])
  adds = [layer.name for layer in trunk.layers if type(layer).__name__ == 'Add']
  inner = [
    adds[int(name[4:])] if name.startswith('Add ') else name for name in INNER[model]['keras']
  ]
  maps = keras.Model(trunk.input, [trunk.get_layer(name).output for name in inner] + [trunk.output])

  def run(images: np.ndarray, *, top: bool = False) -> Outputs:
    first, second, last = (np.asarray(x) for x in maps.predict(images, verbose=0))
    outputs = dict(zip(INNER[model]['ours'], (first, second), strict=True))
    outputs['features'] = last.mean(axis=(1, 2))
    if top:
      outputs['logits'] = np.asarray(whole.predict(images, verbose=0))
    return outputs

  def save(folder: Path) -> Path:
    path = folder / f'{model}.weights.h5'
    whole.save_weights(path)
    return path

  return Original(model, 'keras', save, run, whole)


def import_torchvision() -> Any:
  """torchvision beside a PyTorch that its compiled operators were not built for.

  Those operators (for detection) are not needed here, but registering their shapes would fail, so
  that one registration is skipped.
  """
  if 'torchvision' not in sys.modules:
    sys.modules['torchvision._meta_registrations'] = types.ModuleType('_meta_registrations')
  return importlib.import_module('torchvision')


def torch_original(model: str, source: str, *, seed: int) -> Original:
  """`torchvision.models` or `timm.create_model`, with the classifier."""
  torch: Any = importlib.import_module('torch')
  vision = import_torchvision()
  if source == 'torchvision':
    # Their own initialisation would be overwritten, and takes longer than all the rest.
    extra = {} if model == 'resnet50' else {'init_weights': False}
    net = getattr(vision.models, model)(weights=None, **extra)
  else:
    name = 'legacy_xception' if model == 'xception' else model
    net = importlib.import_module('timm').create_model(name, pretrained=False)
  net.eval()
  rng = np.random.default_rng(seed)
  state = net.state_dict()
  for name, tensor in state.items():
    if name.endswith('num_batches_tracked'):
      continue
    prefix, role = name.rsplit('.', 1)
    is_norm = f'{prefix}.running_var' in state
    role = {'running_var': 'var', 'weight': 'scale' if is_norm else 'weight'}.get(role, role)
    value = random_weight(role, tuple(tensor.shape), rng)
    if value.ndim > 1:
      value *= np.sqrt(2 / np.prod(value.shape[1:]))
    tensor.copy_(torch.from_numpy(value))
  kept: Outputs = {}

  def keep(name: str) -> Callable:
    def hook(_module: Any, _inputs: Any, output: Any) -> None:
      kept[name] = output.detach().permute(0, 2, 3, 1).contiguous().clone().numpy()

    return hook

  modules = dict(net.named_modules())
  for ours, theirs in zip(INNER[model]['ours'], INNER[model]['torch'], strict=True):
    modules[theirs].register_forward_hook(keep(ours))
  if model in _LAST:
    modules[_LAST[model]].register_forward_hook(keep('last'))

  def run(images: np.ndarray, *, top: bool = False) -> Outputs:
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    with torch.no_grad():
      if model == 'xception':
        keep('last')(None, None, net.forward_features(x))
      logits = net(x).numpy() if top or model in _LAST else None
    outputs = {name: kept[name] for name in INNER[model]['ours']}
    outputs['features'] = kept['last'].mean(axis=(1, 2))
    if top:
      outputs['logits'] = net(x).detach().numpy() if logits is None else logits
    return outputs

  def save(folder: Path) -> Path:
    if source == 'timm':
      path = folder / f'{model}.safetensors'
      importlib.import_module('safetensors.torch').save_file(net.state_dict(), path)
    else:
      path = folder / f'{model}.pth'
      torch.save(net.state_dict(), path)
    return path

  return Original(model, source, save, run, net)
