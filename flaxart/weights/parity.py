"""Measures how closely our networks compute what their originals compute, and writes the table.

    python -m flaxart.weights.parity --output=docs/backbones.md

Each original (Keras on its JAX backend, torchvision, timm) is built with random weights whose
BatchNorm statistics, scales and offsets are far from their initial values, saved in its own format,
converted, and run beside ours on random pictures in float32. A figure is `||a - b|| / ||a||`, a
being the original. Needs the extra `parity`.
"""

from __future__ import annotations

import gc
import importlib
import importlib.metadata
import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from flaxart.models import card_of, cards
from flaxart.models.ops.pooling import global_average
from flaxart.models.preprocess import Preprocess
from flaxart.models.trunk import Trunk
from flaxart.weights import file
from flaxart.weights.convert import convert, preprocess_of
from flaxart.weights.load import LoadedTrunk, load_trunk
from flaxart.weights.originals import Outputs, inner_maps, original
from tfds_rijks import command
from tfds_rijks.progress import Progress

LIMIT = 1e-4


def pairs() -> list[tuple[str, str]]:
  """Each network with each library that has it."""
  return [(name, source.library) for name, card in cards().items() for source in card.sources]


def odd_size(model: str) -> tuple[int, int]:
  """A height and a width that the stride does not divide."""
  size = card_of(model).image_size
  return size * 3 // 4 - 1, size * 8 // 9


def our_outputs(trunk: LoadedTrunk, images: np.ndarray, *, top: bool) -> Outputs:
  """The same as `Original.run`, from the converted network."""
  module: Trunk = trunk.module
  inner = inner_maps(module.card.name)
  graphdef, state = nnx.split(module)

  @jax.jit  # one program: compiling takes longer than running
  def computed(state: Any, x: jax.Array) -> dict[str, jax.Array]:
    maps = dict(nnx.merge(graphdef, state).activations(x, train=False))
    *_, last = maps.values()
    return {'features': global_average(last), **{name: maps[name] for name in inner}}

  outputs = {name: np.asarray(x) for name, x in computed(state, images).items()}
  if top:
    outputs['logits'] = np.asarray(trunk.logits(images))  # from the pooled features of `trunk`
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
    images = random_images(model, preprocess_of(model, source, saved), seed=seed + 1)
    expected = [theirs.run(x, top=not i) for i, x in enumerate(images)]
    del theirs  # VGG19 with its classifier takes 0.6 GB: never more of it at a time than needed
    gc.collect()
    weights = convert(model, source=source, path=saved, keep_top=True)
    file.write(weights, converted)
    result: dict[str, Any] = {
      'variant': weights.variant,
      'preprocess': weights.preprocess,
      'parameters': sum(t.size for t in weights.trunk.values()),
    }
    del weights
    trunk = load_trunk(converted)
  for i, (suffix, x, a) in enumerate(zip(('', ' odd'), images, expected, strict=True)):
    b = our_outputs(trunk, x, top=not i)
    result |= {name + suffix: relative(a[name], b[name]) for name in a}
  return result


def random_images(model: str, preprocess: Preprocess, *, seed: int) -> list[np.ndarray]:
  """Two preprocessed batches `[2, H, W, 3]` of noise: at the usual size, and at an odd one."""
  rng, batches = np.random.default_rng(seed), []
  for height, width in ((preprocess.size, preprocess.size), odd_size(model)):
    uint8 = rng.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    images = np.asarray(preprocess.apply(jax.numpy.asarray(uint8)))
    # Each picture has its own brightness, so that features differ by more than noise.
    batches.append(images * np.linspace(0.3, 1, 2, dtype=np.float32)[:, None, None, None])
  return batches


def table(results: dict[tuple[str, str], dict[str, Any]]) -> str:
  """The results as the Markdown page `docs/backbones.md`."""
  lines = [
    '# The networks and their originals',
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
    first, second = inner_maps(model)
    scale = f'(x - {_three(p.mean)}) x {_three(p.scale)}'
    resize = f'{p.fit} {p.size}' + (f' of {p.resize}' if p.resize else '')
    lines.append(
      f'| {model} | {source} | {r["variant"]} | {r["parameters"]:,} | {p.channel_order}, {scale}, '
      f'{resize}, {p.interpolation} | {r["features"]:.1e} | {r["features odd"]:.1e} | '
      f'{max(r[first], r[second]):.1e} | {r["logits"]:.1e} |'
    )
  sizes = {model: odd_size(model) for model, _ in results}
  odd = ', '.join(f'{model} {height}x{width}' for model, (height, width) in sizes.items())
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
  )
  parser.add_argument('--output', type=Path, required=True, help='the Markdown page to write')
  args = parser.parse_args()
  progress = Progress('parity', len(pairs()), unit='pairs')
  results = {}
  for i, (model, source) in enumerate(pairs(), start=1):
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
