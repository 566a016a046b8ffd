"""A folder of pictures from outside: nothing hangs, fills the memory, or leads out of it."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from flaxart.prediction import pictures
from flaxart.prediction.pictures import find_pictures, read_pictures
from tfds_rijks import images, picture_file
from tfds_rijks.budget import Budget
from tfds_rijks.errors import ImageError, UserError
from tfds_rijks.images import encode_jpeg
from tfds_rijks.listing import walk
from tfds_rijks.passed_over import reason

JPEG = encode_jpeg(np.zeros((24, 24, 3), np.uint8))
NET = SimpleNamespace(image_size=8, square=lambda data, name: data)


def bind(path: Path) -> None:
  with socket.socket(socket.AF_UNIX) as server:
    here = Path.cwd()
    os.chdir(path.parent)  # names of sockets are short
    server.bind(path.name)
    os.chdir(here)


def link(target):
  return lambda path: path.symlink_to(target)


ODD = [
  ('a pipe', os.mkfifo, 'not a regular file'),
  ('a socket', bind, 'not a regular file'),
  ('a device', link('/dev/zero'), 'a link out of the folder'),
  ('a link out', link('/etc/passwd'), 'a link out of the folder'),
  ('a folder beside', link('../outside'), 'a link out of the folder'),
  ('a picture beside', link('../outside/x.jpg'), 'a link out of the folder'),
  ('a link to nothing', link('gone.jpg'), 'not a regular file'),
  ('a link to itself', lambda path: path.symlink_to(path.name), 'cannot be opened: Too many'),
  ('a picture inside', link('good.jpg'), ''),
  ('a folder inside', link('.'), None),
]


@pytest.fixture
def folder(tmp_path):
  (tmp_path / 'outside').mkdir()
  (tmp_path / 'outside' / 'x.jpg').write_bytes(JPEG)
  (tmp_path / 'in').mkdir()
  (tmp_path / 'in' / 'good.jpg').write_bytes(JPEG)
  return tmp_path / 'in'


@pytest.mark.timeout(20)
@pytest.mark.parametrize('suffix', ['.jpg', '.txt'])
@pytest.mark.parametrize(('make', 'why'), [case[1:] for case in ODD], ids=[case[0] for case in ODD])
def test_only_files_of_the_folder_are_opened(folder, suffix, make, why):
  odd = folder / f'odd{suffix}'
  make(odd)
  paths, others = find_pictures(folder)
  if why is None:
    assert (paths, others) == (['good.jpg'], {})
  elif why or suffix == '.txt':
    assert paths == ['good.jpg'] and list(others) == [odd.name]
    assert others[odd.name].startswith(why)
  else:
    assert paths == ['good.jpg', odd.name]
  # As if it had been exchanged after the folder was read.
  ((_, read),) = read_pictures(NET, folder, [odd.name])
  if why:
    assert isinstance(read, str) and reason(odd.with_suffix('.txt'), within=folder)
  if why is None:
    assert read == 'not a regular file'
  assert all(path.is_file() for path in walk(folder))


@pytest.mark.timeout(20)
def test_a_table_of_prepare_may_name_a_device(tmp_path):
  (tmp_path / 'zero.png').symlink_to('/dev/zero')
  with pytest.raises(ImageError, match='not a regular file'):
    picture_file.load(tmp_path / 'zero.png', name='zero.png')


def test_a_file_may_be_too_large_or_grow(folder, monkeypatch):
  with (folder / 'large.jpg').open('wb') as file:
    file.truncate((1 << 30) + 1)
  assert [read for _, read in read_pictures(NET, folder, ['large.jpg'])] == ['file too large']
  stat = os.fstat
  monkeypatch.setattr(
    picture_file.os, 'fstat', lambda handle: os.stat_result((*stat(handle)[:6], 10, 0, 0, 0))
  )
  assert [read for _, read in read_pictures(NET, folder, ['good.jpg'])] == [
    'changed while it was read'
  ]


@pytest.mark.parametrize('at', ['sub', ''])
def test_a_folder_that_changes_while_it_is_read(folder, monkeypatch, at):
  (folder / 'sub').mkdir()
  (folder / 'sub' / 'x.jpg').write_bytes(JPEG)
  scandir = os.scandir

  def scan(path):
    if Path(path) == folder / at:
      Path(path).rename(folder.with_name('gone'))
    return scandir(path)

  monkeypatch.setattr(os, 'scandir', scan)
  if at:
    assert find_pictures(folder) == (['good.jpg'], {'sub': 'vanished while the folder was read'})
  else:
    with pytest.raises(UserError, match='has no picture'):
      find_pictures(folder)


def test_prepare_refuses_a_folder_that_vanishes(folder, monkeypatch):
  (folder / 'sub').mkdir()
  scandir = os.scandir

  def scan(path):
    if Path(path).name == 'sub':
      (folder / 'sub').rmdir()
    return scandir(path)

  monkeypatch.setattr(os, 'scandir', scan)
  with pytest.raises(UserError, match='sub: vanished while the folder was read; try again'):
    list(walk(folder))


def png(side: int) -> bytes:
  """A PNG that declares many pixels."""
  parts = b'IHDR' + struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0), b'IDAT', b'IEND'
  chunks = (struct.pack('>I', len(p) - 4) + p + struct.pack('>I', zlib.crc32(p)) for p in parts)
  return b'\x89PNG\r\n\x1a\n' + b''.join(chunks)


@pytest.mark.parametrize(('side', 'together'), [(9_900, 1), (4_500, 4), (900, 12)])
def test_large_pictures_are_decoded_one_after_the_other(folder, monkeypatch, side, together):
  monkeypatch.setattr(pictures.os, 'cpu_count', lambda: 12)
  names = [f'{i}.png' for i in range(12)]
  for name in names:
    (folder / name).write_bytes(png(side))
  lock, active, most = threading.Lock(), [], []

  def square(data, *, name):
    with lock:
      active.append(name)
      most.append(len(active))
    time.sleep(0.05)
    with lock:
      active.remove(name)
    return data

  list(read_pictures(SimpleNamespace(image_size=224, square=square), folder, names))
  assert max(most) <= together and len(most) == 12
  assert together == 1 or max(most) > 1


def test_decoding_takes_what_the_header_declares():
  noise = np.random.default_rng(0).integers(0, 256, (800, 1200, 3), np.uint8)
  pixels, plain = 800 * 1200, encode_jpeg(noise)
  declared = lambda data, side: images.decoding_bytes(data, name='x', short_side=side)  # noqa: E731
  assert declared(plain, None) == images.BYTES_PER_PIXEL * pixels
  assert declared(plain, 100) == images.BYTES_PER_PIXEL * pixels // 64  # scaled
  assert declared(png(5_000), 100) == images.BYTES_PER_PIXEL * 5_000**2
  assert declared(plain[:100], 100) == declared(b'', 100) == declared(b'GIF89a', 100) == 0


def test_a_budget_is_given_back_whatever_happens():
  budget = Budget(10)
  for _ in range(3):
    with pytest.raises(ValueError, match='x'), budget.hold(7):
      raise ValueError('x')
  with budget.hold(25), budget.hold(0):  # more than there is: alone
    pass
