"""A simulated device: while the host fetches a batch's results, the next one is running."""

from __future__ import annotations

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from flaxart.evaluation import evaluate
from flaxart.machine.one_behind import one_behind
from flaxart.machine.sharding import create_mesh
from flaxart.off_the_shelf.extractor import Extractor
from flaxart.prediction.pictures import predict_pictures

BATCHES = 3


class Device:
  """Notes when a batch is dispatched and when its result is fetched."""

  def __init__(self):
    self.notes = []

  def dispatch(self, *arrays):
    number = sum(note.startswith('dispatched') for note in self.notes)
    self.notes.append(f'dispatched {number}')

    def fetched(dtype=None, copy=None):
      self.notes.append(f'fetched {number}')
      return np.zeros((2, 1))

    return (SimpleNamespace(__array__=fetched), *arrays)


class Split:
  """Two records per batch."""

  name, labels = 'val', {}

  def __len__(self):
    return 2 * BATCHES


def batches(*_, **__):
  for i in range(BATCHES):
    yield {'record': np.array([2 * i, 2 * i + 1]), 'mask': np.ones(2, bool)}


def extract(device, monkeypatch, folder):
  extractor = object.__new__(Extractor)
  extractor._batches = batches
  extractor._forward = lambda batch: device.dispatch(batch['record'], batch['mask'])
  assert len(list(extractor._rows(Split(), first=0))) == BATCHES


def score(device, monkeypatch, folder):
  monkeypatch.setattr(evaluate, 'eval_batches', batches)
  monkeypatch.setattr(evaluate, 'eval_step', lambda *a, **k: ({}, {'x': device.dispatch()[0]}))
  monkeypatch.setattr(evaluate, 'without_logits', lambda tasks, found: found)
  monkeypatch.setattr(evaluate, 'fetch', lambda tree: jax.tree.map(np.asarray, tree))
  config = SimpleNamespace(
    eval=SimpleNamespace(batch_size=2),
    data=SimpleNamespace(workers=0, image_size=8, fit='pad', resize='pillow'),
    model=SimpleNamespace(name='vgg19'),
  )
  state = SimpleNamespace(mesh=create_mesh())
  evaluate.evaluate_records(SimpleNamespace(tasks=()), state, Split(), config)


def predict(device, monkeypatch, folder):
  paths = [str(i) for i in range(2 * BATCHES - 1)]  # the last batch is not full
  for path in paths:
    (folder / path).touch()
  net = SimpleNamespace(
    square=lambda data, name: np.zeros((8, 8, 3), np.uint8),
    image_size=8,
    dispatched=lambda images: {'artist': device.dispatch()[0]},
  )
  batches = list(predict_pictures(net, folder, paths, batch_size=2))
  assert [path for batch in batches for path, _ in batch] == paths


@pytest.mark.parametrize('loop', [extract, score, predict])
def test_the_device_has_the_next_batch_before_the_last_one_is_fetched(loop, monkeypatch, tmp_path):
  device = Device()
  loop(device, monkeypatch, tmp_path)
  assert device.notes == [
    'dispatched 0',
    'dispatched 1',
    'fetched 0',
    'dispatched 2',
    'fetched 1',
    'fetched 2',
  ]


def test_no_batch_and_one_batch():
  assert list(one_behind([])) == [] and list(one_behind([7])) == [7]
