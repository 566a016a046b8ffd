"""The share of training spent waiting for pictures, in runs as a user starts them.

  python -m benchmarks.waiting --models=resnet50 --inputs=pillow,simd,host,device --output=F.json

Each is `python -m flaxart.main` on drawn JPEGs of 300 x 228 pixels: decoded in every epoch and
resized by Pillow or by SIMD instructions (`config.data.resize`), or decoded once into memory or
onto the device (`config.data.cache`). The inputs take turns, `rounds` times. Share and rate are
those of `metrics.jsonl`, between its first line from step 30 on and its last: earlier steps use
batches made while the step was compiled. Medians over rounds.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks import drawn, measure
from benchmarks.end_to_end import timed
from flaxart.models import cards
from tfds_rijks.command import run
from tfds_rijks.errors import UserError
from tfds_rijks.prepare import prepare
from tfds_rijks.resizing import check_resize

SIDE = (300, 228)  # width, height
INPUTS = {
  'pillow': ['--config.data.cache=none'],
  'simd': ['--config.data.cache=none', '--config.data.resize=simd'],
  'host': ['--config.data.cache=host'],
  'device': ['--config.data.cache=device'],
}
TRAIN_SHARE = 0.8  # of the collection, by its builder
LOG_EVERY, AFTER = 10, 29  # steps; a line reports the step before


def trained(command: list[str], kind: str, workdir: Path, *, batch: int) -> tuple[float, float]:
  """Share of the time that waited for input, and pictures a second, of one run."""
  took = timed([*command, *INPUTS[kind], f'--workdir={workdir}'])
  if kind in ('host', 'device') and f'decoded pictures: cache {kind} ' not in took.said:
    raise UserError(f'data.cache={kind}: no room for that many pictures; give fewer')
  lines = map(json.loads, (workdir / 'metrics.jsonl').read_text('utf-8').splitlines())
  first, *_, last = [line for line in lines if line['split'] == 'train' and line['step'] >= AFTER]
  seconds = last['train_s'] - first['train_s']
  share = (last['input_wait_s'] - first['input_wait_s']) / seconds
  return share, (last['step'] - first['step']) * batch / seconds


def main() -> int | None:
  """The command."""
  parser = measure.parser('waiting', __doc__, peers=[], default='')
  parser.add_argument('--inputs', default=','.join(INPUTS), help=f'of {", ".join(INPUTS)}')
  parser.add_argument('--pictures', type=int, default=2048)
  parser.add_argument('--batch', type=int, default=16)
  parser.add_argument('--size', type=int, default=128, help='pixels of the network input')
  parser.add_argument('--steps', type=int, default=90, help='of a run')
  parser.add_argument('--width', type=float, default=1.0, help='of the network; for trials')
  arguments = parser.parse_args()
  inputs = measure.chosen(arguments.inputs, list(INPUTS), flag='--inputs')
  if arguments.steps < 2 * AFTER:
    raise UserError(f'--steps: found {arguments.steps}, expected at least {2 * AFTER}')
  if 'simd' in inputs:
    check_resize('simd', field='--inputs')
  results = []
  with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    drawn.collection(folder / 'source', arguments.pictures, SIDE, labels={'type': 2})
    prepare('collection', manual_dir=folder / 'source', data_dir=folder / 'data')
    epochs = arguments.steps * arguments.batch / (TRAIN_SHARE * arguments.pictures)
    for model in measure.chosen(arguments.models, list(cards()), flag='--models'):
      command = [
        *('flaxart.main', '--config=configs/scratch.py', f'--config.model.name={model}'),
        *('--config.data.dataset=collection', f'--config.data.data_dir={folder / "data"}'),
        *('--config.tasks=type', f'--config.data.image_size={arguments.size}'),
        *(f'--config.train.batch_size={arguments.batch}', f'--config.train.epochs={epochs}'),
        *('--config.train.eval_every_epochs=1000000', '--config.eval.test=False'),
        *('--config.eval.baselines=False', f'--config.log.every_steps={LOG_EVERY}'),
        *(f'--config.model.width={arguments.width}', '--config.log.tensorboard=False'),
        f'--config.data.cache_dir={folder / "decoded"}',
      ]
      taken: dict[str, list[tuple[float, float]]] = {kind: [] for kind in inputs}
      for i in range(arguments.rounds):
        for kind in inputs:
          workdir = folder / f'{model}_{kind}_{i}'
          taken[kind].append(trained(command, kind, workdir, batch=arguments.batch))
      for kind, rounds in taken.items():
        shares, rates = zip(*rounds, strict=True)
        results.append(
          {
            'model': model,
            'peer': 'none',
            'mode': f'waiting_{kind}',
            'ratio': None,
            'ours': round(statistics.median(rates), 2),
            'theirs': None,
            'waiting': round(statistics.median(shares), 4),
            'waiting_spread': [round(min(shares), 4), round(max(shares), 4)],
            'batch': arguments.batch,
            'size': arguments.size,
            'rounds': arguments.rounds,
          }
        )
        print(json.dumps(results[-1]), flush=True)
      measure.save(arguments.output, results, command=measure.told(sys.argv))
  return None


if __name__ == '__main__':
  run(main)
