"""The command `prepare`: reuse, refusal, overwriting, interruption, estimate."""

from __future__ import annotations

import collections
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from collections_on_disk import build, draw, records, simple

from tfds_rijks import prepare as command
from tfds_rijks import report
from tfds_rijks.errors import UserError


@pytest.fixture
def source(tmp_path):
  return simple(tmp_path / 'source', 24)


def files(path: Path) -> dict[str, tuple[int, int]]:
  return {p.name: (p.stat().st_mtime_ns, p.stat().st_ino) for p in path.iterdir()}


def test_the_same_input_is_reused(source, capsys):
  path = build(source)
  before = files(path)
  assert build(source) == path
  assert files(path) == before
  assert 'nothing to do' in capsys.readouterr().out


def edit_in_place(source: Path) -> None:
  table = source / 'metadata.csv'
  table.write_text(table.read_text().replace('Ann', 'Eva'))  # same size


CHANGES = {
  'a cell': (edit_in_place, {}, 'metadata.csv has changed'),
  'a picture more': (lambda s: draw(s / 'new.png', 99), {}, 'new.png is new'),
  'a picture fewer': (lambda s: (s / '03.png').unlink(), {}, '03.png is gone'),
  'a picture replaced': (lambda s: draw(s / '03.png', 3, size=(30, 30)), {}, '03.png has changed'),
  'a size': (lambda s: None, {'image_size': 16}, 'image_size=None then, 16 now'),
  'a seed': (lambda s: None, {'seed': 1}, 'seed=0 then, 1 now'),
  'a label list': (lambda s: None, {'labels': 'type'}, 'labels=None then, type now'),
}


@pytest.mark.parametrize('case', CHANGES)
def test_other_input_or_options_are_refused_by_name_and_rebuilt_on_demand(source, case):
  change, options, message = CHANGES[case]
  path = build(source)
  before = files(path)
  change(source)
  with pytest.raises(UserError, match=f'{message}.*--overwrite') as error:
    build(source, **options)
  assert '\n' not in str(error.value)
  assert files(path) == before
  assert build(source, overwrite=True, **options) == path
  assert files(path) != before
  build(source, **options)  # and that is reused again


def test_options_without_effect_on_the_data_are_reused(source):
  before = files(build(source))
  assert files(build(source, processes=2, max_unreadable='5')) == before


def test_a_version_without_fingerprint_is_not_trusted(source):
  path = build(source)
  (path / command.FINGERPRINT).unlink()
  with pytest.raises(UserError, match=r'fingerprint\.json is missing'):
    build(source)


def test_two_collections_share_a_folder_under_names_of_their_own(tmp_path, source):
  other = simple(tmp_path / 'other', 12)
  target = tmp_path / 'prepared'
  build(source)
  with pytest.raises(UserError, match='--dataset=collection/NAME'):
    build(other)
  path = command.prepare(
    'collection/other', manual_dir=other, data_dir=target, min_per_class=1, processes=1
  )
  assert path == target / 'collection' / 'other' / '1.1.0'
  import tensorflow_datasets as tfds

  assert len(tfds.data_source('collection/other', split='all', data_dir=target)) == 12
  assert len(tfds.data_source('collection', split='all', data_dir=target)) == 24


def test_dry_run_estimates_and_writes_nothing(source, capsys):
  target = source.parent / 'prepared'
  build(source, dry_run=True)
  assert not target.exists()
  assert '24 pictures; about 0:0' in capsys.readouterr().out


def test_what_does_not_fit_is_refused(source, monkeypatch):
  usage = collections.namedtuple('usage', 'total used free')
  monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage(10**9, 10**9, 1000))
  with pytest.raises(UserError, match=r'GB free, .* GB needed; free some space'):
    build(source)
  assert not (source.parent / 'prepared').exists()


def test_data_dir_below_the_source_is_no_part_of_it(source):
  options = {'min_per_class': 1, 'processes': 1}
  inside = source / 'prepared'
  command.prepare('collection', manual_dir=source, data_dir=inside, **options)
  command.prepare('collection', manual_dir=source, data_dir=inside, **options)  # not "changed"


def staging(source: Path) -> Path:
  return source.parent / 'prepared' / 'collection' / '.staging'


@pytest.mark.parametrize(
  'error', [KeyboardInterrupt(), OSError(errno.ENOSPC, 'No space left'), RuntimeError('a bug')]
)
@pytest.mark.parametrize('existing', [False, True])
def test_an_interrupted_build_leaves_what_was_there(source, monkeypatch, error, existing):
  path = source.parent / 'prepared' / 'collection' / '1.1.0'
  if existing:
    build(source)
  before = files(path) if existing else None
  draw(source / '00.png', 77)
  from tfds_rijks.pictures import Shelf

  def data(self, name, kept=Shelf.data):
    if name == '07.png':
      raise error
    return kept(self, name)

  with monkeypatch.context() as patch:
    patch.setattr(Shelf, 'data', data)
    with pytest.raises(type(error)):
      build(source, image_size=16, overwrite=True)
  assert not staging(source).exists()
  assert (files(path) if path.exists() else None) == before
  build(source, image_size=16, overwrite=True)
  assert len(records(path)) == 24


@pytest.mark.parametrize(
  'error',
  [
    RuntimeError(
      'Failed to finalize writing of split "train": write() failed: No space left on '
      'device; writing /x/y.array_record; at byte 3039232'
    ),
    OSError(errno.ENOSPC, 'No space left on device'),
  ],
)
def test_a_full_disk_is_one_line(source, monkeypatch, capsys, error):
  from tfds_rijks.command import run
  from tfds_rijks.pictures import Shelf

  def full(self, name):
    raise error

  monkeypatch.setattr(Shelf, 'data', full)
  monkeypatch.setattr(
    sys,
    'argv',
    [
      'prepare',
      '--dataset=collection',
      f'--manual_dir={source}',
      f'--data_dir={source.parent / "out"}',
      '--min_per_class=1',
    ],
  )
  with pytest.raises(SystemExit) as left:
    run(command.main)
  assert left.value.code == 2
  assert capsys.readouterr().err == (
    f'error: {source.parent}/out/collection/.staging: no space left on the device; free some or '
    'choose another folder\n'
  )
  assert not list((source.parent / 'out' / 'collection').glob('[!.]*'))


def run_command(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
  return subprocess.run(
    [sys.executable, '-m', 'tfds_rijks.prepare', *arguments],
    capture_output=True,
    text=True,
    check=False,
    **options,
  )


def test_killing_the_command_leaves_no_half_built_version(tmp_path):
  source = tmp_path / 'source'
  rows = ['image,artist']
  for i in range(300):
    draw(source / f'{i}.png', i, size=(160, 160))
    rows.append(f'{i}.png,Ann')
  (source / 'metadata.csv').write_text('\n'.join(rows))
  arguments = [
    '--dataset=collection',
    f'--manual_dir={source}',
    f'--data_dir={tmp_path / "out"}',
    '--image_size=128',
  ]
  process = subprocess.Popen(
    [sys.executable, '-m', 'tfds_rijks.prepare', *arguments],
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  folder = tmp_path / 'out' / 'collection'
  while not list(folder.glob('.staging/*')) and process.poll() is None:
    time.sleep(0.005)
  process.send_signal(signal.SIGKILL)
  process.wait()
  assert not (folder / '1.1.0').exists()
  done = run_command(*arguments)
  assert done.returncode == 0, done.stderr
  assert '.staging: left by a build that was killed; removed' in done.stdout
  assert not (folder / '.staging').exists()
  assert len(records(folder / '1.1.0')) == 300


def test_a_rebuild_killed_between_its_two_renames_is_repaired(source):
  path = build(source)
  path.rename(path.with_name(f'.{path.name}.old'))
  assert build(source, overwrite=True) == path
  assert not path.with_name(f'.{path.name}.old').exists()


def test_two_builds_at_once_are_refused(source):
  folder = source.parent / 'prepared' / 'collection'
  folder.mkdir(parents=True)
  import fcntl

  with (folder / '.lock').open('w') as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    with pytest.raises(UserError, match='another prepare is writing there'):
      build(source)


BAD = {
  'no dataset': ([], 'required: --dataset'),
  'unknown dataset': (
    ['--dataset=louvre', '--manual_dir={s}', '--data_dir={t}'],
    'expected rijksmuseum or collection',
  ),
  'unknown config': (
    ['--dataset=rijksmuseum/louvre', '--manual_dir={s}', '--data_dir={t}'],
    'multitask',
  ),
  'no config': (
    ['--dataset=rijksmuseum', '--manual_dir={s}', '--data_dir={t}'],
    'a config is missing',
  ),
  'bad name': (
    ['--dataset=collection/a b', '--manual_dir={s}', '--data_dir={t}'],
    'letters, digits and _',
  ),
  'no folder': (
    ['--dataset=collection', '--manual_dir={s}/no', '--data_dir={t}'],
    'no such folder',
  ),
  'unknown flag': (
    ['--dataset=collection', '--manual_dir={s}', '--data_dir={t}', '--sise=3'],
    '--sise=3',
  ),
  'no number': (
    ['--dataset=collection', '--manual_dir={s}', '--data_dir={t}', '--image_size=big'],
    '--image_size',
  ),
  'a size of 0': (
    ['--dataset=collection', '--manual_dir={s}', '--data_dir={t}', '--image_size=0'],
    '--image_size=0: expected 16 or more',
  ),
  'a flag of the other dataset': (
    ['--dataset=collection', '--manual_dir={s}', '--data_dir={t}', '--attribution=strict'],
    '--attribution',
  ),
}


@pytest.fixture(scope='module')
def shared(tmp_path_factory):
  return simple(tmp_path_factory.mktemp('shared') / 'source', 4)


@pytest.mark.parametrize('case', BAD)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(
  case, shared, tmp_path, monkeypatch, capsys
):
  arguments, message = BAD[case]
  arguments = [a.format(s=shared, t=tmp_path / 'out') for a in arguments]
  monkeypatch.setattr(sys, 'argv', ['prepare', *arguments])
  from tfds_rijks.command import run

  with pytest.raises(SystemExit) as error:
    run(command.main)
  assert error.value.code == 2
  lines = capsys.readouterr().err.strip().split('\n')
  assert len(lines) == 1
  assert lines[0].startswith('error: ')
  assert message in lines[0]
  assert not (tmp_path / 'out').exists()


def test_an_empty_folder(tmp_path):
  (tmp_path / 'empty').mkdir()
  with pytest.raises(UserError, match='the folder is empty'):
    build(tmp_path / 'empty')


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write everywhere')
def test_no_rights_to_write(source):
  source.parent.chmod(0o500)
  try:
    with pytest.raises(PermissionError):
      build(source)
  finally:
    source.parent.chmod(0o700)


def test_no_rights_to_write_is_one_line(source, monkeypatch, capsys):
  def refuse(self, *args, **kwargs):
    raise PermissionError(errno.EACCES, 'Permission denied', str(self))

  target = source.parent / 'prepared'
  monkeypatch.setattr(
    sys,
    'argv',
    [
      'prepare',
      '--dataset=collection',
      f'--manual_dir={source}',
      f'--data_dir={target}',
      '--min_per_class=1',
    ],
  )
  monkeypatch.setattr(Path, 'mkdir', refuse)
  from tfds_rijks.command import run

  with pytest.raises(SystemExit) as error:
    run(command.main)
  assert error.value.code == 2
  assert capsys.readouterr().err.startswith(f'error: {target}')


def test_the_help_names_the_options_of_the_dataset():
  done = run_command('--dataset=collection', '--help')
  assert done.returncode == 0
  assert '--multi_value_separator' in done.stdout
  assert '--attribution' not in done.stdout


def test_the_report_beside_the_data(source):
  path = build(source)
  about = report.read(path)
  assert about['splits'] == json.loads((path / report.FILE).read_text())['splits']
  assert sum(about['splits'].values()) == 24
  assert about['tasks']['type']['largest_class'] == 'coin'
