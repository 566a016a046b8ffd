"""`data.image_size=0` is resolved once, to the size of the weights, and stored as a number."""

from __future__ import annotations

import json
import logging

import pytest

import flaxart
from flaxart import main
from flaxart.config import read, to_json
from flaxart.train import train_and_evaluate
from tfds_rijks.errors import UserError


@pytest.fixture
def toy(tiny, toy_weights):
  """A run on the toy's weights, which were trained on 28 px; it was published with 24."""
  tiny.model.name, tiny.model.width, tiny.model.shallow = 'toy', 1.0, False
  tiny.data.image_size, tiny.init, tiny.tasks = 0, str(toy_weights), 'type'
  return tiny


def resolved(workdir):
  """The size in all files of a run."""
  provenance = json.loads((workdir / 'results.json').read_text())['provenance']
  sizes = {
    read(workdir / 'config.json').data.image_size,
    provenance['config']['data']['image_size'],
    flaxart.load(workdir).image_size,
  }
  (size,) = sizes
  return size


def test_the_size_is_that_of_the_weights_and_a_run_continues_with_it(toy, tmp_path, caplog):
  caplog.set_level(logging.INFO)
  toy.trainable, toy.probe.cache_dir = 'heads', str(tmp_path / 'features')
  assert train_and_evaluate(toy, tmp_path / 'run', dry_run=True) is None
  train_and_evaluate(toy, tmp_path / 'run')
  assert toy.data.image_size == 0 and resolved(tmp_path / 'run') == 28
  keys = [json.loads(p.read_text())['key'] for p in (tmp_path / 'features').glob('*.json')]
  assert keys and {key['image_size'] for key in keys} == {28}
  ours = 'squash to 28 px, bilinear; the weights were trained on crop to 28 px from 32, bilinear'
  assert caplog.text.count(ours) == 2  # of the dry run, and of the run

  stored = (tmp_path / 'run' / 'config.json').read_text()
  assert train_and_evaluate(toy, tmp_path / 'run')  # 0 is 28 here
  toy.data.image_size = 28
  assert train_and_evaluate(toy, tmp_path / 'run')
  assert (tmp_path / 'run' / 'config.json').read_text() == stored
  toy.data.image_size = 32
  with pytest.raises(UserError, match=r'config.data.image_size was 28, now 32'):
    train_and_evaluate(toy, tmp_path / 'run')


def test_the_size_is_that_of_the_card_or_of_the_trunks_run(toy, tmp_path, caplog):
  caplog.set_level(logging.INFO)
  toy.init = 'scratch'
  train_and_evaluate(toy, tmp_path / 'scratch')
  assert resolved(tmp_path / 'scratch') == 24
  toy.data.image_size = 40
  train_and_evaluate(toy, tmp_path / 'first')
  assert 'were trained on' not in caplog.text  # no weights, nothing to differ from
  toy.init, toy.data.image_size, toy.data.fit = str(tmp_path / 'first'), 0, 'pad'
  toy.data.pixels, toy.data.cache = 'zero_one', 'host'
  toy.data.cache_dir = str(tmp_path / 'decoded')
  train_and_evaluate(toy, tmp_path / 'second')
  assert resolved(tmp_path / 'second') == 40
  assert 'pad to 40 px, bilinear; the weights were trained on squash to 40 px' in caplog.text
  preprocess = json.loads((tmp_path / 'second' / 'trunk.json').read_text())['spec']['preprocess']
  assert preprocess['size'] == 40
  decoded = sum(path.stat().st_size for path in (tmp_path / 'decoded').iterdir())
  assert 0 <= decoded - 144 * 40 * 40 * 3 < 10_000  # train, val, and the header of each file


def test_evaluating_again_with_0_is_as_the_run_was(toy, tmp_path, monkeypatch):
  train_and_evaluate(toy, tmp_path / 'run')
  (tmp_path / 'settings.json').write_text(to_json(toy))
  (tmp_path / 'config.py').write_text(
    'from pathlib import Path\nfrom flaxart.config import read\n'
    f'def get_config():\n  return read(Path({str(tmp_path / "settings.json")!r}))\n'
  )
  flags = [f'--config={tmp_path / "config.py"}', f'--workdir={tmp_path / "run"}', '--mode=eval']
  config, _ = main.parse(['main', *flags])
  assert config.data.image_size == 28
