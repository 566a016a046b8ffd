"""Reads `rijksgt.mat`, the official split and labels of the challenge (one struct `gt`).

Fields, from `rijks_load.m` of tmensink/rijkschallenge: `set` [N, 1] (1 = train, 2 = val, 3 = test),
`C` [N, 1] (1-based row of `Cnames`), `T` [N, #types] and `M` [N, #materials] (present where > 0),
`Tnames`, `Mnames`, `Y` [N, 2] (begin and end year). Row order is that of the sorted file stems.
"""

from __future__ import annotations

import os
import pickle
import struct
import subprocess
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfds_rijks.errors import UserError
from tfds_rijks.rijksmuseum.creators import parse
from tfds_rijks.rijksmuseum.oai import Record, clean

SPLITS = {1: 'train', 2: 'val', 3: 'test'}
MAX_BYTES = 3 << 30  # of one variable, unpacked; `gt` with dense label matrices has 2 GB
# The last two of `Cnames`. Only with these two as nobody does the class rule give the published 374
# artists: `onbekend` (95 objects) counts as one of them.
NOBODY = frozenset(('', 'anoniem', 'unknown'))
_FIELDS = ('set', 'C', 'Cnames', 'T', 'Tnames', 'M', 'Mnames', 'Y')
_COUNT = 'count'


@dataclass(frozen=True)
class GroundTruth:
  """Row i is about the i-th stem. A creator of `NOBODY` is the empty string."""

  splits: Sequence[str]
  creators: Sequence[str]
  types: Sequence[tuple[str, ...]]
  materials: Sequence[tuple[str, ...]]
  years: Sequence[tuple[int, int] | None]


def read(path: Path, *, rows: int) -> GroundTruth:
  """Reads the file in a separate process, as scipy's reader kills the process on some damaged
  files.

  Args:
    path: `rijksgt.mat`.
    rows: number of stems on disk.

  Raises:
    UserError: not a Matlab file, v7.3, not this struct, inconsistent, or not of `rows` rows.
  """
  return _in_child(path, str(rows))


def count(path: Path) -> int:
  """The number of rows; errors as of `read`."""
  return _in_child(path, _COUNT)


def _in_child(path: Path, argument: str) -> Any:
  _check_header(path)
  child = subprocess.run(
    [sys.executable, '-c', f'import {__name__} as module; module.serve()', str(path), argument],
    capture_output=True,
    check=False,
    env={**os.environ, 'PYTHONPATH': os.pathsep.join(folder for folder in sys.path if folder)},
  )
  if child.returncode:
    last = child.stderr.decode(errors='replace').strip().rpartition('\n')[2]
    raise UserError(
      f'{path}: damaged Matlab file (its reader ended with {child.returncode}: {last[:200]}); '
      'copy it again from the archive'
    )
  result = pickle.loads(child.stdout)
  if isinstance(result, str):
    raise UserError(result)
  return result


def serve() -> None:
  """The child's side: pickles the ground truth, or the message of a `UserError`, to stdout."""
  answers = os.fdopen(os.dup(1), 'wb')
  os.dup2(2, 1)  # a library's prints must not mix with the answer
  try:
    path, argument = Path(sys.argv[1]), sys.argv[2]
    result: GroundTruth | int | str = (
      len(_sets(_fields(path), path)) if argument == _COUNT else read_here(path, rows=int(argument))
    )
  except UserError as error:
    result = str(error)
  pickle.dump(result, answers)
  answers.close()


def read_here(path: Path, *, rows: int) -> GroundTruth:
  """The same as `read`, in this process."""
  fields = _fields(path)
  sets = _sets(fields, path)
  if len(sets) != rows:
    raise UserError(
      f'{path}: {len(sets):,} rows, but {rows:,} different stems in the folders of pictures and '
      'records; its rows cannot be matched: complete the folders, or remove the files '
      'that are not of the challenge'
    )
  if not np.isin(sets, list(SPLITS)).all():
    raise UserError(
      f'{path}: field set holds {sorted(set(sets.tolist()) - set(SPLITS))[:5]}; expected 1, 2, 3'
    )
  names = [_name(name) for name in _names(fields['Cnames'], path, 'Cnames')]
  index = _integers(fields['C'], path, 'C').reshape(-1)
  if len(index) != rows or (rows and not (index.min() >= 1 and index.max() <= len(names))):
    raise UserError(
      f'{path}: field C has {len(index):,} entries for {rows:,} rows and {len(names):,} names'
    )
  years = _integers(fields['Y'], path, 'Y')
  if years.shape != (rows, 2):
    raise UserError(f'{path}: field Y is {years.shape}; expected ({rows}, 2)')
  return GroundTruth(
    splits=[SPLITS[value] for value in sets.tolist()],
    creators=[names[value - 1] for value in index.tolist()],
    types=_labels(fields['T'], fields['Tnames'], rows, path, 'T'),
    materials=_labels(fields['M'], fields['Mnames'], rows, path, 'M'),
    years=[(min(a, b), max(a, b)) if a > 0 and b > 0 else None for a, b in years.tolist()],
  )


def _fields(path: Path) -> Any:
  """The record of the struct `gt`, checked to have all fields."""
  _check_header(path)
  from scipy import io

  try:
    gt = io.loadmat(path, variable_names=['gt'], struct_as_record=True).get('gt')
  except (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    NotImplementedError,
    OSError,
    MemoryError,
    OverflowError,
    EOFError,
    zlib.error,
    struct.error,
    UnicodeError,
  ) as error:
    raise UserError(
      f'{path}: damaged Matlab file ({type(error).__name__}: {error}); copy it again from '
      'the archive'
    ) from None
  if gt is None or getattr(gt, 'dtype', None) is None or not gt.dtype.names or not gt.size:
    raise UserError(f'{path}: has no struct `gt`; this is not the ground truth of the challenge')
  fields = gt.reshape(-1)[0]
  missing = [name for name in _FIELDS if name not in gt.dtype.names]
  if missing:
    raise UserError(
      f'{path}: struct `gt` has no field {", ".join(missing)}; expected {", ".join(_FIELDS)}'
    )
  return fields


def _sets(fields: Any, path: Path) -> np.ndarray:
  return _integers(fields['set'], path, 'set').reshape(-1)


def check_rows(
  truth: GroundTruth, stems: Sequence[str], records: Mapping[str, Record], *, path: Path | None
) -> None:
  """Raises `UserError` if the rows of the ground truth fit the records better when shifted.

  The count alone is not enough: a missing file and an extra one give the same number.
  """

  def agreement(shift: int) -> int:
    hits = 0
    for i, stem in enumerate(stems):
      record = records.get(stem)
      if record and 0 <= i + shift < len(stems):
        hits += bool(set(record.materials) & set(truth.materials[i + shift]))
        hits += bool(set(record.types) & set(truth.types[i + shift]))
        creator = truth.creators[i + shift]
        hits += 4 * bool(creator and record.creators and _same(record.creators[0], creator))
    return hits

  best = max((0, -1, 1, -2, 2), key=agreement)
  if best:  # `max` takes the first of equals, and 0 is first
    raise UserError(
      f'{path}: its rows fit the records better when shifted by {best}: files are missing '
      'or added; complete the folders of pictures and records'
    )


def _same(creator: str, name: str) -> bool:
  """Whether a record's creator is this name, which `rijksgt.mat` has in lower case."""
  return parse(creator).name.lower() == name.lower()


def _check_header(path: Path) -> None:
  """Refuses files that scipy cannot read or that unpack to more than the limit, before loading."""
  with path.open('rb') as file:
    head = file.read(128)
    if head.startswith((b'MATLAB 7.3', b'\x89HDF')):
      raise UserError(
        f'{path}: a v7.3 (HDF5) file; expected v5: copy rijksgt.mat from the archive, or '
        'save it again in Matlab with -v7'
      )
    if len(head) < 128 or not head.startswith(b'MATLAB 5.0'):
      raise UserError(f'{path}: not a Matlab v5 file; copy rijksgt.mat from the archive')
    order = '<' if head[126:128] == b'IM' else '>'
    while len(tag := file.read(8)) == 8:
      kind, size = struct.unpack(order + 'II', tag)
      if kind == 15:  # miCOMPRESSED: the inner tag has the unpacked size
        start = zlib.decompressobj()
        try:
          inner = start.decompress(file.read(min(size, 256)), 8)
        except zlib.error:
          inner = b''
        unpacked = struct.unpack(order + 'II', inner)[1] if len(inner) == 8 else 0
        file.seek(size - min(size, 256), 1)
      else:
        unpacked = size
        file.seek(size, 1)
      if unpacked > MAX_BYTES:
        raise UserError(
          f'{path}: a variable of {unpacked / 1e9:.1f} GB; at most {MAX_BYTES / 1e9:.1f} are read'
        )


def _integers(values: Any, path: Path, field: str) -> np.ndarray:
  """A numeric field as int64, sparse or dense; refuses numbers that are not integers."""
  dense = np.asarray(values.todense()) if hasattr(values, 'todense') else np.asarray(values)
  if dense.dtype.kind not in 'biuf' or not np.array_equal(dense, np.round(np.nan_to_num(dense))):
    raise UserError(f'{path}: field {field} is {dense.dtype} and has values that are not integers')
  return dense.astype(np.int64)


def _names(cell: Any, path: Path, field: str) -> list[str]:
  names = []
  for item in np.asarray(cell).reshape(-1):
    flat = np.asarray(item).reshape(-1)
    if flat.dtype.kind != 'U' or len(flat) > 1:
      raise UserError(f'{path}: field {field} holds {flat.dtype}; expected a cell array of names')
    names.append(clean(str(flat[0])) if len(flat) else '')
  return names


def _name(name: str) -> str:
  return '' if name.lower() in NOBODY else name


def _labels(matrix: Any, names: Any, rows: int, path: Path, field: str) -> list[tuple[str, ...]]:
  """The names of the columns above zero, row by row."""
  vocabulary = _names(names, path, f'{field}names')
  if matrix.ndim != 2 or matrix.shape != (rows, len(vocabulary)):
    raise UserError(
      f'{path}: field {field} is {tuple(matrix.shape)}; expected ({rows}, {len(vocabulary)})'
    )
  if hasattr(matrix, 'tocoo'):
    coo = matrix.tocoo()
    present = coo.data > 0
    where = zip(coo.row[present].tolist(), coo.col[present].tolist(), strict=True)
  else:
    if matrix.dtype.kind not in 'biuf':
      raise UserError(f'{path}: field {field} is {matrix.dtype}; expected numbers')
    row, column = np.nonzero(matrix > 0)
    where = zip(row.tolist(), column.tolist(), strict=True)
  labels: list[list[str]] = [[] for _ in range(rows)]
  for i, j in sorted(where):
    if vocabulary[j]:
      labels[i].append(vocabulary[j])
  return [tuple(one) for one in labels]
