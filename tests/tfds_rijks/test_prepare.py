"""The command `prepare`: reuse, refusal, overwriting, estimate, wrong command lines."""

from __future__ import annotations

import collections
import errno
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from collections_on_disk import VERSION, build, draw, records, simple, write_collection
from prepare_command import files

from tfds_rijks import build_report, fingerprint
from tfds_rijks import prepare as command
from tfds_rijks.errors import UserError


@pytest.fixture
def source(tmp_path):
  return simple(tmp_path / 'source', 24)


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
  'a size': (lambda s: None, {'image_size': 16}, 'image_size was None, now 16'),
  'a seed': (lambda s: None, {'seed': 1}, 'seed was 0, now 1'),
  'a label list': (lambda s: None, {'labels': 'type'}, 'labels was None, now type'),
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


@pytest.mark.parametrize('ending', ['bmp', 'ppm', 'tif', 'TIFF'])
def test_a_plain_picture_replaced_by_one_of_the_same_size(tmp_path, ending):
  rows = [(f'{i}.{ending}', 'Ann') for i in range(3)]
  source = write_collection(tmp_path / 'source', ['image', 'artist'], rows)
  build(source)
  size = (source / f'1.{ending}').stat().st_size
  draw(source / f'1.{ending}', 77)
  assert (source / f'1.{ending}').stat().st_size == size
  with pytest.raises(UserError, match=rf'1\.{ending} has changed'):
    build(source)


def test_a_hidden_table_is_watched(source):
  table = (source / 'metadata.csv').rename(source / '.labels.csv')
  build(source, metadata='.labels.csv')
  table.write_text(table.read_text().replace('Ann', 'Eva'))
  with pytest.raises(UserError, match=r'\.labels\.csv has changed'):
    build(source, metadata='.labels.csv')


def test_options_without_effect_on_the_data_are_reused(source):
  before = files(build(source))
  assert files(build(source, processes=2, max_unreadable='5')) == before


def test_a_version_without_fingerprint_is_not_trusted(source):
  path = build(source)
  (path / fingerprint.FILE).unlink()
  with pytest.raises(UserError, match=r'fingerprint\.json is missing'):
    build(source)


DAMAGE = {
  'a shard is gone': ('collection-train*', None, 'is missing'),
  'a shard is cut': ('collection-train*', 1000, 'has 1,000 bytes, 131,072 when it was written'),
  'no info': ('dataset_info.json', None, 'is missing'),
  'a cut info': ('dataset_info.json', 7, 'has 7 bytes'),
  'no features': ('features.json', None, 'is missing'),
  'cut features': ('features.json', 7, 'has 7 bytes'),
  'cut classes': ('artist.labels.txt', 5, 'has 5 bytes'),
  'a cut fingerprint': (fingerprint.FILE, 7, 'cannot be read'),
  'a fingerprint of zero bytes': (fingerprint.FILE, 0, 'cannot be read'),
}


@pytest.mark.parametrize('case', DAMAGE)
def test_a_damaged_version_is_refused_by_name_and_rebuilt_on_demand(source, case):
  pattern, size, message = DAMAGE[case]
  path = build(source)
  (file,) = path.glob(pattern)
  if size is None:
    file.unlink()
  else:
    file.write_bytes(file.read_bytes()[:size])
  with pytest.raises(UserError, match=f'is damaged: {file.name} {message}.*--overwrite') as error:
    build(source)
  assert '\n' not in str(error.value)
  assert build(source, overwrite=True) == path
  assert len(records(path)) == 24
  before = files(path)
  build(source)
  assert files(path) == before


def test_a_fingerprint_without_sizes_is_still_trusted(source):
  path = build(source)
  old = json.loads((path / fingerprint.FILE).read_text())
  del old['files']
  build_report.write_json(path / fingerprint.FILE, old)
  before = files(path)
  assert build(source) == path
  assert files(path) == before


def test_two_collections_share_a_folder_under_different_names(tmp_path, source):
  other = simple(tmp_path / 'other', 12)
  target = tmp_path / 'prepared'
  build(source)
  with pytest.raises(UserError, match='--dataset=collection/NAME'):
    build(other)
  path = command.prepare(
    'collection/other', manual_dir=other, data_dir=target, min_per_class=1, processes=1
  )
  assert path == target / 'collection' / 'other' / VERSION
  import tensorflow_datasets as tfds

  assert len(tfds.data_source('collection/other', split='all', data_dir=target)) == 12
  assert len(tfds.data_source('collection', split='all', data_dir=target)) == 24


def test_dry_run_estimates_and_writes_nothing(source, capsys):
  target = source.parent / 'prepared'
  build(source, dry_run=True)
  assert not target.exists()
  assert '24 pictures; about 0:0' in capsys.readouterr().out


def test_a_build_that_does_not_fit_is_refused(source, monkeypatch):
  usage = collections.namedtuple('usage', 'total used free')
  monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage(10**9, 10**9, 1000))
  with pytest.raises(UserError, match=r'GB free, .* GB needed; free some space'):
    build(source)
  assert not (source.parent / 'prepared').exists()


def test_data_dir_below_the_source_is_not_part_of_it(source):
  options = {'min_per_class': 1, 'processes': 1}
  inside = source / 'prepared'
  command.prepare('collection', manual_dir=source, data_dir=inside, **options)
  command.prepare('collection', manual_dir=source, data_dir=inside, **options)  # not "changed"


def test_data_dir_that_is_the_source_does_not_hide_it(source):
  options = {'min_per_class': 1, 'processes': 1}
  command.prepare('collection', manual_dir=source, data_dir=source, **options)
  command.prepare('collection', manual_dir=source, data_dir=source, **options)  # not "changed"
  edit_in_place(source)
  with pytest.raises(UserError, match=r'metadata\.csv has changed'):
    command.prepare('collection', manual_dir=source, data_dir=source, **options)


def test_data_dir_that_is_not_a_folder(source, tmp_path):
  (tmp_path / 'file').write_text('')
  (tmp_path / 'link').symlink_to(tmp_path / 'unmounted')
  for name, message in (('file', 'is a file'), ('link', 'is a link to nothing')):
    with pytest.raises(UserError, match=message):
      command.prepare('collection', manual_dir=source, data_dir=tmp_path / name)


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


def test_the_report_beside_the_data(source):
  path = build(source)
  about = build_report.read(path)
  assert about['splits'] == json.loads((path / build_report.FILE).read_text())['splits']
  assert sum(about['splits'].values()) == 24
  assert about['tasks']['type']['largest_class'] == 'coin'
