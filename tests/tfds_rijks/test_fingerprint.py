"""The content of a source folder, now and before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfds_rijks import fingerprint


def write_sparse(path: Path, size: int, *, at: int, text: bytes) -> None:
  with path.open('wb') as file:
    file.truncate(size)
    file.seek(at)
    file.write(text)


def test_a_cell_in_the_middle_of_a_large_table(tmp_path):
  table, size = tmp_path / 'metadata.csv', 65 << 20
  write_sparse(table, size, at=size // 2, text=b'Ann')
  before = fingerprint.summary(tmp_path)
  assert fingerprint.differences(before, fingerprint.summary(tmp_path)) == []
  write_sparse(table, size, at=size // 2, text=b'Eva')
  assert fingerprint.differences(before, fingerprint.summary(tmp_path)) == [
    'metadata.csv has changed'
  ]


def test_a_summary_without_the_closer_look_stays_valid(tmp_path):
  write_sparse(tmp_path / 'metadata.csv', 65 << 20, at=0, text=b'image')
  new = fingerprint.summary(tmp_path)
  old = {name: dict(about) for name, about in new.items()}
  assert old['metadata.csv'].pop('closer')
  assert fingerprint.differences(old, new) == []


def test_a_picture_that_cannot_be_opened_is_left_to_the_build(tmp_path, monkeypatch):
  (tmp_path / 'a.tif').write_bytes(b'II*')

  def refuse(self, *args, **kwargs):
    raise PermissionError

  monkeypatch.setattr(Path, 'open', refuse)
  assert fingerprint.summary(tmp_path)['a.tif']['files'] == 1


@pytest.mark.parametrize('name', ['.labels.csv', '.hidden/labels.csv'])
def test_a_hidden_table_that_is_read_counts(tmp_path, name):
  table = tmp_path / name
  table.parent.mkdir(exist_ok=True)
  table.write_text('image,artist')
  before = fingerprint.summary(tmp_path, also=[table])
  table.write_text('image,author')
  after = fingerprint.summary(tmp_path, also=[table])
  (phrase,) = fingerprint.differences(before, after)
  assert phrase.endswith('has changed')
  assert fingerprint.differences({}, after) == []  # written before hidden tables counted
