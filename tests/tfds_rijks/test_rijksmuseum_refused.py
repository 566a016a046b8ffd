"""What the builder refuses: one line, and nothing half-written stays."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from museum_copy import copy

import tfds_rijks  # noqa: F401  # registers the builders
from tfds_rijks.errors import UserError
from tfds_rijks.prepare import prepare
from tfds_rijks.rijksmuseum.synthetic import draw_museum

OBJECTS = 300


@pytest.fixture(scope='module')
def museum(tmp_path_factory) -> Path:
  return draw_museum(tmp_path_factory.mktemp('museum') / 'source', objects=OBJECTS, seed=1)


def refused(museum: Path, data_dir: Path, message: str, config: str = 'full', **options) -> None:
  with pytest.raises(UserError, match=message) as error:
    prepare(f'rijksmuseum/{config}', manual_dir=museum, data_dir=data_dir, processes=1, **options)
  assert '\n' not in str(error.value)
  assert not list(data_dir.rglob('*.array_record*'))
  assert not list(data_dir.rglob('.staging'))


def test_a_missing_picture_is_refused_by_count_not_shifted(museum, tmp_path):
  source = copy(museum, tmp_path / 'source')
  shutil.copy(museum / 'rijksgt.mat', source)
  refused(source, tmp_path / 'data', f'{OBJECTS} rows, but 40 different stems', 'challenge2014')


def test_no_ground_truth(museum, tmp_path):
  refused(copy(museum, tmp_path / 'source'), tmp_path / 'data', r'no rijksgt\.mat', 'challenge2014')


def test_too_many_unreadable(museum, tmp_path):
  source = copy(museum, tmp_path / 'source')
  for path in sorted((source / 'jpg2').iterdir())[:25]:
    path.write_bytes(b'')
  refused(source, tmp_path / 'data', r'25 of \d+ pictures are unreadable')


def test_nothing_left(museum, tmp_path):
  source = copy(museum, tmp_path / 'source')
  for path in (source / 'xml2').iterdir():
    path.write_text('<record><dc:title>x</dc:title></record>')
  refused(source, tmp_path / 'data', 'no object is left by its rule', 'multitask')


@pytest.mark.parametrize(
  ('config', 'options', 'message'),
  [
    ('multitaks', {}, 'no such config'),
    ('', {}, 'a config is missing'),
    ('balanced30_artist_s9', {}, 'no such config'),
    ('multitask', {'image_size': 2}, 'expected 16 to 10000'),
    ('multitask_320px', {'image_size': 64}, 'the name has image_size=320'),
    ('multitask', {'attribution': 'loose'}, 'expected as_published or strict'),
    ('challenge2014', {'seed': 3}, 'does not take this seed'),
    ('multitask', {'seed': -1}, 'does not take this seed'),
    ('multitask', {'objects_file': 'nowhere.csv'}, 'No such file'),
  ],
)
def test_bad_options(museum, tmp_path, config, options, message):
  refused(museum, tmp_path, message, config, **options)


def test_list_of_unknown_stems(museum, tmp_path):
  (tmp_path / 'list.csv').write_text('stem\n1_nobody\n')
  refused(museum, tmp_path / 'data', 'none of its 1 stems', objects_file=tmp_path / 'list.csv')


@pytest.mark.skipif(sys.platform != 'linux', reason='needs a place where even root may not write')
def test_no_rights_to_write(museum):
  command = [sys.executable, '-m', 'tfds_rijks.prepare', '--dataset=rijksmuseum/full']
  done = subprocess.run(
    [*command, f'--manual_dir={museum}', '--data_dir=/sys/flaxart'],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 2
  assert done.stderr.splitlines()[-1].startswith('error: /sys/flaxart')
  assert 'Traceback' not in done.stderr


def test_disk_full_while_writing_leaves_nothing(museum, tmp_path, monkeypatch):
  from tfds_rijks.rijksmuseum import rijksmuseum_dataset_builder as module

  def full(*_: object) -> None:
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(module, 'write_json', full)
  with pytest.raises(OSError, match='No space left'):
    prepare(
      'rijksmuseum/full',
      manual_dir=copy(museum, tmp_path / 's'),
      data_dir=tmp_path / 'data',
      processes=1,
    )
  assert not [
    path for path in (tmp_path / 'data').rglob('*') if path.is_file() and path.name != '.lock'
  ]
