"""The converted file: round trip, damage, and other files."""

from __future__ import annotations

import dataclasses
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from flaxart.models.preprocess import caffe
from flaxart.weights import file
from flaxart.weights.load import load_trunk, read_trunk
from tfds_rijks.errors import UserError


def weights(**tensors: np.ndarray) -> file.Weights:
  tensors = tensors or {'stem': np.arange(12, dtype=np.float32).reshape(3, 4)}
  return file.Weights(
    'resnet50',
    'keras',
    'keras',
    'r.h5',
    'ab' * 32,
    caffe(),
    'MIT',
    'He et al.',
    {name.replace('__', '/'): t for name, t in tensors.items()},
  )


def test_round_trip_with_all_metadata(tmp_path):
  path = tmp_path / 'new' / 'w.safetensors'
  original = weights(stem=np.float32([1, 2]), top__predictions__kernel=np.ones((2, 3), np.float32))
  file.write(original, path)
  read = file.read(path)
  assert {
    f.name: getattr(read, f.name) for f in dataclasses.fields(read) if f.name != 'tensors'
  } == {f.name: getattr(original, f.name) for f in dataclasses.fields(read) if f.name != 'tensors'}
  assert set(read.trunk) == {'stem'} and set(read.top) == {'predictions/kernel'}
  np.testing.assert_array_equal(read.tensors['stem'], [1, 2])
  assert read.about['sha256'] == original.about['sha256']
  assert {'licence', 'citation', 'preprocess', 'source_sha256'} <= set(read.about)
  assert [p.name for p in path.parent.iterdir()] == ['w.safetensors']  # no temporary file is left


def test_hash_depends_on_names_shapes_and_numbers():
  base = {'a': np.zeros((2, 3), np.float32), 'b': np.ones(2, np.float32)}
  variations = [
    {'a': base['a'], 'c': base['b']},
    {**base, 'a': base['a'].reshape(3, 2)},
    {**base, 'b': np.float32([1, 1.0000001])},
    {**base, 'b': np.ones(2, np.float64)},
  ]
  hashes = {file.sha256_of_tensors(t) for t in (base, *variations)}
  assert len(hashes) == 5
  assert file.sha256_of_tensors(dict(reversed(base.items()))) == file.sha256_of_tensors(base)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
  path = tmp_path / 'w.safetensors'
  file.write(weights(), path)
  before = path.read_bytes()

  def full(*_args, **_kwargs):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr('os.fsync', full)
  with pytest.raises(OSError, match='No space left'):
    file.write(weights(stem=np.zeros(3, np.float32)), path)
  assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_one_flipped_bit_is_noticed(tmp_path):
  path = tmp_path / 'w.safetensors'
  file.write(weights(), path)
  data = bytearray(path.read_bytes())
  data[-3] ^= 1
  path.write_bytes(data)
  with pytest.raises(UserError, match='it is damaged'):
    load_trunk(path)


def damaged(tmp_path, change) -> str:
  path = tmp_path / 'w.safetensors'
  file.write(weights(), path)
  path.write_bytes(change(path.read_bytes()))
  with pytest.raises(UserError) as error:
    file.read(path)
  assert '\n' not in str(error.value) and str(path) in str(error.value)
  return str(error.value)


def test_damaged_files_are_refused_in_one_line(tmp_path):
  assert 'is damaged or incomplete' in damaged(tmp_path, lambda b: b[:-5])
  assert 'is damaged or incomplete' in damaged(tmp_path, lambda b: b[:200])
  assert 'not a safetensors file' in damaged(tmp_path, lambda b: b'')
  assert 'not a safetensors file' in damaged(tmp_path, lambda b: b'\x89HDF\r\n\x1a\n' + bytes(200))
  absurd = struct.pack('<Q', 1 << 60)
  assert 'header of 1,152,921,504,606,846,976 bytes' in damaged(tmp_path, lambda b: absurd + b[8:])
  assert 'cannot be read as safe' in damaged(tmp_path, lambda b: b[:8] + b'{nonsense' + b[17:])


def test_other_safetensors_and_missing_files_are_refused(tmp_path):
  path = tmp_path / 'other.safetensors'
  file.safetensors.numpy.save_file({'a': np.zeros(3)}, path)
  with pytest.raises(UserError, match=r'not a converted weights file \(format None'):
    file.read(path)
  with pytest.raises(UserError, match='no such file'):
    file.read(tmp_path / 'none.safetensors')
  with pytest.raises(UserError, match='is a folder'):
    file.read(tmp_path)


def test_the_difference_names_both_sides(tmp_path):
  expected = {'a': (2,), 'b': (3, 4), 'c': (5,)}
  found = {
    'b': np.zeros((4, 3), np.float32),
    'c': np.zeros(5, np.float16),
    'd': np.zeros(1, np.float32),
  }
  with pytest.raises(UserError) as error:
    file.check_names('x', expected=expected, found=found)
  text = str(error.value)
  assert text.startswith('x: 1 missing, 1 unused, 2 different: - a (2,); + d (1,)')
  assert '! b float32 (4, 3), expected float32 (3, 4)' in text
  assert '! c float16 (5,), expected float32 (5,)' in text
  file.check_names('x', expected={'a': (2,)}, found={'a': np.zeros(2, np.float32)})


def test_a_file_that_does_not_fill_its_network_is_refused(tmp_path):
  path = tmp_path / 'w.safetensors'
  file.write(weights(), path)
  for load in (load_trunk, lambda p: read_trunk(p, model='resnet50')):
    with pytest.raises(UserError, match=r'missing, 1 unused: - stage1/block1/conv1/bias \(64,\)'):
      load(path)
  with pytest.raises(UserError, match=r'holds resnet50 \(keras\), expected vgg19'):
    read_trunk(path, model='vgg19')


def test_preprocessing_in_the_file_must_be_readable(tmp_path):
  path = tmp_path / 'w.safetensors'
  original = weights()
  about = {**original.about, 'preprocess': json.dumps({'size': 3})}
  about[file.SEAL] = file.sha256_of_metadata(about)
  file.safetensors.numpy.save_file(original.tensors, path, metadata=about)
  with pytest.raises(UserError, match='preprocess: found'):
    file.read(path)


def with_metadata(path, **changes: str) -> Path:
  """A converted file whose header was edited; None removes a field."""
  file.write(weights(), path)
  metadata, tensors = file.read_safetensors(path)
  kept = {k: v for k, v in (metadata | changes).items() if v is not None}
  file.safetensors.numpy.save_file(tensors, path, metadata=kept)
  return path


@pytest.mark.parametrize('field', [*file._FIELDS, file.SEAL])
def test_a_change_of_any_field_is_noticed(field, tmp_path):
  path = with_metadata(tmp_path / 'w.safetensors')
  was = file.read_metadata(path)[field]
  assert file.read(path).licence == 'MIT'
  now = was.replace('123.68', '923.68') if field == 'preprocess' else was[:-1] + 'x'
  assert now != was
  with pytest.raises(UserError, match=r'have SHA-256|not a converted'):
    file.read(with_metadata(path, **{field: now}))


def test_the_seal_is_not_lost_by_taking_it_off(tmp_path, caplog):
  path = tmp_path / 'w.safetensors'
  with pytest.raises(UserError, match='metadata lacks metadata_sha256'):
    file.read(with_metadata(path, metadata_sha256=None))
  with pytest.raises(UserError, match='has metadata_sha256, which flaxart-weights-1 does not have'):
    file.read(with_metadata(path, format=file.UNSEALED))
  earlier = with_metadata(path, format=file.UNSEALED, metadata_sha256=None)
  assert file.read(earlier).source == 'keras' and 'was converted by an earlier' in caplog.text
  assert not file.is_sealed(earlier)


def raw(path, header: str, data: bytes = bytes(8)) -> Path:
  path.write_bytes(struct.pack('<Q', len(header)) + header.encode() + data)
  return path


TENSOR = '{"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}'
HEADERS = {
  'a name twice': (f'{{"a": {TENSOR}, "a": {TENSOR}}}', "the name 'a' occurs twice"),
  'metadata twice': ('{"__metadata__": {"a": "1", "a": "2"}}', "the name 'a' occurs twice"),
  'metadata of numbers': ('{"__metadata__": {"a": 1}}', 'metadata other than texts'),
  'deep nesting': ('{"a":' + '[' * 100_000, 'nested deeper'),
  'NaN': ('{"a": NaN}', 'NaN is not JSON'),
  'a list': ('{' + ' ' * 7, 'cannot be read as safetensors'),
  'an unknown dtype': (f'{{"a": {TENSOR.replace("F32", "F33")}}}', 'cannot be read as safetensors'),
  'a dtype beyond NumPy': (
    '{"a": {"dtype": "F8_E5M2", "shape": [8], "data_offsets": [0, 8]}}', 'holds F8_E5M2, which',
  ),
  'offsets beyond the file': (f'{{"a": {TENSOR.replace("8]", "16]")}}}', 'cannot be read as'),
  'offsets backwards': (f'{{"a": {TENSOR.replace("0, 8", "8, 0")}}}', 'cannot be read as'),
  'overlap': (f'{{"a": {TENSOR}, "b": {TENSOR}}}', 'cannot be read as safetensors'),
  'a hole': ('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}', 'cannot be read as'),
  'another shape': (f'{{"a": {TENSOR.replace("[2]", "[3]")}}}', 'cannot be read as safetensors'),
  'a huge shape': (f'{{"a": {TENSOR.replace("[2]", "[4294967296, 4294967298]")}}}', 'cannot be'),
  'a negative shape': (f'{{"a": {TENSOR.replace("[2]", "[-2]")}}}', 'cannot be read as'),
}  # fmt: skip


@pytest.mark.parametrize('case', HEADERS)
def test_headers_that_mislead_are_refused(case, tmp_path):
  header, message = HEADERS[case]
  with pytest.raises(UserError, match=message) as error:
    file.read_safetensors(raw(tmp_path / 'w.safetensors', header))
  assert '\n' not in str(error.value)
