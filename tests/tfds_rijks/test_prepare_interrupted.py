"""A build that ends early, by a signal, an error or a full disk, changes nothing."""

from __future__ import annotations

import errno
import fcntl
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from collections_on_disk import VERSION, build, draw, records, simple
from prepare_command import files, run_command

from tfds_rijks import prepare as command
from tfds_rijks.errors import UserError


@pytest.fixture
def source(tmp_path):
  return simple(tmp_path / 'source', 24)


def staging(source: Path) -> Path:
  return source.parent / 'prepared' / 'collection' / '.staging'


@pytest.mark.parametrize(
  ('at', 'error'),
  [
    ('looking for copies', KeyboardInterrupt()),
    ('writing', KeyboardInterrupt()),
    ('writing', OSError(errno.ENOSPC, 'No space left')),
    ('writing', RuntimeError('a bug')),
  ],
)
@pytest.mark.parametrize('existing', [False, True])
def test_an_interrupted_build_changes_nothing(source, monkeypatch, at, error, existing):
  path = source.parent / 'prepared' / 'collection' / VERSION
  if existing:
    build(source)
  before = files(path) if existing else None
  draw(source / '00.png', 77)
  from tfds_rijks.pictures import Shelf

  def data(self, name, kept=Shelf.data):
    if name == '07.png':
      raise error
    return kept(self, name)

  def nearest(block):
    raise error

  with monkeypatch.context() as patch:
    if at == 'writing':
      patch.setattr(Shelf, 'data', data)
    else:
      patch.setattr('tfds_rijks.copies.candidates.nearest', nearest)
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
  assert not (folder / VERSION).exists()
  done = run_command(*arguments)
  assert done.returncode == 0, done.stderr
  assert '.staging: left by a killed build; removed' in done.stdout
  assert not (folder / '.staging').exists()
  assert len(records(folder / VERSION)) == 300


def test_a_rebuild_killed_between_its_two_renames_is_repaired(source, monkeypatch):
  path = build(source)
  before = files(path)
  path.rename(path.with_name(f'.{path.name}.old'))

  def fail(self, name):
    raise RuntimeError('a bug')

  with monkeypatch.context() as patch:
    patch.setattr('tfds_rijks.pictures.Shelf.data', fail)
    with pytest.raises(RuntimeError, match='a bug'):  # a rebuild that succeeded would hide the loss
      build(source, overwrite=True)
  assert files(path) == before
  assert build(source, overwrite=True) == path
  assert not path.with_name(f'.{path.name}.old').exists()


def test_two_builds_at_once_are_refused(source):
  folder = source.parent / 'prepared' / 'collection'
  folder.mkdir(parents=True)
  with (folder / '.lock').open('w') as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    with pytest.raises(UserError, match='another prepare is writing here'):
      build(source)


@pytest.mark.parametrize('held', [False, True])
def test_what_killed_builds_left_is_cleared_though_nothing_is_to_be_built(source, capsys, held):
  path = build(source)
  old = path.with_name(f'.{path.name}.old')
  for folder in (staging(source) / 'x', old):
    folder.mkdir(parents=True)
    (folder / 'half').write_text('x')
  with (path.parent / '.lock').open('r+') as lock:
    if held:  # by another prepare, whose they are
      fcntl.flock(lock, fcntl.LOCK_EX)
    assert build(source) == path
  said = capsys.readouterr().out
  for folder in (staging(source), old):
    assert folder.exists() == held
    assert (f'{folder}: left by a killed build; removed' in said) == (not held)


@pytest.mark.parametrize('name', ['.staging', '.lock'])
def test_nothing_is_written_through_a_link(source, tmp_path, name):
  folder = source.parent / 'prepared' / 'collection'
  folder.mkdir(parents=True)
  theirs = tmp_path / 'theirs'
  if name == '.lock':
    theirs.write_text('theirs')
  else:
    (theirs / 'x').mkdir(parents=True)
  before = files(tmp_path / 'theirs') if theirs.is_dir() else theirs.read_text()
  (folder / name).symlink_to(theirs)
  with pytest.raises(UserError, match=rf'{name}: is a link, .*; remove it'):
    build(source)
  assert (files(theirs) if theirs.is_dir() else theirs.read_text()) == before
