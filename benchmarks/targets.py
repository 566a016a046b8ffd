"""Targets of the measurements: on two cores in float32, on one accelerator in bfloat16."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flaxart.models import cards

Result = Mapping[str, Any]

# Minimum of ours over theirs: of a mode and a peer, or of one model in it.
EVERYWHERE = {
  ('train', 'three_heads'): 1 / 1.03,
  ('input_large', 'torch'): 1.5,
  ('input_prepared', 'torch'): 1.5,
  ('input_small', 'torch'): 1.5,
  ('input_simd', 'torch'): 1.5,
  ('input_decoded', 'torch'): 1.5,
  ('startup', 'cold'): 2.0,
}
CPU = {
  **EVERYWHERE,
  ('train', 'keras'): 2.0,
  ('train', 'torch'): 1.0,
  ('features', 'torch'): 1.0,
}
ACCELERATOR = {
  **EVERYWHERE,
  ('train', 'torch'): 1.1,
  ('train', 'torch', 'resnet50'): 1.15,
  ('train', 'torch_compile'): 1.1,
  ('train', 'torch_compile', 'resnet50'): 1.15,
  ('features', 'torch_compile'): 1.0,
}
BATCH = 256  # pictures of a step on an accelerator, at the network's own size
H200 = 'H200'  # in the name of the device that absolute figures are for
# Pictures a second there.
RATES = {
  ('train', 'resnet50'): 5_000,
  ('features', 'resnet50'): 15_000,
  ('features', 'vgg19'): 12_000,
  ('features', 'inception_v3'): 12_000,
  ('features', 'xception'): 7_000,
}
# Largest share of the time that an accelerator may wait for pictures, with 16 cores.
WAITING = {'waiting_device': 0.02, 'waiting_pillow': 0.1, 'waiting_simd': 0.1}
WHOLE, OFF_THE_SHELF_S = 112_039, 60.0  # pictures of the whole experiment, seconds on one H200

_HALF = '--dtype=bfloat16 --batch=256'
_PEERS = f'--peers=torch,torch_compile {_HALF}'
_224 = '--models=resnet50,vgg19 --size=224'
_299 = '--models=inception_v3,xception --size=299'
# Measurements that need an accelerator: name; benchmark, flags and file; target.
MISSING = (
  (
    'training, 224 px',
    ('train_step', f'{_224} {_PEERS}', 'train_step-gpu224'),
    'ResNet50 1.15 of the better and 5,000 pictures/s; VGG19 1.1',
  ),
  (
    'training, 299 px',
    ('train_step', f'{_299} {_PEERS}', 'train_step-gpu299'),
    '1.1 of the better',
  ),
  (
    'features, 224 px',
    ('features', f'{_224} {_PEERS}', 'features-gpu224'),
    '15,000 and 12,000 pictures/s; 1.0 of `torch.compile`',
  ),
  (
    'features, 299 px',
    ('features', f'{_299} {_PEERS}', 'features-gpu299'),
    '12,000 and 7,000 pictures/s; 1.0 of `torch.compile`',
  ),
  (
    'share of the roofline, where the rest goes; 224 px',
    ('roofline', f'{_224} {_HALF} --matrix=8192', 'roofline-gpu224'),
    'none yet',
  ),
  (
    'the same; 299 px',
    ('roofline', f'{_299} {_HALF} --matrix=8192', 'roofline-gpu299'),
    'none yet',
  ),
  (
    'waiting for input, 16 cores',
    ('waiting', '--batch=256 --size=224 --pictures=8192 --steps=300 --rounds=3', 'waiting-gpu'),
    '2 % from the device, 10 % from 300 px JPEGs',
  ),
  (
    'the off-the-shelf experiment',
    ('off_the_shelf', '--pictures=112039 --eval_batch=256 --rounds=3', 'off_the_shelf-gpu'),
    '60 s',
  ),
)


def verdict(result: Result, *, device: str = 'cpu') -> str:
  """The targets of a comparison on a `device`, and whether each is met; on an accelerator, none for
  steps of another shape.
  """
  mode, model, peer = result['mode'], result.get('model', ''), result['peer']
  if device == 'cpu':
    ratio = CPU.get((mode, peer))
    return '' if ratio is None else f'{ratio:.2f}: {_met(result["ratio"] >= ratio)}'
  shape = (result.get('dtype'), result.get('batch'), result.get('size'))
  card = cards().get(model)  # none of the loader
  as_meant, words = card is not None and shape == ('bfloat16', BATCH, card.image_size), []
  ratio = ACCELERATOR.get((mode, peer, model), ACCELERATOR.get((mode, peer)))
  if ratio is not None and ((mode, peer) in EVERYWHERE or as_meant):
    words.append(f'{ratio:.2f}: {_met(result["ratio"] >= ratio)}')
  rate = RATES.get((mode, model))
  if rate is not None and as_meant and H200 in device:
    words.append(f'{rate:,}/s: {_met(result["ours"] >= rate)}')
  return '; '.join(words)


def waiting(result: Result, *, device: str) -> str:
  """The target of a share of waiting, and whether it is met; none for a CPU."""
  share = WAITING.get(result['mode']) if device != 'cpu' else None
  return '' if share is None else f'{share:.0%}: {_met(result["waiting"] <= share)}'


def experiment(result: Result, *, device: str) -> str:
  """The target of the off-the-shelf experiment, and whether it is met; none for a part of it."""
  if H200 not in device or result['pictures'] < WHOLE:
    return ''
  return f'{OFF_THE_SHELF_S:.0f} s: {_met(result["seconds"] <= OFF_THE_SHELF_S)}'


def _met(yes: bool) -> str:
  return 'met' if yes else '**missed**'
