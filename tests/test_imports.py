"""Imports run one way, from commands down to the machine; TensorFlow is never among them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = sorted([*(ROOT / 'flaxart').rglob('*.py'), *(ROOT / 'tfds_rijks').rglob('*.py')])
# A package or file of `flaxart/` imports from its own line and from the lines below it.
FLOORS = [
  '__init__ __main__',
  'main',
  'flags',
  'train evaluate_run predict verify',
  'report prediction apply',
  'config_checks',
  'off_the_shelf',
  'training net',
  'evaluation',
  'logs workdir',
  'network',
  'tasks',
  'weights',
  'data',
  'models',
  'settings',
  'config',
  'config_format',
  'machine',
]
FLOOR = {name: i for i, names in enumerate(FLOORS) for name in names.split()}
# Imports of a data worker, which must not start a backend.
WORKER_FILES = ('__init__', 'source', 'loader', 'workers', 'order')


def imported(path):
  """Full names of all modules that a file imports, anywhere in it."""
  names = []
  for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
    if isinstance(node, ast.Import):
      names += [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      names += [node.module, *(f'{node.module}.{alias.name}' for alias in node.names)]
  return names


def room(path):
  """`training` of `flaxart/training/loop.py`, `net` of `flaxart/net.py`."""
  return path.relative_to(ROOT / 'flaxart').with_suffix('').parts[0]


def imports_of(*roots):
  """`file imports name` wherever a file imports from one of these root packages."""
  return [
    f'{path.relative_to(ROOT)} imports {name}'
    for path in FILES
    for name in imported(path)
    if name.split('.')[0] in roots
  ]


def test_every_package_has_a_floor_and_imports_run_down():
  found = [*(ROOT / 'flaxart').glob('*.py'), *(ROOT / 'flaxart').glob('*/__init__.py')]
  assert {room(path) for path in found} == set(FLOOR)
  up = [
    f'{path.relative_to(ROOT)} imports {name}'
    for path in FILES
    if 'flaxart' in path.parts
    for name in imported(path)
    if name.startswith('flaxart.') and FLOOR[name.split('.')[1]] < FLOOR[room(path)]
  ]
  assert not up


def test_no_function_takes_more_than_six_parameters():
  many = []
  for path in FILES:
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
      if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and 'flaxart' in path.parts:
        given = node.args
        rest = [argument for argument in (given.vararg, given.kwarg) if argument]
        all_of_them = [*given.posonlyargs, *given.args, *given.kwonlyargs, *rest]
        count = sum(argument.arg not in ('self', 'cls') for argument in all_of_them)
        if count > 6:
          many.append(f'{path.relative_to(ROOT)}:{node.lineno}: {node.name} takes {count}')
  assert not many


def test_files_are_in_packages():
  assert len(list((ROOT / 'flaxart').glob('*.py'))) <= 12


def test_no_tensorflow_and_no_clu():
  assert not imports_of('tensorflow', 'clu', 'tensorflow_text')


def test_the_builders_import_neither_flaxart_nor_jax():
  assert not [
    line for line in imports_of('flaxart', 'jax', 'flax', 'optax', 'orbax') if 'tfds_' in line[:5]
  ]


def test_what_runs_in_a_data_worker_imports_no_jax():
  for stem in WORKER_FILES:
    names = imported(ROOT / 'flaxart' / 'data' / f'{stem}.py')
    assert not {name.split('.')[0] for name in names} & {'jax', 'flax', 'optax', 'orbax'}, stem


def test_only_two_files_import_orbax():
  files = {f'flaxart/workdir/{name}.py' for name in ('checkpoint', 'read_back')}
  assert {line.split()[0] for line in imports_of('orbax')} == files


def test_importing_the_packages_is_cheap():
  code = (
    'import sys, flaxart, tfds_rijks.images; bad = {"jax", "tensorflow", "orbax", "flax"} '
    '& set(sys.modules); assert not bad, bad'
  )
  subprocess.run([sys.executable, '-c', code], check=True, cwd=ROOT)
