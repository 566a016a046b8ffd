"""The off-the-shelf experiment, whole: features of every picture, then 30 epochs of three heads.

  python -m benchmarks.off_the_shelf --models=resnet50 --pictures=3000 --output=F.json

Draws pictures at the network's input size, with three labels, prepares them (not measured),
and runs `python -m flaxart.main` with a frozen trunk of random weights from the command to
`results.json`, each time with an empty compilation cache. Its seconds are split into features
(including compilation of the trunk), heads, and the rest (imports, evaluation of val and test).
Nothing is extrapolated: `--pictures=112039`, the number of the Rijksmuseum Challenge, measures the
whole.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import drawn, measure
from benchmarks.drawn import LABELS
from benchmarks.end_to_end import timed
from flaxart.models import cards
from tfds_rijks.command import run
from tfds_rijks.prepare import prepare

EPOCHS = 30


def experiment(command: list[str], workdir: Path) -> dict[str, float]:
  """One run: seconds of the whole command and of its parts, and its peak memory in GB."""
  cache = str(workdir.with_suffix('.compiled'))
  took = timed([*command, f'--workdir={workdir}'], JAX_COMPILATION_CACHE_DIR=cache)
  train = json.loads((workdir / 'results.json').read_text(encoding='utf-8'))['train']
  features, heads = train['features']['seconds'], train['seconds']
  return {
    'seconds': took.seconds,
    'features_s': features,
    'heads_s': heads,
    'rest_s': took.seconds - features - heads,
    'memory_gb': took.memory_gb,
  }


def main() -> int | None:
  """The command."""
  parser = measure.parser('off_the_shelf', __doc__, peers=[], default='')
  parser.add_argument('--pictures', type=int, default=3000)
  parser.add_argument('--size', type=int, default=224, help='pixels of the network input')
  parser.add_argument('--width', type=float, default=1.0, help='of the network; for trials')
  parser.add_argument('--eval_batch', type=int, default=64, help='pictures per batch')
  arguments = parser.parse_args()
  results: list[dict[str, Any]] = []
  with tempfile.TemporaryDirectory() as name:
    folder, side = Path(name), (arguments.size, arguments.size)
    drawn.collection(folder / 'source', arguments.pictures, side, labels=LABELS)
    prepare('collection', manual_dir=folder / 'source', data_dir=folder / 'data', min_per_class=1)
    for model in measure.chosen(arguments.models, list(cards()), flag='--models'):
      rounds = [
        experiment(
          [
            *('flaxart.main', '--config=configs/frozen.py', '--config.init=scratch'),
            *(f'--config.model.name={model}', f'--config.model.width={arguments.width}'),
            *('--config.data.dataset=collection', f'--config.data.data_dir={folder / "data"}'),
            *(f'--config.tasks={",".join(LABELS)}', f'--config.data.image_size={arguments.size}'),
            *(f'--config.train.epochs={EPOCHS}', '--config.train.early_stop_patience=0'),
            *(f'--config.eval.batch_size={arguments.eval_batch}', '--config.eval.baselines=False'),
            f'--config.probe.cache_dir={folder / f"features_{model}_{i}"}',
          ],
          folder / f'{model}_{i}',
        )
        for i in range(arguments.rounds)
      ]
      rounds.sort(key=lambda each: each['seconds'])
      found = rounds[(len(rounds) - 1) // 2]  # one run in full, so that its parts add up
      results.append(
        {
          'model': model,
          'peer': 'none',
          'mode': 'off_the_shelf',
          'ratio': None,
          'ours': round(arguments.pictures / found['features_s'], 2),
          'theirs': None,
          **{key: round(value, 2) for key, value in found.items()},
          'seconds_spread': [round(rounds[i]['seconds'], 2) for i in (0, -1)],
          'pictures': arguments.pictures,
          'epochs': EPOCHS,
          'heads': len(LABELS),
          'size': arguments.size,
          'rounds': arguments.rounds,
        }
      )
      print(json.dumps(results[-1]), flush=True)
      measure.save(arguments.output, results, command=measure.told(sys.argv))
  return None


if __name__ == '__main__':
  run(main)
