"""`rijksgt.mat`: read whole, or refused with the file and what is wrong."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy import io, sparse

from tfds_rijks.errors import UserError
from tfds_rijks.rijksmuseum import groundtruth, protocols
from tfds_rijks.rijksmuseum.oai import Record

ROWS = 6


def cell(*names: str) -> np.ndarray:
  out = np.empty((len(names), 1), object)
  out[:, 0] = names
  return out


def fields(**changes: object) -> dict[str, object]:
  types = np.zeros((ROWS, 2))
  types[:4, 0] = 1
  types[1:3, 1] = 2  # present where > 0
  return {
    'N': ROWS,
    'set': np.array([[1], [1], [1], [2], [3], [3]], np.uint8),
    'C': np.array([[1], [2], [1], [3], [4], [2]], np.uint16),
    'Cnames': cell('jan', 'onbekend', 'anoniem', 'unknown'),
    'Ccount': np.ones((4, 1)),
    'T': sparse.csc_matrix(types),
    'Tnames': cell('prent', 'portret'),
    'M': types,
    'Mnames': cell('papier', 'inkt'),
    'Y': np.array(
      [[1642, 1642], [1650, 1640], [0, 0], [1700, 1701], [1800, 1900], [1, 1]], np.int16
    ),
    **changes,
  }


def write(folder: Path, gt: object, name: str = 'gt') -> Path:
  path = folder / 'rijksgt.mat'
  io.savemat(path, {name: gt}, do_compression=True)
  return path


@pytest.mark.parametrize('matrix', ['sparse', 'dense'])
def test_reads_rows(tmp_path, matrix):
  dense = np.asarray(fields()['M'])
  path = write(tmp_path, fields(T=dense if matrix == 'dense' else sparse.csc_matrix(dense)))
  truth = groundtruth.read(path, rows=ROWS)
  assert groundtruth.count(path) == ROWS
  assert truth.splits == ['train', 'train', 'train', 'val', 'test', 'test']
  assert truth.creators == ['jan', 'onbekend', 'jan', '', '', 'onbekend']
  assert truth.types == [('prent',), ('prent', 'portret'), ('prent', 'portret'), ('prent',), (), ()]
  assert truth.materials[1] == ('papier', 'inkt')
  assert truth.years == [(1642, 1642), (1640, 1650), None, (1700, 1701), (1800, 1900), (1, 1)]


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'set': np.array([[1], [2], [3]])}, '3 rows, but 6 different stems'),
    ({'set': np.array([[1], [1], [1], [2], [3], [4]])}, r'field set holds \[4\]'),
    ({'set': cell(*'abcdef')}, 'field set is object'),
    ({'set': np.array([[1.5]] * 6)}, 'field set is float64'),
    ({'C': np.array([[1], [2], [1], [3], [4], [5]])}, 'field C'),
    ({'C': np.array([[0], [2], [1], [3], [4], [2]])}, 'field C'),
    ({'C': np.array([[1], [2]])}, 'field C'),
    ({'Y': np.zeros((6, 1))}, r'field Y is \(6, 1\)'),
    ({'T': np.zeros((5, 2))}, r'field T is \(5, 2\)'),
    ({'T': np.zeros((6, 3))}, r'field T is \(6, 3\)'),
    ({'Mnames': cell('papier')}, 'field M is'),
    ({'Mnames': np.zeros((2, 1))}, 'field Mnames holds float64'),
    ({'M': cell(*'abcdef')}, 'field M is'),
  ],
)
def test_inconsistent_fields_are_named(tmp_path, changes, message):
  with pytest.raises(UserError, match=message) as error:
    groundtruth.read_here(write(tmp_path, fields(**changes)), rows=ROWS)
  assert str(tmp_path) in str(error.value)


def test_missing_field_other_struct_and_no_struct(tmp_path):
  short = fields()
  del short['Mnames']
  for gt, name, message in (
    (short, 'gt', 'no field Mnames'),
    (np.eye(3), 'gt', 'has no struct `gt`'),
    (fields(), 'annotations', 'has no struct `gt`'),
  ):
    with pytest.raises(UserError, match=message):
      groundtruth.read_here(write(tmp_path, gt, name), rows=ROWS)


@pytest.mark.parametrize(
  ('data', 'message'),
  [
    (b'', 'not a Matlab v5 file'),
    (b'<html>404</html>' * 20, 'not a Matlab v5 file'),
    (b'MATLAB 7.3 MAT-file, Platform: GLNXA64' + b' ' * 100, 'v7.3'),
    (b'\x89HDF\r\n\x1a\n' + b'\0' * 200, 'v7.3'),
  ],
)
def test_other_files(tmp_path, data, message):
  path = tmp_path / 'rijksgt.mat'
  path.write_bytes(data)
  with pytest.raises(UserError, match=message):
    groundtruth.read(path, rows=ROWS)


@pytest.mark.parametrize('keep', [130, 300])
def test_truncated(tmp_path, keep):
  path = write(tmp_path, fields())
  path.write_bytes(path.read_bytes()[:keep])
  with pytest.raises(UserError, match=r'rijksgt\.mat'):
    groundtruth.read(path, rows=ROWS)


@pytest.mark.parametrize('seed', range(6))
def test_flipped_bytes_never_crash(tmp_path, seed):
  """Uncompressed files have no checksum, and scipy's reader dies on some of them."""
  rng = np.random.default_rng(seed)
  path = tmp_path / 'rijksgt.mat'
  io.savemat(path, {'gt': fields()}, do_compression=False)
  data = bytearray(path.read_bytes())
  for at in rng.integers(128, len(data), 3):
    data[at] ^= int(rng.integers(1, 256))
  path.write_bytes(data)
  try:
    truth = groundtruth.read(path, rows=ROWS)
  except UserError as error:
    assert str(path) in str(error)
  else:
    assert len(truth.creators) == ROWS


def test_a_reader_that_dies_is_one_line(tmp_path, monkeypatch):
  path = write(tmp_path, fields())
  monkeypatch.setattr(groundtruth, '__name__', 'os as os; os.abort() #')
  with pytest.raises(UserError, match=r'damaged Matlab file .*ended with -6'):
    groundtruth.read(path, rows=ROWS)


def test_bomb_is_refused_before_it_unpacks(tmp_path):
  path = write(tmp_path, fields())
  inner = struct.pack('<II', 14, 0xFFFFFFF0) + b'\0' * 64
  packed = zlib.compress(inner)
  path.write_bytes(path.read_bytes()[:128] + struct.pack('<II', 15, len(packed)) + packed)
  with pytest.raises(UserError, match=r'a variable of 4\.3 GB'):
    groundtruth.read(path, rows=ROWS)


@pytest.mark.parametrize('by', ['type', 'creator'])
def test_shifted_rows_are_found(by):
  stems = [f'{i:07d}_SK-A-{i}' for i in range(30)]
  labels = [(f'soort {i % 7}',) if by == 'type' else () for i in range(30)]
  names = [f'Maker {i % 7}' if by == 'creator' else '' for i in range(30)]
  small = [name.lower() for name in names]  # as all names of the true file are
  truth = groundtruth.GroundTruth(['train'] * 30, small, labels, [()] * 30, [None] * 30)

  def records(shift: int) -> dict[str, Record]:
    rows = [(i + shift) % 30 for i in range(30)]
    return {
      stem: Record(types=labels[i], creators=(f'schilder: {names[i]}',))
      for stem, i in zip(stems, rows, strict=True)
    }

  groundtruth.check_rows(truth, stems, records(0), path=Path('rijksgt.mat'))
  with pytest.raises(UserError, match='shifted by 1'):
    groundtruth.check_rows(truth, stems, records(1), path=Path('rijksgt.mat'))


TRUE_FILE = Path(__file__).parents[2] / '../shared/exports/rijksmuseum_challenge/rijksgt.mat'


@pytest.mark.skipif(not TRUE_FILE.exists(), reason='needs ../shared/exports: the true rijksgt.mat')
def test_the_true_file_gives_the_published_classes():
  """Mensink and van Gemert 2014: 374 artists and the rest, 103 types, 81 materials."""
  true = groundtruth.read(TRUE_FILE, rows=112_039)
  assert Counter(true.splits) == {'train': 78_427, 'val': 11_204, 'test': 22_408}
  stems = [f'{i:07d}' for i in range(112_039)]
  objects = [protocols.Object(stem, stem) for stem in stems]
  choice = protocols.Choice(attribution='as_published')
  outcome = protocols.challenge2014(objects, choice, stems=stems, truth=true)
  assert {task: len(names) for task, names in outcome.classes.items()} == {
    'artist': 374 + 1,
    'type': 103,
    'material': 81,
  }
  assert {'onbekend', 'rest'} <= set(outcome.classes['artist'])
  assert not {'anoniem', 'unknown'} & set(outcome.classes['artist'])
  tested = outcome.splits['test']
  named = sum(outcome.labels[stem]['artist'] != 'rest' for stem in tested)
  assert round(100 * named / len(tested), 1) == 59.1  # as published
  rows = list(zip(true.creators, true.types, true.materials, strict=True))
  assert sum(map(all, rows)) == 93_853
  assert sum(all(row) and row[0] != 'onbekend' for row in rows) == 93_758
  # The published sizes of the ECCV-W 2018 sets: every row with the label.
  assert (sum(map(bool, true.types)), sum(map(bool, true.materials))) == (112_012, 110_668)
