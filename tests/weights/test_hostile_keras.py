"""Keras files made to read other files, to fill memory or to never end; and damaged ones.

FLIPS=1000 pytest tests/weights/test_hostile_keras.py -k flipped
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import sources

from flaxart.weights import keras_file
from tfds_rijks.errors import UserError

FLIPS = int(os.environ.get('FLIPS', '2'))  # of each kind of file
RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(3, 3, 3, 8)).astype(np.float32)
LAYERS = [
  ('conv2d', [KERNEL, KERNEL[0, 0, 0]]),
  ('batch_normalization', [KERNEL[0, 0, 0]] * 4),
  ('dense', [KERNEL[0, 0].T]),
]
SECRET = b'root:x:0:0:' * 100


def edited(path: Path, edit: Callable[[h5py.Group, Path], None]) -> Path:
  """A Keras 3 file whose kernel, `layers/conv2d/vars/0`, is put there by `edit(group, other)`."""
  sources.write_keras3(path, LAYERS)
  other = path.with_name('other')
  other.write_bytes(SECRET)
  with h5py.File(path, 'a') as file:
    group = file['layers/conv2d/vars']
    del group['0']
    edit(group, other)
  return path


def external_storage(group: h5py.Group, other: Path) -> None:
  group.create_dataset(
    '0', KERNEL.shape, np.float32, external=[(str(other), 0, h5py.h5f.UNLIMITED)]
  )


def virtual(group: h5py.Group, other: Path) -> None:
  layout = h5py.VirtualLayout(KERNEL.shape, np.float32)
  layout[...] = h5py.VirtualSource(str(other), 'x', KERNEL.shape)
  group.create_virtual_dataset('0', layout)


def put(name: str, value: object) -> Callable[[h5py.Group, Path], None]:
  def edit(group: h5py.Group, other: Path) -> None:
    group[name] = value

  return edit


def array(*shape: int, **how: object) -> Callable[[h5py.Group, Path], None]:
  return lambda group, _: group.create_dataset('0', shape, np.float32, **how)


def reference(group: h5py.Group, other: Path) -> None:
  group['0'] = np.array([group.ref], h5py.ref_dtype)


def circle(group: h5py.Group, other: Path) -> None:
  group['0'] = group.parent


def names_by_reference(group: h5py.Group, other: Path) -> None:
  group.attrs['name'] = group.ref


def many_names(group: h5py.Group, other: Path) -> None:
  """A hundred names for one array, in the format of Keras 2."""
  group.file.attrs['layer_names'] = ['layers']
  group['0'] = np.ones(100_000, np.float32)
  group.parent.parent.attrs['weight_names'] = ['conv2d/vars/0'] * 100


def one_chunk(group: h5py.Group, other: Path) -> None:
  """A large packed array of which one chunk is there."""
  made = group.create_dataset('0', (1 << 20, 64), np.float32, chunks=(1024, 64), compression='gzip')
  made[:1024] = 1


HOSTILE = {
  'external storage': (external_storage, 'keeps an array in another file'),
  'a virtual dataset': (virtual, 'a virtual dataset'),
  'a soft link': (put('0', h5py.SoftLink('/layers/conv2d/vars/1')), '0 is a soft link'),
  'a broken soft link': (put('0', h5py.SoftLink('/none')), '0 is a soft link'),
  'an external link': (put('0', h5py.ExternalLink('other', '/x')), '0 is an external link'),
  'a reference': (reference, 'holds object, expected numbers'),
  'a circle of groups': (circle, '0 is a group, expected an array'),
  'a name by reference': (names_by_reference, 'name holds object, expected texts'),
  'a type for an array': (put('0', np.dtype('f4')), '0 is a datatype, expected an array'),
  'texts': (put('0', ['a', 'b']), 'holds object, expected numbers'),
  'nothing': (put('0', h5py.Empty('f4')), 'expected numbers'),
  'a terabyte never written': (array(1 << 20, 1 << 18), '1,099,511,627,776 bytes and holds 0'),
  'a packed terabyte': (
    array(1 << 20, 1 << 18, chunks=(1024, 1024), compression='gzip'), '1,099,511,627,776 bytes',
  ),
  'one chunk of many': (one_chunk, 'declares an array of 268,435,456 bytes and holds'),
  'packed zeros': (
    lambda g, _: g.create_dataset('0', data=np.zeros(10_000_000, 'f4'), compression='gzip'),
    'declares arrays of 40,0.* expected at most',
  ),
  'one array many times': (many_names, 'declares arrays of 40,000,000 bytes'),
}  # fmt: skip


@pytest.mark.parametrize('case', HOSTILE)
def test_what_is_not_in_the_file_is_refused(case, tmp_path):
  edit, message = HOSTILE[case]
  path = edited(tmp_path / 'a.weights.h5', edit)
  with pytest.raises(UserError, match=message) as error:
    keras_file.read_layers(path)
  assert str(path) in str(error.value) and len(str(error.value)) < 400


def archive(path: Path, *members: tuple[str, bytes], packed: int = zipfile.ZIP_STORED) -> Path:
  with zipfile.ZipFile(path, 'w', packed) as file:
    for name, content in members:
      file.writestr(name, content)
  return path


@pytest.mark.filterwarnings('ignore:Duplicate name')
def test_a_keras_archive_is_held_to_the_same(tmp_path):
  inner = edited(tmp_path / 'a.weights.h5', external_storage).read_bytes()
  member, path = 'model.weights.h5', tmp_path / 'a.keras'
  for message, members, packed in (
    ('keeps an array in another file', [(member, inner)], zipfile.ZIP_STORED),
    (r'unpacks from .* to 50,000,000 bytes, expected at most', [(member, bytes(50_000_000))],
     zipfile.ZIP_DEFLATED),
    ('with more than one model.weights.h5', [(member, inner), (member, inner)], zipfile.ZIP_STORED),
    ('without model.weights.h5', [(f'../{member}', inner)], zipfile.ZIP_STORED),
  ):  # fmt: skip
    with pytest.raises(UserError, match=message):
      keras_file.read_layers(archive(path, *members, packed=packed))
  assert not (tmp_path.parent / member).exists()


def test_a_heap_that_the_library_follows_for_ever(tmp_path, monkeypatch):
  """One bit in the size of a text in the global heap: reading the name of a layer never ended."""
  data = bytearray(sources.write_legacy(tmp_path / 'a.h5', LAYERS).read_bytes())
  data[data.index(b'dense/weight0') - 8] ^= 8  # its size comes before the text
  (tmp_path / 'a.h5').write_bytes(data)
  monkeypatch.setattr(keras_file, 'CPU_SECONDS', 2)
  with pytest.raises(UserError, match='cannot be read as Keras weights'):
    keras_file.read_layers(tmp_path / 'a.h5')


def test_reading_ends_and_the_child_is_gone(tmp_path, monkeypatch):
  """A stand-in for the child that never ends, as the library does for some damaged files."""
  path = sources.write_keras3(tmp_path / 'a.weights.h5', LAYERS)
  child = tmp_path / 'hdf5_child.py'
  monkeypatch.setattr(keras_file, 'CHILD', child)
  for program, message, cpu, other in (
    ('import time; time.sleep(60)', 'reading it does not end', 0, 1),
    ('import sys; print(\'[["a", [["<f4", [2]]]]]\'); sys.stdout.flush(); import os; os.abort()',
     'the HDF5 library ended with SIGABRT', 10, 50),
    ('print(\'[["a", [["|O", [2]]]]]\')', r'an array of \|O \[2\]', 10, 50),
    ('print("x" * 10)', 'cannot be read', 10, 50),
  ):  # fmt: skip
    child.write_text(program)
    monkeypatch.setattr(keras_file, 'CPU_SECONDS', cpu)
    monkeypatch.setattr(keras_file, 'OTHER_SECONDS', other)
    began = time.monotonic()
    with pytest.raises(UserError, match=message):
      keras_file.read_layers(path)
    assert time.monotonic() - began < 30


def test_the_child_limits_itself_and_imports_nothing_of_flaxart(tmp_path):
  path = sources.write_keras3(tmp_path / 'a.weights.h5', LAYERS)
  command = [sys.executable, '-X', 'importtime', '-P', str(keras_file.CHILD), str(path)]
  done = subprocess.run([*command, '20', str(8 << 30)], capture_output=True, check=True)
  assert b'h5py' in done.stderr and b'jax' not in done.stderr and b'flaxart' not in done.stderr
  short = subprocess.run([*command, '20', str(1 << 20)], capture_output=True, check=False)
  assert short.returncode != 0


@pytest.mark.parametrize('kind', ['a.h5', 'a.weights.h5', 'a.keras'])
def test_flipped_bits_are_read_or_refused_in_one_line(kind, tmp_path):
  write = sources.write_legacy if kind == 'a.h5' else sources.write_keras3
  whole = write(tmp_path / kind, LAYERS).read_bytes()
  path, rng = tmp_path / f'flipped_{kind}', random.Random(kind)
  for _ in range(FLIPS):
    data, at = bytearray(whole), rng.randrange(len(whole))
    data[at] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    try:
      keras_file.read_layers(path)
    except UserError as error:
      assert '\n' not in str(error) and str(path) in str(error)


def test_a_whole_file_is_read_as_before(tmp_path):
  path = sources.write_legacy(tmp_path / 'a.h5', LAYERS)
  packed = tmp_path / 'packed.h5'
  shutil.copy(path, packed)
  with h5py.File(packed, 'a') as file:
    del file['conv2d/conv2d/weight0:0']
    file['conv2d/conv2d'].create_dataset('weight0:0', data=KERNEL, compression='gzip', shuffle=True)
  for one in (path, packed):
    kinds = keras_file.read_layers(one)
    np.testing.assert_array_equal(kinds['conv'][0][1][0], KERNEL)
    assert [len(kinds[k]) for k in ('conv', 'separable', 'norm', 'dense')] == [1, 0, 1, 1]
