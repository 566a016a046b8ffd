"""Imports run one way, and TensorFlow is never among them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [*(ROOT / 'flaxart').rglob('*.py'), *(ROOT / 'tfds_rijks').rglob('*.py')]
# Lower may not import higher.
LAYERS = [
  ('main',),
  ('page',),
  ('details', 'cost_tables', 'run_tables'),
  ('score_tables', 'pictures', 'methods', 'bibliography', 'figure1', 'figure2'),
  ('tables', 'confusion', 'curves', 'compare'),
  ('answers', 'experiments', 'markup', 'plotting'),
  ('runs', 'statistics', 'published'),
  ('again', 'train', 'predict', 'verify'),
  ('loop', 'probe', 'sweep', 'contest'),
  ('results', 'estimate', 'initial', 'net', 'prepared', 'features'),
  ('assess',),
  ('baselines', 'label_only', 'evaluate', 'meter', 'step', 'heads'),
  ('calibration', 'records'),
  ('scores',),
  ('workdirs', 'checkpoint', 'remap'),
  ('state_tree',),
  ('feature_cache',),
  ('identity', 'lock', 'interrupt', 'nonfinite', 'optim', 'metrics', 'writer', 'manifest'),
  ('state', 'losses'),
  ('unfreeze', 'watch'),
  ('classifier',),
  ('tasks', 'sharding', 'layers', 'preprocess', 'source', 'loader', 'augment', 'config'),
  ('randaugment', 'processes', 'workers', 'ranking', 'spreadsheet'),
]
LEVEL = {name: i for i, names in enumerate(LAYERS) for name in names}
WORKER_FILES = [
  ROOT / 'flaxart/data/source.py',
  ROOT / 'flaxart/data/loader.py',
  ROOT / 'flaxart/data/workers.py',
  ROOT / 'flaxart/data/__init__.py',
  *(ROOT / 'tfds_rijks').rglob('*.py'),
]


def imported(path):
  """Full names of all modules that a file imports, anywhere in it."""
  names = []
  for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
    if isinstance(node, ast.Import):
      names += [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      names += [node.module, *(f'{node.module}.{alias.name}' for alias in node.names)]
  return names


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_tensorflow_and_no_clu(path):
  roots = {name.split('.')[0] for name in imported(path)}
  assert not roots & {'tensorflow', 'clu', 'tensorflow_text'}


@pytest.mark.parametrize('path', WORKER_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_runs_in_a_data_worker_imports_no_jax(path):
  names = imported(path)
  assert not {name.split('.')[0] for name in names} & {'jax', 'flax', 'optax', 'orbax'}
  if 'tfds_rijks' in path.parts:
    assert not [name for name in names if name.split('.')[0] == 'flaxart']


@pytest.mark.parametrize(
  'path', [p for p in FILES if 'flaxart' in p.parts and p.stem in LEVEL], ids=lambda p: p.stem
)
def test_imports_run_one_way(path):
  for name in imported(path):
    parts = name.split('.')
    if parts[0] == 'flaxart' and parts[-1] in LEVEL and parts[-1] != path.stem:
      assert LEVEL[parts[-1]] >= LEVEL[path.stem], f'{path.stem} imports {name}'


def test_only_one_file_knows_orbax():
  users = {p.name for p in FILES if any(n.startswith('orbax') for n in imported(p))}
  assert users == {'checkpoint.py'}


def test_importing_the_packages_is_cheap():
  code = (
    'import sys, flaxart, tfds_rijks.images; bad = {"jax", "tensorflow", "orbax", "flax"} '
    '& set(sys.modules); assert not bad, bad'
  )
  subprocess.run([sys.executable, '-c', code], check=True, cwd=ROOT)
