"""Prepared data truncated, flipped or removed: one line with the file and advice."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

from flaxart.data.loader import Decode
from flaxart.data.source import open_dataset
from tfds_rijks import images
from tfds_rijks.errors import UserError


def cut(path):
  os.truncate(path, 1000)


def flip(share):
  def change(path):
    data = bytearray(path.read_bytes())
    at = int(len(data) * share)
    data[at : at + 8] = bytes(255 - byte for byte in data[at : at + 8])
    path.write_bytes(data)

  return change


@pytest.fixture
def folder(collection, tmp_path):
  """A copy of the prepared collection."""
  shutil.copytree(collection, tmp_path / 'data')
  return next((tmp_path / 'data').glob('collection/[0-9]*'))


@pytest.mark.parametrize(
  ('pattern', 'change'),
  [
    ('*-train.array_record*', cut),
    ('*-train.array_record*', flip(0.1)),
    ('*-train.array_record*', flip(0.3)),
    ('*-val.array_record*', flip(0.02)),
    ('*-test.array_record*', os.remove),
    ('dataset_info.json', cut),
    ('dataset_info.json', flip(0.5)),
    ('features.json', flip(0.5)),
    ('features.json', os.remove),
  ],
)
def test_damage_is_one_line_with_the_file(folder, pattern, change):
  (path,) = folder.glob(pattern)
  change(path)
  with pytest.raises(UserError, match='--overwrite') as error:
    open_dataset('collection', data_dir=folder.parents[1], tasks=['artist'])
  assert path.name in str(error.value) and '\n' not in str(error.value)


def test_later_damage_names_file_and_record(folder):
  split = open_dataset('collection', data_dir=folder.parents[1], tasks=['artist']).split('train')
  decode = Decode(split, images.Square(32, 'pad'))
  records = np.arange(len(split))
  decode(records[:2])
  (path,) = folder.glob('*-train.array_record*')
  os.truncate(path, 100)
  with pytest.raises(UserError, match=rf'{path.name}: is damaged.*record .*\.png.*--overwrite'):
    decode(records)
