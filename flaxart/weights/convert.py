"""Converts ImageNet weights of Keras, torchvision or timm to one file that carries its own meaning.

    python -m flaxart.weights.convert --model=resnet50 --source=keras \\
        --input=resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5 --output=resnet50.safetensors

Sources: Keras `.h5`, `.weights.h5` and `.keras`; torchvision `.pth`; timm `.safetensors`. Neither
Keras nor PyTorch needs to be installed. Every array of the source must have its place and every
place its array, else nothing is written.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from flaxart.models import MODELS
from flaxart.models.preprocess import Preprocess, imagenet_statistics, plus_minus_one
from flaxart.models.trunk import Trunk
from flaxart.weights import keras_file, names, torch_file
from flaxart.weights.file import (
  TOP,
  Weights,
  check_names,
  difference,
  file_size,
  sha256_of_file,
  write,
)
from flaxart.weights.official import CITATIONS, LICENCES
from tfds_rijks import command
from tfds_rijks.errors import UserError

SOURCES = ('keras', 'torchvision', 'timm')
Tensors = dict[str, np.ndarray]

# The classifier's dense layers: our name -> torchvision's, timm's. Keras has them in this order.
_DENSE = {
  'vgg19': {
    'fc1': ('classifier.0', 'pre_logits.fc1'),
    'fc2': ('classifier.3', 'pre_logits.fc2'),
    'predictions': ('classifier.6', 'head.fc'),
  }
}
_ONE_DENSE = {'predictions': ('fc', 'fc')}


def convert(model: str, *, source: str, path: Path, keep_top: bool = False) -> Weights:
  """Reads the weights of an original and gives each array its path in our network.

  Args:
    model: `vgg19`, `inception_v3`, `xception` or `resnet50`.
    source: `keras`, `torchvision` or `timm`.
    path: the original's own file.
    keep_top: keep the classifier, if the file has one, under `top/`.

  Raises:
    UserError: wrong network, format, dtype or shape, or a damaged file; with the two-sided
      difference where there is one.
  """
  variant = variant_of(model, source)
  trunk = names.abstract_trunk(model, variant)
  if file_size(path) == 0:
    raise UserError(f'{path}: is empty, expected a weights file; fetch it again')
  what = f'{path}: not the weights of {model} from {source}'
  if source == 'keras':
    tensors, top = from_keras(trunk, keras_file.read_layers(path), what=what)
  else:
    tensors, top = from_torch(trunk, torch_file.read_state(path), source=source, what=what)
  check_names(what, expected=names.expected_shapes(trunk), found=tensors)
  check_top(what, trunk, top)
  if keep_top:
    tensors |= {TOP + name: tensor for name, tensor in top.items()}
  return Weights(
    model=model,
    variant=variant,
    source=source,
    source_file=path.name,
    source_sha256=sha256_of_file(path),
    preprocess=preprocess_of(trunk, source, path),
    licence=LICENCES[model, source],
    citation=CITATIONS[model],
    tensors=tensors,
  )


def variant_of(model: str, source: str) -> str:
  """The variant of our network that computes what the source computes."""
  if model not in MODELS:
    raise UserError(f'--model: found {model!r}, expected one of {", ".join(MODELS)}')
  if source not in SOURCES:
    raise UserError(f'--source: found {source!r}, expected one of {", ".join(SOURCES)}')
  if (model, source) == ('xception', 'torchvision'):
    raise UserError('--source: torchvision has no Xception; use keras or timm')
  if source == 'timm' and model != 'xception':
    return 'torchvision'  # timm's own code computes the same
  return source


def from_keras(
  trunk: Trunk, layers: dict[str, list[keras_file.Layer]], *, what: str
) -> tuple[Tensors, Tensors]:
  """Trunk and classifier tensors; layers are matched by their order within each kind."""
  wanted: dict[str, list[str]] = {'conv': [], 'separable': [], 'norm': []}
  for layer in names.layers_in_order(trunk):
    separable = names.is_separable(trunk, layer)
    wanted['separable' if separable else 'conv'].append(layer)
    conv = f'{layer}/pointwise' if separable else layer
    if names.module_at(trunk, conv).norm is not None:
      wanted['norm'].append(f'{conv}/norm')
  lines = []
  for kind, paths in wanted.items():
    lines += [f'- {path} ({kind})' for path in paths[len(layers[kind]) :]]
    lines += [f'+ {name} ({kind})' for name, _ in layers[kind][len(paths) :]]
  dense = _DENSE.get(trunk.name, _ONE_DENSE)
  if len(layers['dense']) not in (0, len(dense)):
    lines += [f'+ {name} (dense; expected none or {len(dense)})' for name, _ in layers['dense']]
  if lines:
    raise UserError(f'{what}: {difference(lines)}')
  tensors: Tensors = {}
  for path, (_, arrays) in zip(wanted['conv'], layers['conv'], strict=True):
    tensors |= dict(zip((f'{path}/kernel', f'{path}/bias'), arrays, strict=False))
  for path, (_, (depthwise, pointwise)) in zip(
    wanted['separable'], layers['separable'], strict=True
  ):
    tensors[f'{path}/depthwise/kernel'] = depthwise.transpose(0, 1, 3, 2)
    tensors[f'{path}/pointwise/kernel'] = pointwise
  for path, (_, arrays) in zip(wanted['norm'], layers['norm'], strict=True):
    fields = ('scale', 'bias', 'mean', 'var')[4 - len(arrays) :]
    tensors |= {f'{path}/{field}': a for field, a in zip(fields, arrays, strict=True)}
  top = {
    f'{name}/{field}': array
    for name, (_, arrays) in zip(dense, layers['dense'], strict=False)
    for field, array in zip(('kernel', 'bias'), arrays, strict=False)
  }
  return tensors, top


def from_torch(trunk: Trunk, state: Tensors, *, source: str, what: str) -> tuple[Tensors, Tensors]:
  """Trunk and classifier tensors; layers are matched by their names in the state dict."""
  # Counters of training steps, and the auxiliary classifier of Inception's training.
  left = {
    name: array
    for name, array in state.items()
    if not name.endswith('.num_batches_tracked') and not name.startswith('AuxLogits.')
  }
  lines: list[str] = []

  def take(name: str, into: str, change: Callable = lambda a: a) -> None:
    if name in left:
      (top if into.startswith(TOP) else tensors)[into.removeprefix(TOP)] = change(left.pop(name))
    else:
      lines.append(f'- {name}')

  tensors: Tensors = {}
  top: Tensors = {}
  for layer in names.layers_in_order(trunk):
    conv, norm = names.torch_layer(trunk, layer)
    target = layer
    if names.is_separable(trunk, layer):
      take(f'{conv}.conv1.weight', f'{layer}/depthwise/kernel', _spatial)
      conv, target = f'{conv}.pointwise', f'{layer}/pointwise'
    take(f'{conv}.weight', f'{target}/kernel', _spatial)
    if names.module_at(trunk, target).bias is not None:
      take(f'{conv}.bias', f'{target}/bias')
    if norm:
      for theirs, ours in (
        ('weight', 'scale'),
        ('bias', 'bias'),
        ('running_mean', 'mean'),
        ('running_var', 'var'),
      ):
        take(f'{norm}.{theirs}', f'{target}/norm/{ours}')
  dense = {
    ours: theirs[source == 'timm'] for ours, theirs in _DENSE.get(trunk.name, _ONE_DENSE).items()
  }
  if any(f'{theirs}.weight' in left for theirs in dense.values()):
    for ours, theirs in dense.items():
      take(f'{theirs}.weight', f'{TOP}{ours}/kernel', _dense_over_map if ours == 'fc1' else _dense)
      take(f'{theirs}.bias', f'{TOP}{ours}/bias')
  lines += [f'+ {name} {array.shape}' for name, array in left.items()]
  if lines:
    raise UserError(f'{what}: {difference(lines)}')
  return tensors, top


def _spatial(kernel: np.ndarray) -> np.ndarray:
  """`[out, in, kh, kw]` -> `[kh, kw, in, out]`."""
  return kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel


def _dense(kernel: np.ndarray) -> np.ndarray:
  """`[out, in]`, or timm's `[out, in, 1, 1]` -> `[in, out]`."""
  return kernel.reshape(kernel.shape[0], -1).T


def _dense_over_map(kernel: np.ndarray) -> np.ndarray:
  """VGG's first dense layer: PyTorch flattens `[512, 7, 7]`, we and Keras `[7, 7, 512]`."""
  maps = kernel.reshape(kernel.shape[0], -1, 7, 7) if kernel.ndim == 2 else kernel
  return maps.transpose(2, 3, 1, 0).reshape(-1, kernel.shape[0])


def check_top(what: str, trunk: Trunk, top: Tensors) -> None:
  """The classifier, where there is one, fits the trunk; its number of classes is free."""
  if not top:
    return
  classes = top['predictions/kernel'].shape[-1]
  sizes = [7 * 7 * 512, 4096, 4096, classes] if trunk.name == 'vgg19' else [trunk.features, classes]
  layers = _DENSE.get(trunk.name, _ONE_DENSE)
  expected: dict[str, tuple[int, ...]] = {}
  for name, inputs, outputs in zip(layers, sizes, sizes[1:], strict=False):
    expected |= {f'{name}/kernel': (inputs, outputs), f'{name}/bias': (outputs,)}
  check_names(f'{what}, classifier', expected=expected, found=top)


def preprocess_of(trunk: Trunk, source: str, path: Path) -> Preprocess:
  """What the original puts before these weights."""
  if source == 'timm':
    return timm_preprocess(trunk.name, path)
  if source == 'torchvision' and trunk.name != 'inception_v3':
    # torchvision/models/resnet.py: the second generation is evaluated from a short side of 232.
    second = trunk.name == 'resnet50' and '11ad3fa6' in path.name
    return imagenet_statistics(224, fit='crop', resize=232 if second else 256)
  return trunk.preprocess


def timm_preprocess(model: str, path: Path) -> Preprocess:
  """From `config.json` beside the file, as the Hugging Face hub has it; else the model's default.

  The defaults are those of timm's `pretrained_cfg` of `resnet50.a1_in1k`, `vgg19.tv_in1k`,
  `inception_v3.tv_in1k` and `legacy_xception.tf_in1k`.
  """
  config = path.parent / 'config.json'
  if config.is_file():
    try:
      found = json.loads(config.read_text(encoding='utf-8'))
      cfg, architecture = found['pretrained_cfg'], str(found.get('architecture', model))
      if architecture.removeprefix('legacy_') != model:
        raise UserError(
          f'{config}: is of {architecture}, but lies beside weights of {model}; put the '
          'config.json of the weights there, or move it away to use the defaults of the model'
        )
      size = int(cfg['input_size'][-1])
      return Preprocess(
        size,
        mean=tuple(255 * m for m in cfg['mean']),
        scale=tuple(1 / (255 * d) for d in cfg['std']),
        interpolation=cfg['interpolation'],
        fit='crop',
        resize=int(size / cfg['crop_pct']),
      )
    except (ValueError, KeyError, TypeError) as error:
      raise UserError(
        f'{config}: not a timm configuration ({error!r}); fetch it again, or move '
        'it away to use the defaults of the model'
      ) from None
  crop = {
    'resnet50': ('bicubic', 235),
    'vgg19': ('bilinear', 256),
    'inception_v3': ('bicubic', 341),
    'xception': ('bicubic', 333),
  }
  interpolation, resize = crop[model]
  if model in ('resnet50', 'vgg19'):
    return imagenet_statistics(224, fit='crop', resize=resize, interpolation=interpolation)
  return plus_minus_one(299, fit='crop', resize=resize, interpolation=interpolation)


def main() -> None:
  parser = command.Parser(
    prog='python -m flaxart.weights.convert',
    description=__doc__,
    formatter_class=command.argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('--model', required=True, help=', '.join(MODELS))
  parser.add_argument('--source', required=True, help=', '.join(SOURCES))
  parser.add_argument('--input', required=True, type=Path, help="the original's file")
  parser.add_argument('--output', required=True, type=Path, help='the .safetensors to write')
  parser.add_argument('--top', action='store_true', help='keep the ImageNet classifier as well')
  args = parser.parse_args()
  weights = convert(args.model, source=args.source, path=args.input.expanduser(), keep_top=args.top)
  write(weights, args.output.expanduser())
  count = sum(t.size for t in weights.trunk.values())
  print(
    f'{args.output}: {args.model} ({weights.variant}), {count:,} parameters, '
    f'SHA-256 {weights.about["sha256"]}'
  )


if __name__ == '__main__':
  command.run(main)
