"""Runs that an earlier flaxart began: their settings are read, they are evaluated and continued.

`golden/begun1` was stopped after step 10 of 12 and holds steps 4 (the best) and 8, in format 1,
under a running average of the weights.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from trainer import ROOT, arrays, flat

import flaxart
from flaxart import config as settings
from flaxart.config_format import Moved, Removed, up_to_date
from flaxart.data.source import open_dataset
from flaxart.evaluate_run import evaluate_run
from flaxart.network.state_tree import state_tree
from flaxart.train import train_and_evaluate
from flaxart.verify import verify
from flaxart.workdir import checkpoint, identity, manifest
from tfds_rijks.errors import UserError

GOLDEN = Path(__file__).parents[1] / 'golden'
RUNS = sorted(path.parent.name for path in GOLDEN.glob('*/run.json'))
sys.path.insert(0, str(GOLDEN))


@pytest.fixture
def begun(tmp_path, collection):
  """A run of format 1 in progress, and a function that changes what its config says."""
  run = tmp_path / 'run'
  shutil.copytree(GOLDEN / 'begun1', run)
  about = json.loads((run / 'run.json').read_text())  # the same records, as prepared today
  about['dataset']['version'] = open_dataset('collection', data_dir=collection, tasks=[]).version
  (run / 'run.json').write_text(json.dumps(about))

  def tell(**fields):
    stored = json.loads((run / 'config.json').read_text())
    stored['data']['data_dir'] = str(collection)
    for name, value in fields.items():
      section, _, field = name.rpartition('__')
      (stored[section] if section else stored)[field] = value
    (run / 'config.json').write_text(json.dumps(stored))
    for step in (run / 'checkpoints').iterdir():  # saved under the same settings
      (step / 'config.json').write_text(json.dumps(stored))
      manifest.seal(step)
    return run

  return tell


def test_fields_move_or_are_dropped(monkeypatch):
  monkeypatch.setattr(
    'flaxart.config_format.OLD_FIELDS',
    {'a.x': Moved('b.c.y'), 'a.z': Moved('a.z', without=('gone',)), 'p': Removed(default=1),
    'q.r': Removed(default='')},
  )  # fmt: skip
  stored = {'a': {'x': 1, 'z': 'kept'}, 'b': {'w': 2}, 'p': 1, 'q': {'r': ''}}
  assert up_to_date(stored) == ({'a': {'z': 'kept'}, 'b': {'w': 2, 'c': {'y': 1}}}, {})
  stored = {'a': {'z': 'gone'}, 'p': 4, 'q': {'r': 'set', 's': 3}}
  assert up_to_date(stored) == ({'q': {'s': 3}}, {'a.z': 'gone', 'p': 4, 'q.r': 'set'})


@pytest.mark.parametrize('name', RUNS)
def test_an_earlier_config_gets_the_present_fields(name):
  config = settings.read(GOLDEN / name / 'config.json')
  assert settings.flat(config).keys() == settings.flat(settings.default_config()).keys()
  assert settings.lost(GOLDEN / name / 'config.json') == {}
  assert config.train.batch_size == 16 and config.model.width == 0.03125


@pytest.mark.parametrize(
  ('fields', 'said'),
  [
    ({'head_devices': 4}, r'config\.head_devices=4'),
    ({'train__on_nonfinite': 'rollback'}, r"config\.train\.on_nonfinite='rollback'"),
    (
      {'trainable': 'heads', 'probe__settings': 'adam:1e-3,sgd:0.1'},
      r'2 config\.probe\.settings in one pass',
    ),
  ],
)
def test_a_run_with_a_setting_that_is_gone_is_evaluated_and_not_continued(begun, fields, said):
  run = begun(**fields)
  before = {path: path.read_bytes() for path in run.rglob('*') if path.is_file()}
  config = settings.read(run / 'config.json')
  with pytest.raises(UserError, match=rf'begun with {said}, .* finish this run with flaxart 0\.1'):
    train_and_evaluate(config, run)
  assert {path: path.read_bytes() for path in run.rglob('*') if path.is_file()} == before
  assert flaxart.load(run).about['step'] == 4
  assert evaluate_run(run, split='test', config=config)['artist']['n'] > 0


def test_a_run_with_an_outdated_pattern_is_loaded_and_not_continued(begun):
  run = begun(trainable='(?!trunk).*', train__unfreeze=r'0:(h)\1')
  assert flaxart.load(run).about['step'] == 4
  with pytest.raises(UserError, match=r'config\.trainable: .*RE2 has no look-ahead'):
    train_and_evaluate(settings.read(run / 'config.json'), run)


@pytest.mark.parametrize('folder', sorted(GOLDEN.glob('format*')), ids=lambda p: p.name)
def test_runs_of_every_earlier_format_load_and_answer_as_they_did(folder):
  from make import pictures

  entry = json.loads((folder / 'run.json').read_text())
  assert folder.name == f'format{entry["format"]}' and entry['format'] <= identity.FORMAT
  assert not any(verify(folder).values())
  expected = json.loads((folder / 'expected.json').read_text())
  answer = flaxart.load(folder)(pictures())
  assert answer.keys() == expected.keys()
  for task, values in expected.items():
    np.testing.assert_allclose(answer[task], values, rtol=1e-4, atol=1e-5)
  assert sum(p.stat().st_size for p in folder.rglob('*')) < 300_000


@pytest.mark.parametrize('best', [4, 12])
def test_a_run_of_an_earlier_format_continues_like_one_of_this_format(
  begun, monkeypatch, caplog, best
):
  run, restored = begun(), []
  before = {step: arrays(run, step) for step in (4, 8)}

  def restore(self, step, like, *, mesh, restore=checkpoint.Checkpointer.restore):
    state = restore(self, step, like, mesh=mesh)
    tree = state_tree(state)
    tree = jax.tree.map(np.array, {**tree['state'], **tree['optimizer']})  # a step donates them
    restored.append(flat(tree))
    return state

  monkeypatch.setattr(checkpoint.Checkpointer, 'restore', restore)
  monkeypatch.setattr('flaxart.training.validation.main_score', lambda *_: float(best == 12))
  (run / 'checkpoints/8/manifest.json').unlink()  # killed before sealing this one
  config = settings.read(run / 'config.json')
  with caplog.at_level('INFO', 'flaxart'):
    summary = train_and_evaluate(config, run)
  assert 'continuing after step 8 of 12' in caplog.text
  assert (summary['train']['steps'], summary['train']['best_step']) == (12, best)
  assert json.loads((run / 'run.json').read_text())['format'] == identity.FORMAT
  same(restored[0], before[8])
  if best == 4:  # in format 1 the optimizer is not an item of its own: all of it stays
    same(restored[1], before[4])
    assert sorted(checkpoint.steps_on_disk(run).items()) == [(4, 0.9), (12, 0.0)]
    assert 'step 4 was saved by an earlier flaxart: it keeps its optimizer' in caplog.text
  else:
    assert list(checkpoint.steps_on_disk(run)) == [checkpoint.finished_step(run)] == [12]
  assert not any(verify(run).values())
  assert train_and_evaluate(config, run)['test'] == json.loads(json.dumps(summary['test']))
  assert flaxart.load(run).about['step'] == best


def same(found, expected):
  """Two checkpoints hold the same arrays, to the bit."""
  assert found.keys() == expected.keys() and len(found) > 20
  for path, leaf in expected.items():
    np.testing.assert_array_equal(found[path], leaf, err_msg=path)


def test_the_score_of_an_earlier_format_is_sealed_as_well(begun):
  run = begun()
  (run / 'checkpoints/8/metrics/metrics').write_text('{"score": 1.0}')
  with pytest.raises(UserError, match='8/metrics/metrics: content changed'):
    flaxart.load(run)
  assert flaxart.load(run, fallback=True).about['step'] == 4


@pytest.mark.parametrize('name', RUNS)
def test_the_documented_lines_read_every_format_without_flaxart(name, tmp_path):
  (folder,) = (path for path in (GOLDEN / name / 'checkpoints').iterdir() if path.name != '8')
  (lines,) = re.findall(
    r'```python\n(.*?)```', (ROOT / 'docs/reliability.md').read_text(), re.DOTALL
  )
  assert 'flaxart' not in lines
  (tmp_path / 'read.py').write_text(lines)
  line = [sys.executable, tmp_path / 'read.py', folder]
  done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=True)
  assert 'warn' not in done.stderr.lower()
  leaves = arrays(GOLDEN / name, int(folder.name))
  count = sum(leaf.size for path, leaf in leaves.items() if path.startswith('[params]'))
  assert done.stdout == f'{count} parameters at step {folder.name}\n'
