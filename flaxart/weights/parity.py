"""Measures how closely our networks compute what their originals compute, and writes the table.

    python -m flaxart.weights.parity --output=docs/backbones.md

Each original (Keras on its JAX backend, torchvision, timm) is built with random weights whose
BatchNorm statistics, scales and offsets are far from their initial values, saved in its own format,
converted, and run beside ours on random pictures in float32. A figure is `||a - b|| / ||a||`, a
being the original. Needs the extra `parity`.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import importlib.util
import os
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from flaxart.models.trunk import Trunk
from flaxart.weights import file
from flaxart.weights.convert import convert
from flaxart.weights.load import LoadedTrunk, load_trunk
from tfds_rijks import command
from tfds_rijks.errors import UserError
from tfds_rijks.progress import Progress

PAIRS = (
  ('vgg19', 'keras'),
  ('vgg19', 'torchvision'),
  ('vgg19', 'timm'),
  ('inception_v3', 'keras'),
  ('inception_v3', 'torchvision'),
  ('inception_v3', 'timm'),
  ('xception', 'keras'),
  ('xception', 'timm'),
  ('resnet50', 'keras'),
  ('resnet50', 'torchvision'),
  ('resnet50', 'timm'),
)
LIMIT = 1e-4
ODD = {
  'vgg19': (167, 199),
  'resnet50': (167, 199),
  'inception_v3': (231, 267),
  'xception': (202, 267),
}  # height, width
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


def keras_original(model: str, *, seed: int) -> Original:
  """`keras.applications`, with its classifier."""
  keras = import_keras()
  build = {
    'vgg19': keras.applications.VGG19,
    'inception_v3': keras.applications.InceptionV3,
    'xception': keras.applications.Xception,
    'resnet50': keras.applications.ResNet50,
  }[model]
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


def our_outputs(trunk: LoadedTrunk, images: np.ndarray, *, top: bool) -> Outputs:
  """What `Original.run` returns, from the converted network."""
  module: Trunk = trunk.module
  inner = INNER[module.name]['ours']
  graphdef, state = importlib.import_module('flax.nnx').split(module)

  @jax.jit
  def maps(state: Any, x: jax.Array) -> dict[str, jax.Array]:
    nnx = importlib.import_module('flax.nnx')
    found = dict(nnx.merge(graphdef, state).activations(x, train=False))
    return {name: found[name] for name in inner}

  outputs = {name: np.asarray(x) for name, x in maps(state, images).items()}
  outputs['features'] = np.asarray(trunk(images))
  if top:
    outputs['logits'] = np.asarray(trunk.logits(images))
  return outputs


def relative(a: np.ndarray, b: np.ndarray) -> float:
  """`||a - b|| / ||a||` in float64."""
  a, b = a.astype(np.float64), b.astype(np.float64)
  return float(np.linalg.norm(a - b) / np.linalg.norm(a))


def measure(model: str, source: str, *, seed: int = 0) -> dict[str, Any]:
  """Relative differences of one pair: `features`, `logits`, two inner maps; `odd` at an odd size.

  Returns also `variant`, `parameters` and `preprocess` of the converted file.
  """
  theirs = original(model, source, seed=seed)
  with tempfile.TemporaryDirectory() as folder:
    converted = Path(folder) / 'converted.safetensors'
    saved = theirs.save(Path(folder))
    file.write(convert(model, source=source, path=saved, keep_top=True), converted)
    trunk = load_trunk(converted)
    weights = file.read(converted)
  size = trunk.preprocess.size
  rng = np.random.default_rng(seed + 1)
  result: dict[str, Any] = {
    'variant': weights.variant,
    'preprocess': weights.preprocess,
    'parameters': sum(t.size for t in weights.trunk.values()),
  }
  for (height, width), top, suffix in (((size, size), True, ''), (ODD[model], False, ' odd')):
    uint8 = rng.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    images = np.asarray(trunk.preprocess.apply(jax.numpy.asarray(uint8)))
    # Pictures of one brightness each, so that features differ between pictures, not only by noise.
    images = images * np.linspace(0.3, 1, len(images), dtype=np.float32)[:, None, None, None]
    a, b = theirs.run(images, top=top), our_outputs(trunk, images, top=top)
    result |= {name + suffix: relative(a[name], b[name]) for name in a}
  return result


def table(results: dict[tuple[str, str], dict[str, Any]]) -> str:
  """The results as the Markdown page `docs/backbones.md`."""
  lines = [
    '# The four networks and their originals',
    '',
    'Measured by `python -m flaxart.weights.parity --output=docs/backbones.md` (extra `parity`), '
    'in float32 on CPU. Each',
    'original is built with random weights and statistics, saved in its '
    'own format, converted and run beside ours on',
    f'random pictures. Figures are `||a - b|| / ||a||`; the tests hold them under {LIMIT:.0e}. '
    '"Inner" is the larger of two',
    'feature maps on the way; "odd" is pooled features at an odd picture size.',
    '',
    '| network | source | variant | parameters | preprocessing | features | odd | inner | logits |',
    '| --- | --- | --- | ---: | --- | ---: | ---: | ---: | ---: |',
  ]
  for (model, source), r in results.items():
    p = r['preprocess']
    first, second = INNER[model]['ours']
    scale = f'(x - {_three(p.mean)}) x {_three(p.scale)}'
    resize = f'{p.fit} {p.size}' + (f' of {p.resize}' if p.resize else '')
    lines.append(
      f'| {model} | {source} | {r["variant"]} | {r["parameters"]:,} | {p.channel_order}, {scale}, '
      f'{resize}, {p.interpolation} | {r["features"]:.1e} | {r["features odd"]:.1e} | '
      f'{max(r[first], r[second]):.1e} | {r["logits"]:.1e} |'
    )
  odd = ', '.join(f'{name} {h}x{w}' for name, (h, w) in ODD.items())
  versions = ', '.join(
    f'{name} {importlib.metadata.version(name)}'
    for name in ('jax', 'flax', 'keras', 'torch', 'torchvision', 'timm')
    if importlib.util.find_spec(name)
  )
  return '\n'.join([*lines, '', f'Odd sizes: {odd}. Versions: {versions}.', ''])


def _three(values: tuple[float, float, float]) -> str:
  """`127.5` for three equal numbers, else all of them."""
  texts = [f'{v:.6g}' for v in values]
  return texts[0] if len(set(texts)) == 1 else f'[{", ".join(texts)}]'


def main() -> int:
  parser = command.Parser(
    prog='python -m flaxart.weights.parity',
    description=__doc__,
    formatter_class=command.argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('--output', type=Path, required=True, help='the Markdown page to write')
  args = parser.parse_args()
  progress = Progress('parity', len(PAIRS), unit='pairs')
  results = {}
  for i, (model, source) in enumerate(PAIRS, start=1):
    results[model, source] = measure(model, source)
    progress.update(i, f'{model} {source} {results[model, source]["features"]:.1e}')
  progress.close()
  args.output.parent.mkdir(parents=True, exist_ok=True)
  args.output.write_text(table(results), encoding='utf-8')
  worst = max(v for r in results.values() for v in r.values() if isinstance(v, float))
  print(f'{args.output}: {len(results)} pairs, largest difference {worst:.1e}, limit {LIMIT:.0e}')
  return 0 if worst <= LIMIT else 1


if __name__ == '__main__':
  command.run(main)
