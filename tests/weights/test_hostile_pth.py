"""State dicts made to fill memory; a pickle that runs code is tried in `test_convert`."""

from __future__ import annotations

import pickle
import resource
import struct
import zipfile
from pathlib import Path

import pytest
import torch_pickle

from flaxart.weights.torch_file import read_state
from tfds_rijks.errors import UserError


def pickled(path: Path, program: bytes) -> Path:
  """A `.pth` of today's format around a pickle."""
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('archive/data.pkl', b'\x80\x04' + program)
  return path


def early(path: Path) -> Path:
  """A `.pth` of before 2020 that declares a thousand storages, each as large as the file."""
  storages = b''.join(
    b'(X\x07\0\0\0storagectorch\nFloatStorage\n' + _text(f'{i:05}') + _text('cpu') + b'M\x00\x20NtQ'
    for i in range(1000)
  )
  head = b''.join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {}))
  path.write_bytes(head + b'\x80\x02(' + storages + b'l.' + pickle.dumps([], 2))
  return path


def _text(text: str) -> bytes:
  return b'X' + struct.pack('<I', len(text)) + text.encode()


HOSTILE = {
  'one number as a million': (
    lambda f: torch_pickle.write(f, numbers=1, size=(1000, 1000), stride=(0, 0)),
    'reaches beyond its 1 stored numbers',
  ),
  'a memo number of 31 bits': (
    lambda f: pickled(f, b'Nr\xff\xff\xff\x7f.'), 'holds NoneType, expected a state dict',
  ),
  'a text of a terabyte': (
    lambda f: pickled(f, b'\x8d' + struct.pack('<Q', 1 << 40) + b'x.'), 'cannot be read as',
  ),
  'bytes of a terabyte': (
    lambda f: pickled(f, b'\x96' + struct.pack('<Q', 1 << 40) + b'x.'), 'cannot be read as',
  ),
  'deep nesting': (lambda f: pickled(f, b']' * 100_000 + b'a' * 99_999 + b'.'), 'holds list'),
  'more storages than the file': (early, 'of more numbers than the file holds'),
}  # fmt: skip


@pytest.mark.parametrize('case', HOSTILE)
def test_a_state_dict_cannot_fill_the_memory(case, tmp_path):
  make, message = HOSTILE[case]
  path = make(tmp_path / 'a.pth')
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  with pytest.raises(UserError, match=message) as error:
    read_state(path)
  assert '\n' not in str(error.value)
  assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB
