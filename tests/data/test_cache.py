"""Pictures decoded beforehand train the same network, and are never stale or incomplete."""

from __future__ import annotations

import os
import re
import shutil
from io import BytesIO
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trainer import set_steps, stored, untimed_lines

from flaxart.data import cache, decoded
from flaxart.data.cache import choose, on_device
from flaxart.data.decoded import path_of, with_decoded
from flaxart.data.source import open_dataset
from flaxart.machine.sharding import create_mesh
from flaxart.machine.target import use_target
from flaxart.train import train_and_evaluate
from tfds_rijks import own_files
from tfds_rijks.errors import UserError
from tfds_rijks.images import Square

SQUARE = Square(32, 'squash')


def opened(tiny):
  return open_dataset('collection', data_dir=tiny.data.data_dir, tasks=['artist'])


@pytest.mark.parametrize('parallelism', ['jit', 'shard_map'])
def test_every_cache_trains_the_same_network(tiny, tmp_path, parallelism):
  tiny.augment.flip, tiny.parallelism = True, parallelism
  tiny.data.cache_dir = str(tmp_path / 'decoded')
  set_steps(tiny, 12)  # over an epoch's end
  found = {}
  for place in ('none', 'host', 'device'):
    tiny.data.cache = place
    train_and_evaluate(tiny, tmp_path / place)
    state = stored(tmp_path / place, 12)
    found[place] = state, untimed_lines(tmp_path / place)
  for place in ('host', 'device'):
    jax.tree.map(np.testing.assert_array_equal, found[place][0], found['none'][0])
    assert found[place][1] == found['none'][1]
  assert len(list((tmp_path / 'decoded').glob('*.npy'))) == 2  # train and val, by both runs


@pytest.mark.parametrize('size', [16, 30])
def test_no_batch_is_gathered_from_pictures_of_three_channels(size):
  pictures = np.random.default_rng(0).integers(0, 256, (9, size, size, 3), np.uint8)
  add, record = on_device(pictures, mesh=create_mesh()), jnp.array([3, 0, 8])
  np.testing.assert_array_equal(add({'record': record})['image'], pictures[[3, 0, 8]])
  program = jax.jit(add).lower({'record': record}).as_text()
  (width,) = re.findall(r'stablehlo\.gather".* : \(tensor<9x\d+x(\d+)xui8>', program)
  assert int(width) == {16: 128, 30: 90}[size]


def test_decoded_pictures_are_reused(tiny, tmp_path, monkeypatch):
  dataset = opened(tiny)
  split = dataset.split('train')
  first = with_decoded(split, tmp_path, dataset, SQUARE)
  monkeypatch.setattr(decoded, 'eval_batches', None)
  again = with_decoded(split, tmp_path, dataset, SQUARE)
  np.testing.assert_array_equal(first.decoded, again.decoded)
  assert not first.decoded.flags.writeable


def test_other_pictures_have_another_file(tiny, tmp_path):
  dataset = opened(tiny)
  split = dataset.split('train')
  paths = [
    path_of(tmp_path, dataset, split, SQUARE),
    path_of(tmp_path, dataset, split, Square(48, 'squash')),
    path_of(tmp_path, dataset, split, Square(32, 'pad')),
    path_of(tmp_path, dataset, dataset.split('val'), SQUARE),
  ]
  shutil.copytree(dataset.path, tmp_path / 'copy')
  info = tmp_path / 'copy' / 'dataset_info.json'
  info.write_text(info.read_text() + ' ')
  other = SimpleNamespace(name=dataset.name, version=dataset.version, path=tmp_path / 'copy')
  paths.append(path_of(tmp_path, other, split, SQUARE))
  assert len(set(paths)) == 5


def test_pictures_resized_by_another_library_have_another_file(tiny, tmp_path, resize):
  dataset = opened(tiny)
  path = path_of(tmp_path, dataset, dataset.split('train'), Square(32, 'squash', resize))
  same = path == path_of(tmp_path, dataset, dataset.split('train'), SQUARE)
  assert same == (resize == 'pillow')


def test_interrupted_decoding_leaves_nothing(tiny, tmp_path, monkeypatch):
  dataset = opened(tiny)
  split = dataset.split('train')

  def stopped(*args, eval_batches=decoded.eval_batches, **kwargs):
    yield next(eval_batches(*args, **kwargs))
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(decoded, 'eval_batches', stopped)
    with pytest.raises(KeyboardInterrupt):
      with_decoded(split, tmp_path, dataset, SQUARE)
  assert [path.suffix for path in tmp_path.iterdir()] == ['.lock']
  assert with_decoded(split, tmp_path, dataset, SQUARE).decoded[-1].any()


def test_a_damaged_file_is_decoded_again(tiny, tmp_path, caplog):
  dataset = opened(tiny)
  split = dataset.split('train')
  path = path_of(tmp_path, dataset, split, SQUARE)
  whole = with_decoded(split, tmp_path, dataset, SQUARE).decoded.copy()
  content = path.read_bytes()
  with BytesIO() as other:
    np.save(other, np.zeros((3, 32, 32, 3), np.uint8))
    short = other.getvalue()
  for damaged, found in (
    (content[:-1], 'mmap length is greater'),
    (content[:50], 'EOF'),
    (b'', 'No data left'),
    (short, r'uint8 \[3, 32, 32, 3\], expected uint8 \[128, 32, 32, 3\]'),
  ):
    caplog.clear()
    path.write_bytes(damaged)
    again = with_decoded(split, tmp_path, dataset, SQUARE)
    np.testing.assert_array_equal(again.decoded, whole)
    assert re.search(f'is damaged .*{found}.*: decoding again', caplog.text)


@pytest.mark.parametrize('change', ['bit', 'no sum', 'link', 'sum is a link'])
def test_pictures_that_changed_or_lie_elsewhere_are_decoded_again(tiny, tmp_path, caplog, change):
  dataset = opened(tiny)
  split, folder = dataset.split('train'), tmp_path / 'cache'
  path = path_of(folder, dataset, split, SQUARE)
  whole = with_decoded(split, folder, dataset, SQUARE).decoded.copy()
  checksum = path.with_suffix('.sha256')
  if change == 'bit':
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
  elif change == 'no sum':
    checksum.unlink()
  else:
    file = path if change == 'link' else checksum
    file.rename(tmp_path / 'elsewhere')
    file.symlink_to(tmp_path / 'elsewhere')
  again = with_decoded(split, folder, dataset, SQUARE)
  np.testing.assert_array_equal(again.decoded, whole)
  assert 'is damaged' in caplog.text and not path.is_symlink() and not checksum.is_symlink()
  assert sorted(one.suffix for one in folder.iterdir()) == ['.lock', '.npy', '.sha256']


def test_what_a_killed_run_was_decoding_is_cleared(tiny, tmp_path, caplog):
  dataset = opened(tiny)
  path = path_of(tmp_path, dataset, dataset.split('val'), SQUARE)
  with own_files.temporary(path) as (_, mine):
    left = mine.with_name(mine.name.replace(f'.{os.getpid()}.', '.4194305.'))  # above all pids
    left.touch()
  caplog.set_level('INFO', 'flaxart')
  with_decoded(dataset.split('val'), tmp_path, dataset, SQUARE)
  assert not left.exists() and f'{left}: left by a process that was killed' in caplog.text


def test_an_unusable_cache_is_one_line(tiny, tmp_path, monkeypatch):
  dataset = opened(tiny)
  split = dataset.split('train')
  (tmp_path / 'file').touch()
  with pytest.raises(UserError, match=r'config.data.cache_dir: .*cannot be used'):
    with_decoded(split, tmp_path / 'file' / 'x', dataset, SQUARE)
  free = SimpleNamespace(free=50_000_000)
  monkeypatch.setattr('flaxart.data.decoded.shutil.disk_usage', lambda path: free)
  with pytest.raises(UserError, match=r'has 0.05 GB free, the decoded pictures of train need 0.00'):
    with_decoded(split, tmp_path, dataset, SQUARE)


GB = 10**9


@pytest.mark.parametrize(
  ('wanted', 'target', 'host', 'device', 'place'),
  [
    ('none', 'gpu', 100, 100, 'none'),
    ('host', 'gpu', 22.1, 0, 'host'),
    ('host', 'gpu', 21.9, 100, 'none'),  # more than half
    ('device', 'gpu', 100, 20.1, 'device'),
    ('device', 'gpu', 100, 19.9, 'host'),
    ('device', 'gpu', 21.9, 100, 'none'),  # it passes through the host
    ('device', 'gpu', None, None, 'device'),
    ('auto', 'gpu', 100, 100, 'device'),
    ('auto', 'tpu', 100, 1, 'host'),
    ('auto', 'gpu', 1, 1, 'none'),
    ('auto', 'cpu', 100, 100, 'none'),
    ('device', 'cpu', 100, 100, 'device'),
  ],
)
def test_never_more_than_half_of_the_free_memory(wanted, target, host, device, place):
  in_bytes = lambda n: None if n is None else n * GB  # noqa: E731
  with use_target(target):
    found, why = choose(
      wanted,
      all_bytes=11 * GB,
      train_bytes=10 * GB,
      host_free=in_bytes(host),
      device_free=in_bytes(device),
    )
  assert found == place and why


def test_free_memory_is_what_the_system_says():
  assert 10**8 < cache.host_free() < 10**14 and cache.device_free() > 10**8
