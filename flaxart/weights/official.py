"""Checks by size and hash that a file is its publisher's.

Keras publishes MD5 hashes only (`keras/src/applications/*.py`); torchvision puts the start of the
SHA-256 into the file name, and the Hugging Face hub's cache names large files by it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from flaxart.models.card import File, Official
from flaxart.weights.file import sha256_of_file
from tfds_rijks.errors import UserError


def check(file: File, path: Path) -> None:
  """Raises `UserError` unless `path` holds `file`."""
  if isinstance(file, Official):
    size = path.stat().st_size
    if size != file.size:
      raise UserError(
        f'{path}: found {size:,} bytes, expected {file.size:,}; delete it and fetch '
        f'{file.url} again'
      )
    with path.open('rb') as opened:
      # Guards against damage, as Keras does; `usedforsecurity` lets it run where MD5 is forbidden.
      found = hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != file.md5:
      raise UserError(
        f'{path}: found MD5 {found}, expected {file.md5}; delete it and fetch {file.url} again'
      )
  if file.sha256 is not None:
    check_sha256(path, begins=file.sha256)


def check_sha256(path: Path, *, begins: str) -> None:
  """Raises `UserError` unless the file's SHA-256 starts with `begins`."""
  found = sha256_of_file(path)
  if not found.startswith(begins):
    raise UserError(
      f'{path}: found SHA-256 {found[:16]}…, expected {begins[:16]}…; it is damaged: '
      'delete it and fetch it again'
    )
