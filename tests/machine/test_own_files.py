"""Caches, locks and temporary files: never through a link, and cleared after a killed process."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

from flaxart.machine import own_arrays
from flaxart.machine.files import write_text
from flaxart.machine.locks import WorkdirLock, holder, in_turn
from flaxart.off_the_shelf import feature_cache
from flaxart.weights import download
from tfds_rijks import own_files
from tfds_rijks.errors import UserError

ROWS = np.arange(35, dtype=np.float32).reshape(5, 7)
KEY = {'model': 'm', 'dataset': 'd', 'split': 'train'}


@pytest.fixture
def victim(tmp_path):
  """A file of somebody else, which links lead to."""
  file = tmp_path / 'victim'
  file.write_text('theirs')
  return file


@pytest.mark.timeout(20)
@pytest.mark.parametrize('make', [lambda path, victim: path.symlink_to(victim), None])
@pytest.mark.parametrize(
  'use',
  [
    lambda path: in_turn(path, 'x').__enter__(),
    lambda path: WorkdirLock(path.parent).__enter__(),
    lambda path: os.close(own_files.open_own(path, os.O_RDONLY)),
    lambda path: own_arrays.mapped(path),
  ],
)
def test_what_is_not_a_file_of_ours_is_refused(tmp_path, victim, make, use):
  path = tmp_path / 'work' / '.lock'
  path.parent.mkdir()
  make(path, victim) if make else os.mkfifo(path)
  with pytest.raises(UserError, match=r'\.lock: is (a link|not a regular file).*remove it'):
    use(path)
  assert victim.read_text() == 'theirs'


def test_a_lock_behind_a_link_has_no_holder(tmp_path, victim):
  (tmp_path / '.lock').symlink_to(victim)
  with pytest.raises(UserError, match='is a link'):
    holder(tmp_path)


def test_a_temporary_file_has_an_unknown_name_and_replaces_links(tmp_path, victim):
  (tmp_path / 'a.json').symlink_to(victim)
  names = set()
  for _ in range(3):
    with own_files.temporary(tmp_path / 'a.json') as (handle, new):
      os.write(handle, b'x')
      names.add(new.name)
    assert not new.exists()
  assert len(names) == 3
  write_text(tmp_path / 'a.json', 'ours')
  assert (victim.read_text(), (tmp_path / 'a.json').read_text()) == ('theirs', 'ours')
  assert sorted(path.name for path in tmp_path.iterdir()) == ['a.json', 'victim']


def test_what_a_killed_process_left_is_cleared_and_said(tmp_path, caplog):
  target = tmp_path / 'a.json'
  killed = f"""
import os, signal
from pathlib import Path
from tfds_rijks import own_files
with own_files.temporary(Path({str(target)!r})):
  os.kill(os.getpid(), signal.SIGKILL)
"""
  subprocess.run([sys.executable, '-c', killed], check=False)
  (left,) = tmp_path.iterdir()
  elsewhere = left.with_name(left.name.replace('.json.', '.json.0'))  # another machine's
  elsewhere.touch()
  other = left.with_name(left.name.replace('.a.json', '.b.json'))
  other.touch()
  with own_files.temporary(target) as (_, mine):
    caplog.set_level('INFO', 'flaxart')
    write_text(target, 'x')
    assert mine.exists() and elsewhere.exists() and other.exists()
  assert not left.exists() and f'{left}: left by a process that was killed' in caplog.text


@pytest.mark.parametrize('kind', ['data', 'about'])
def test_features_behind_a_link_are_extracted_again(tmp_path, victim, caplog, kind):
  folder = tmp_path / 'features'
  folder.mkdir()
  with feature_cache.Part(folder, KEY, records=5, width=7) as part:
    part.append(ROWS)
    part.finish()
  file = folder / f'{feature_cache.stem(KEY)}{".npy" if kind == "data" else ".json"}'
  file.rename(tmp_path / 'moved')
  file.symlink_to(tmp_path / 'moved')
  assert feature_cache.read(folder, KEY) is None
  assert 'is a link' in caplog.text and not file.is_symlink() and (tmp_path / 'moved').exists()


def test_a_part_of_features_is_found_again_but_not_through_a_link(tmp_path, victim):
  folder = tmp_path / 'features'
  folder.mkdir()
  names = set()
  for done in (0, 2, 0):
    with feature_cache.Part(folder, KEY, records=5, width=7) as part:
      assert part.done == done
      part.append(ROWS[:2])
    names.add(part.data.name)
    if done:
      part.data.rename(tmp_path / 'moved')
      part.data.symlink_to(tmp_path / 'moved')
  assert len(names) == 2  # a new one has a new name
  assert (tmp_path / 'moved').stat().st_size > 100


@pytest.mark.parametrize('kind', ['link', 'hard link'])
def test_a_download_is_not_continued_in_a_file_of_others(tmp_path, victim, monkeypatch, kind):
  planted = tmp_path / '.w.h5.0000.part'
  planted.symlink_to(victim) if kind == 'link' else planted.hardlink_to(victim)
  replies = iter([b'official', b''])
  response = nullcontext(SimpleNamespace(status=200, read=lambda n: next(replies)))
  monkeypatch.setattr(download.urllib.request, 'urlopen', lambda request, timeout: response)
  official = SimpleNamespace(name='w.h5', url='https://x/w.h5', size=8)
  part = download._part(tmp_path / 'w.h5')
  download._receive(official, part, timeout_s=1)
  assert (victim.read_text(), part.read_text()) == ('theirs', 'official')
  assert download._part(tmp_path / 'w.h5') == part  # which is continued
