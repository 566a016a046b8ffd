"""Code of users: the script of docs/code.md, the names of `flaxart`, `repr`."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

import flaxart
from tfds_rijks.errors import UserError

ROOT = Path(__file__).parents[1]


def test_the_script_of_the_docs_learns(trunk, collection, monkeypatch, capsys):
  monkeypatch.setattr('sys.argv', ['own_code.py', str(trunk), str(collection), 'collection'])
  runpy.run_path(str(ROOT / 'docs' / 'own_code.py'), run_name='__main__')
  losses = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()]
  assert len(losses) == 8 and losses[-1] < losses[0]


def test_the_trunk_of_a_run_gives_the_features_of_the_run(trunk):
  images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
  loaded, net = flaxart.load_trunk(trunk), flaxart.load(trunk)
  ours = loaded(loaded.preprocess.apply(images))
  np.testing.assert_allclose(ours, net.features(images), rtol=1e-3, atol=1e-4)
  with pytest.raises(UserError, match='has no classifier; convert it with --top'):
    loaded.logits(np.zeros((1, 32, 32, 3), np.float32))


def test_a_loaded_run_shows_tasks_classes_and_score(trunk):
  first, *tasks = repr(flaxart.load(trunk)).splitlines()
  assert first.startswith('toy at 32 px, step ')
  assert tasks[0].startswith('  artist: 3 classes, ') and tasks[0].endswith(' % top1 on test')


def test_public_names_are_listed():
  assert {'load', 'load_trunk'} <= set(flaxart.__all__) <= set(dir(flaxart))
