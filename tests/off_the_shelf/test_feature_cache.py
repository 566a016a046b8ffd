"""Stored features: read as written, never stale, never damaged, one writer at a time."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest

from flaxart.off_the_shelf import feature_cache

ROWS = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)


def some_key(**changed):
  return {'model': 'resnet50', 'dataset': 'a/b', 'split': 'val', 'trunk_sha256': 'abc'} | changed


def written(folder, key, rows):
  """Features put into the cache in two parts."""
  feature_cache.make_folder(folder)
  with feature_cache.Part(folder, key, records=len(rows), width=rows.shape[1]) as part:
    for some in np.split(rows, [2]):
      part.append(some)
    return part.finish()


def test_features_are_read_as_they_were_written(tmp_path):
  folder, key = tmp_path / 'features', some_key()
  assert feature_cache.read(folder, key) is None
  np.testing.assert_array_equal(written(folder, key, ROWS).rows, ROWS)
  found = feature_cache.read(folder, key).rows
  assert isinstance(found, np.memmap)
  np.testing.assert_array_equal(found, ROWS)
  assert feature_cache.read(folder, some_key(trunk_sha256='abd')) is None
  assert folder.stat().st_mode & 0o077 == 0
  assert sorted(p.suffix for p in folder.iterdir()) == ['.json', '.npy']


@pytest.mark.parametrize(
  'damage', ['bit', 'cut', 'empty', 'gone', 'json', 'other weights', 'other size']
)
def test_damaged_or_foreign_features_are_logged_and_removed(tmp_path, caplog, damage):
  key = some_key()
  written(tmp_path, key, ROWS)
  data = tmp_path / f'{feature_cache.stem(key)}.npy'
  about, content = data.with_suffix('.json'), bytearray(data.read_bytes())
  if damage == 'bit':
    content[-3] ^= 1
    data.write_bytes(content)
  elif damage == 'cut':
    data.write_bytes(content[:-4])
  elif damage == 'empty':
    data.write_bytes(b'')
  elif damage == 'gone':
    data.unlink()
  elif damage == 'json':
    about.write_text('{"key": ')
  else:  # features of something else under this name
    changed = {'trunk_sha256': 'xyz'} if damage == 'other weights' else {'image_size': 96}
    entry = json.loads(about.read_text())
    about.write_text(json.dumps(entry | {'key': key | changed}))
  assert feature_cache.read(tmp_path, key) is None
  line = {
    'bit': 'content changed',
    'cut': 'cannot be read',
    'empty': 'cannot be read',
    'gone': 'cannot be read',
    'json': 'cannot be read',
    'other size': "something else (image_size was '96', now",
    'other weights': "cached features of other weights (trunk_sha256 was 'xyz', now 'abc')",
  }[damage]
  assert line in caplog.text and 'extracted again' in caplog.text
  assert not about.exists() and not data.exists()


def test_a_damaged_part_is_started_again(tmp_path):
  key = some_key()
  with feature_cache.Part(tmp_path, key, records=5, width=7) as part:
    part.append(ROWS[:3])
  content = bytearray(part.data.read_bytes())
  with feature_cache.Part(tmp_path, key, records=5, width=7) as part:
    assert part.done == 3
  content[-1] ^= 1
  part.data.write_bytes(content)
  with feature_cache.Part(tmp_path, key, records=5, width=7) as part:
    assert part.done == 0
    part.append(ROWS)
    part.finish()
  np.testing.assert_array_equal(feature_cache.read(tmp_path, key).rows, ROWS)


def test_a_second_run_waits_for_the_first(tmp_path, caplog):
  caplog.set_level('INFO')
  entered, key = [], some_key()

  def second():
    with feature_cache.locked(tmp_path, key):
      entered.append(True)

  with feature_cache.locked(tmp_path, key):
    thread = threading.Thread(target=second)
    thread.start()
    thread.join(timeout=0.3)
    assert not entered
  thread.join(timeout=10)
  assert entered and 'another process is extracting' in caplog.text
