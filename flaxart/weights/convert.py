"""Converts ImageNet weights of Keras, torchvision or timm to one self-describing file.

    python -m flaxart.weights.convert --model=resnet50 --source=keras \\
        --input=resnet50_notop.h5 --output=resnet50.safetensors

Sources: Keras `.h5`, `.weights.h5` and `.keras`; torchvision `.pth`; timm `.safetensors`. Neither
Keras nor PyTorch needs to be installed. Every array of the source must match one of the network and
vice versa, else nothing is written.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from flaxart.models import card_of, cards
from flaxart.models.card import Source
from flaxart.models.preprocess import Preprocess
from flaxart.models.trunk import Trunk
from flaxart.weights import keras_file, names, torch_file
from flaxart.weights.file import (
  TOP,
  Weights,
  check_names,
  check_values,
  difference,
  file_size,
  sha256_of_file,
  write,
)
from tfds_rijks import command, strict_json, terminal
from tfds_rijks.errors import UserError

SOURCES = ('keras', 'torchvision', 'timm')
Tensors = dict[str, np.ndarray]


def convert(model: str, *, source: str, path: Path, keep_top: bool = False) -> Weights:
  """Reads the weights of an original and names each array by its path in our network.

  Args:
    model: a network, as in `config.model.name`.
    source: `keras`, `torchvision` or `timm`.
    path: the original's own file.
    keep_top: keep the classifier, if the file has one, under `top/`.

  Raises:
    UserError: wrong network, format, dtype or shape, or a damaged file; with the two-sided
    difference if there is one.
  """
  origin = source_of(model, source)
  trunk = names.abstract_trunk(model, origin.variant)
  if file_size(path) == 0:
    raise UserError(f'{path}: is empty, expected a weights file; fetch it again')
  what = f'{path}: not the weights of {model} from {source}'
  if source == 'keras':
    layers = keras_file.read_layers(path)
    if any(name.startswith('res2a_branch') for name, _ in layers['conv']):
      raise UserError(
        f'{path}: is the ResNet50 of early Keras (until 2018, layers res2a_branch2a and so on) '
        "under today's name: it lists each shortcut after the third convolution and has "
        "another epsilon; fetch today's: python -m flaxart.weights.download --model=resnet50"
      )
    tensors, top = from_keras(trunk, layers, what=what)
  else:
    tensors, top = from_torch(trunk, torch_file.read_state(path), source=origin, what=what)
  check_names(what, expected=names.expected_shapes(trunk), found=tensors)
  check_top(what, trunk, top)
  check_values(what, tensors | top)
  if keep_top:
    tensors |= {TOP + name: tensor for name, tensor in top.items()}
  return Weights(
    model=model,
    variant=origin.variant,
    source=source,
    source_file=path.name,
    source_sha256=sha256_of_file(path),
    preprocess=preprocess_of(model, source, path),
    licence=origin.licence,
    citation=str(trunk.card.paper),
    tensors=tensors,
  )


def source_of(model: str, source: str) -> Source:
  """The network in the library `source`; `UserError` if it does not have it."""
  card = card_of(model, field='--model')
  if source not in SOURCES:
    raise UserError(f'--source: found {source!r}, expected one of {", ".join(SOURCES)}')
  found = card.source(source)
  if found is None:
    there = ' or '.join(one.library for one in card.sources)
    raise UserError(
      f'--source: {source} has no {card.title}; '
      + (f'use {there}' if there else 'no weights of it are published')
    )
  return found


def from_keras(
  trunk: Trunk, layers: dict[str, list[keras_file.Layer]], *, what: str
) -> tuple[Tensors, Tensors]:
  """Trunk and classifier tensors; layers are matched by their order within each kind."""
  wanted: dict[str, list[str]] = {'conv': [], 'separable': [], 'norm': []}
  for layer in trunk.layers():
    separable = names.is_separable(trunk, layer)
    wanted['separable' if separable else 'conv'].append(layer)
    conv = f'{layer}/pointwise' if separable else layer
    if names.module_at(trunk, conv).norm is not None:
      wanted['norm'].append(f'{conv}/norm')
  lines = []
  for kind, paths in wanted.items():
    lines += [f'- {path} ({kind})' for path in paths[len(layers[kind]) :]]
    lines += [f'+ {name} ({kind})' for name, _ in layers[kind][len(paths) :]]
  dense = trunk.card.classifier
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


def from_torch(
  trunk: Trunk, state: Tensors, *, source: Source, what: str
) -> tuple[Tensors, Tensors]:
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
  for layer in trunk.layers():
    conv, norm = trunk.torch_layer(layer)
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
  side = trunk.card.classifier_map
  dense = dict(zip(trunk.card.classifier, source.classifier, strict=True))
  if any(f'{theirs}.weight' in left for theirs in dense.values()):
    for i, (ours, theirs) in enumerate(dense.items()):
      change = functools.partial(_dense, side=1 if i else side)
      take(f'{theirs}.weight', f'{TOP}{ours}/kernel', change)
      take(f'{theirs}.bias', f'{TOP}{ours}/bias')
  lines += [f'+ {name} {array.shape}' for name, array in left.items()]
  if lines:
    raise UserError(f'{what}: {difference(lines)}')
  return tensors, top


def _spatial(kernel: np.ndarray) -> np.ndarray:
  """`[out, in, kh, kw]` -> `[kh, kw, in, out]`."""
  return kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel


def _dense(kernel: np.ndarray, *, side: int) -> np.ndarray:
  """`[out, in]`, or timm's `[out, C, side, side]` -> `[in, out]`.

  PyTorch flattens a map as `[C, side, side]`, Keras and flaxart as `[side, side, C]`.
  """
  maps = kernel.reshape(kernel.shape[0], -1, side, side)
  return maps.transpose(2, 3, 1, 0).reshape(-1, kernel.shape[0])


def check_top(what: str, trunk: Trunk, top: Tensors) -> None:
  """Checks that the classifier, if any, fits the trunk; the sizes of its layers are free."""
  if not top:
    return
  inputs = trunk.features * trunk.card.classifier_map**2
  expected: dict[str, tuple[int, ...]] = {}
  for name in trunk.card.classifier:
    outputs = top[f'{name}/kernel'].shape[-1]
    expected |= {f'{name}/kernel': (inputs, outputs), f'{name}/bias': (outputs,)}
    inputs = outputs
  check_names(f'{what}, classifier', expected=expected, found=top)


def preprocess_of(model: str, library: str, path: Path) -> Preprocess:
  """The original's preprocessing for these weights; for timm, from the `config.json` beside them,
  or without that file from timm's `pretrained_cfg` of the card's first weights.
  """
  source, config = source_of(model, library), path.parent / 'config.json'
  if library == 'timm' and config.is_file():
    return timm_preprocess({model, source.builder}, config)
  known = [f.preprocess for f in source.files if f.preprocess and str(f.sha256) in path.name]
  return next(iter(known), source.preprocess or card_of(model).preprocess[source.variant])


def timm_preprocess(names: set[str], config: Path) -> Preprocess:
  """The preprocessing in a `config.json` of the Hugging Face hub, for a network with one of the
  names."""
  try:
    found = strict_json.read(config)
    cfg, architecture = found['pretrained_cfg'], str(found.get('architecture', min(names)))
    if architecture not in names:
      raise UserError(
        f'{config}: is of {architecture}, beside weights of {" or ".join(sorted(names))}; '
        'replace it with that of the weights, or move it away to use the defaults of the model'
      )
    size, mode = int(cfg['input_size'][-1]), cfg.get('crop_mode') or 'center'
    whole = mode == 'squash' and cfg['crop_pct'] == 1
    if mode != 'center' and not whole:
      raise UserError(
        f'{config}: crop_mode is {mode!r} with crop_pct {cfg["crop_pct"]}, expected center, or '
        'squash with crop_pct 1, which flaxart can do; use other weights'
      )
    return Preprocess(
      size,
      mean=tuple(255 * m for m in cfg['mean']),
      scale=tuple(1 / (255 * d) for d in cfg['std']),
      interpolation=cfg['interpolation'],
      fit='squash' if whole else 'crop',
      resize=0 if whole else int(size / cfg['crop_pct']),
    )
  except (ValueError, KeyError, TypeError) as error:
    raise UserError(
      f'{config}: not a timm configuration ({error!r}); fetch it again, or move '
      'it away to use the defaults of the model'
    ) from None


def main() -> None:
  parser = command.Parser(
    prog='python -m flaxart.weights.convert',
    description=__doc__,
  )
  parser.add_argument('--model', required=True, help=', '.join(cards()))
  parser.add_argument('--source', required=True, help=', '.join(SOURCES))
  parser.add_argument('--input', required=True, type=Path, help="the original's file")
  parser.add_argument('--output', required=True, type=Path, help='the .safetensors to write')
  parser.add_argument('--top', action='store_true', help='keep the ImageNet classifier as well')
  args = parser.parse_args()
  weights = convert(args.model, source=args.source, path=args.input.expanduser(), keep_top=args.top)
  write(weights, args.output.expanduser())
  count = sum(t.size for t in weights.trunk.values())
  terminal.say(
    f'{args.output}: {args.model} ({weights.variant}), {count:,} parameters, '
    f'SHA-256 {weights.about["sha256"]}'
  )


if __name__ == '__main__':
  command.run(main)
