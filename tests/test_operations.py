"""A command is killed, or its disk is full, at each of its operations on files.

`strace` counts the system calls that change files and lets one of them kill the command, or all
from it on fail. Afterwards the same command, started again, must end as if nothing had happened.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from array_record.python.array_record_module import ArrayRecordReader
from tiny_museum import draw_collection, tiny_config
from trainer import ROOT, arrays, flags, set_steps, untimed_lines

from flaxart.train import train_and_evaluate
from tfds_rijks import suggestions
from tfds_rijks.suggestions import Suggestion

pytestmark = pytest.mark.kill
Operations = list[tuple[str, int]]
CALLS = (
  'mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,rmdir,link,linkat,symlink,fsync,'
  'fdatasync,ftruncate,write,pwrite64'
)
VOLATILE = re.compile(rb'"(generated_at|written_at|seconds|prepared_in|created)": [^,\n}]*')
UNDISTURBED = 'rmdir:error=ENOSPC:when=65535'


@pytest.fixture(scope='session', autouse=True)
def strace():
  if shutil.which('strace') is None:
    pytest.skip('needs strace')
  probe = ['strace', '-f', '-qq', '-o', os.devnull, '-e', 'inject=rmdir:error=ENOSPC', 'true']
  if subprocess.run(probe, capture_output=True).returncode:
    pytest.skip('strace may not trace here')


def run(line: list[str], where: Path, inject: str, *, log: Path) -> subprocess.CompletedProcess:
  """Runs `python -m ...` in a folder with an injection into its system calls."""
  trace = ['strace', '-f', '-qq', '-o', str(log), '-e', f'trace={CALLS}']
  env = {**os.environ, 'PYTHONPATH': str(ROOT), 'PYTHONDONTWRITEBYTECODE': '1'}
  return subprocess.run(
    [*trace, '-e', f'inject={inject}', sys.executable, '-m', *line],
    cwd=where, env=env, capture_output=True, text=True, timeout=300,
  )  # fmt: skip


def operations(log: Path) -> Operations:
  """`(call, number)`, in order: strace counts each call of each thread by itself."""
  seen: dict[tuple[str, str], int] = {}
  found: dict[tuple[str, int], None] = {}
  for row in log.read_text(errors='replace').splitlines():
    if called := re.match(r'(\d+) +(\w+)\(', row):
      thread, call = called.groups()
      seen[thread, call] = seen.get((thread, call), 0) + 1
      found[call, seen[thread, call]] = None
  return list(found)


def content(folder: Path) -> dict[str, str]:
  """`{path: hash}` of all files: without times of day, and records by what they hold.

  Protocol buffers write a record's features in another order each time.
  """
  found = {}
  for path in sorted(folder.rglob('*')):
    name = str(path.relative_to(folder))
    if path.is_file() and not name.endswith('fingerprint.json'):
      data = records(path) if '.array_record' in name else VOLATILE.sub(b'', path.read_bytes())
      found[name] = hashlib.sha256(data).hexdigest()
  return found


def records(path: Path) -> bytes:
  """The bytes of each record of a file, sorted: the order of its features does not count."""
  reader = ArrayRecordReader(str(path))
  held = [bytes(sorted(record)) for record in reader.read_all()]
  reader.close()
  return repr(held).encode()


def disturbed(
  line: list[str],
  start: Path,
  folder: Path,
  *,
  at: Callable[[Operations], Operations],
  same: Callable[[Path], object] = content,
) -> dict[str, int]:
  """Disturbs the command at each operation that `at` chooses of their number, in both ways.

  `start` is the folder in which it begins; `same` what must be equal in the end. Returns how often
  each was done.
  """
  whole, log = shutil.copytree(start, folder / 'whole'), folder / 'log'
  done = run(line, whole, UNDISTURBED, log=log)
  assert done.returncode == 0, done.stderr[-2000:]
  expected, found = same(whole), operations(log)
  counts = {'operations': len(found), 'killed': 0, 'disk full': 0}
  for call, number in at(found):
    ways = {'killed': f'signal=KILL:when={number}'}
    if call not in ('unlink', 'unlinkat', 'rmdir'):  # need no room
      ways['disk full'] = f'error=ENOSPC:when={number}+'
    for kind, inject in ways.items():
      about = f'{line[0]}: {kind} at {call} {number}'
      here = shutil.copytree(start, folder / 'here')
      done = run(line, here, f'{call}:{inject}', log=log)
      counts[kind] += done.returncode != 0
      if kind == 'disk full' and done.returncode:
        assert 'Traceback' not in done.stderr, (about, done.stderr[-2000:])
        # What is printed is also written: then the error has no place to be said.
        assert done.returncode == 2 or call == 'write', about
      again = run(line, here, UNDISTURBED, log=log)
      assert again.returncode == 0, (about, again.stdout[-500:], again.stderr[-2000:])
      assert same(here) == expected, about
      shutil.rmtree(here)
  return counts


def some(found: Operations) -> Operations:
  """Three of them, for the default tests."""
  return [found[len(found) * k // 10] for k in (3, 6, 9)]


def each(found: Operations) -> Operations:
  """All of them."""
  return found


MANY = pytest.mark.parametrize('at', [some, pytest.param(each, marks=pytest.mark.slow)])


@MANY
def test_prepare(tmp_path, at):
  draw_collection(tmp_path / 'start' / 'source', objects=60)
  options = ['--min_per_class=5', '--copies=equal', '--processes=1']
  line = ['tfds_rijks.prepare', '--dataset=collection', '--manual_dir=source', '--data_dir=out']
  counts = disturbed([*line, *options], tmp_path / 'start', tmp_path, at=at)
  print(json.dumps({'prepare': counts}))
  assert counts['killed'] >= 3


@MANY
def test_apply(tmp_path, at):
  (start := tmp_path / 'start').mkdir()
  (start / 'export.csv').write_text('object_number,type\n' + ''.join(f'{i},\n' for i in range(50)))
  rows = [Suggestion(str(i), f'{i}.jpg', 'type', 'coin', status='accepted') for i in range(50)]
  suggestions.write(start / 'decisions.csv', rows)
  line = ['flaxart.apply', '--decisions=decisions.csv', '--table=export.csv', '--output=new.csv']
  counts = disturbed(line, start, tmp_path, at=at)
  print(json.dumps({'apply': counts}))
  assert counts['killed'] >= 2


@pytest.fixture(scope='module')
def begun(tmp_path_factory, collection) -> Path:
  """A folder with a finished run, pictures to name, and a config for another run."""
  folder = tmp_path_factory.mktemp('begun')
  config = tiny_config(collection)
  set_steps(config, 6)
  config.checkpoint.every_steps = 2
  train_and_evaluate(config, folder / 'run')
  draw_collection(folder / 'scans', objects=30)
  flags(config, folder / 'trained', folder)
  return folder


@pytest.mark.slow
@pytest.mark.parametrize(
  'line',
  [
    ['flaxart.predict', '--images=scans', '--batch_size=8', '--output=names.csv'],
    ['flaxart.predict', '--images=scans', '--form=long', '--output=names.xlsx'],
  ],
)
def test_predict(begun, tmp_path, line):
  counts = disturbed([*line, '--workdir=run'], begun, tmp_path, at=each)
  print(json.dumps({' '.join(line): counts}))
  assert counts['killed'] > 10


@pytest.mark.slow
def test_report(begun, tmp_path):
  counts = disturbed(['flaxart.report', '--runs=run', '--output=report'], begun, tmp_path, at=each)
  print(json.dumps({'report': counts}))
  assert counts['killed'] > 10


@pytest.mark.slow
@pytest.mark.parametrize('trainable', ['all', 'heads'])
def test_train(begun, tmp_path, trainable):
  line = ['flaxart.main', '--config=config.py', '--workdir=trained', '--config.log.tensorboard=0']
  more = [] if trainable == 'all' else ['--config.trainable=heads', '--config.init=run']
  counts = disturbed([*line, *more], begun, tmp_path, at=each, same=trained)
  print(json.dumps({f'train {trainable}': counts}))
  assert counts['killed'] > 50


def trained(folder: Path) -> dict[str, object]:
  """Parameters and metrics of the run in a folder, without the times that steps took."""
  run = folder / 'trained'
  steps = sorted(int(path.name) for path in (run / 'checkpoints').iterdir())
  held = {f'{steps[-1]} {name}': x.tobytes() for name, x in arrays(run, steps[-1]).items()}
  left = {str(p.relative_to(run)) for p in run.rglob('*') if p.name.startswith('.')}
  return {**held, 'metrics': untimed_lines(run), 'left behind': left, 'steps': steps}
