"""The demo, on a smaller museum and a slimmer network."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from flaxart.train import train_and_evaluate

DEMO = Path(__file__).parents[1] / 'configs' / 'demo.py'


def test_the_demo_draws_prepares_trains_and_tests(tmp_path, capsys):
  spec = importlib.util.spec_from_file_location('demo', DEMO)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  config = module.get_config()
  config.data.manual_dir, config.data.data_dir = str(tmp_path / 'museum'), str(tmp_path / 'data')
  config.data.synthetic_objects, config.data.image_size = 300, 32
  config.model.width, config.model.shallow = 0.125, True
  config.train.epochs, config.log.tensorboard = 8.0, False
  summary = train_and_evaluate(config, tmp_path / 'run')
  assert {'artist', 'type', 'material'} == set(summary['test'])
  # The type is recognised even at 32 pixels, after a few hundred pictures.
  assert summary['test']['type']['top1'] > summary['test']['type']['floor'] + 0.2
  assert 'split by group' in summary['provenance']['grouping_rule']
  out = capsys.readouterr().out
  assert 'unreadable' in out and 'Invented objects, drawn by flaxart' in out
  assert 'test split, best checkpoint (invented objects)' in out
  assert summary['provenance']['invented'] and not summary['provenance']['complete']
