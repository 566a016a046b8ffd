"""What a prediction has answered so far, in a file beside its table: a line for each row, added and
synced as it goes. The table is made from it at the end, so a stop loses at most the last batches.

The first line says what the answers depend on. Something else is refused by name, never mixed in.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from flaxart.machine import form
from tfds_rijks import strict_json
from tfds_rijks.errors import UserError
from tfds_rijks.own_files import open_own

SYNC_S = 1.0  # a lost machine costs the answers of this time; a killed process costs none
FORMAT = 1
_TEXTS = form.each(form.maybe(form.text))
_HEADER = form.fields(
  {
    'journal': form.count,
    'began': form.text,
    'model_sha256': form.text,
    'calibration_sha256': form.text,
    'images': form.text,
    'options': _TEXTS,
    'pictures': form.listed(form.listed(form.text)),  # path and record number
  }
)


class Journal:
  """Context manager of the file `path`; only one process at a time has it open.

  Attributes: `found` `{place of the row: its answer}`, of the rows so far; `began` when the first
  of them was asked for.
  """

  def __init__(self, path: Path, header: Mapping[str, Any]):
    self.path = path
    self.header = dict(header)
    self.found: dict[int, Any] = {}
    self._file: IO[bytes] | None = None
    self._synced = time.monotonic()

  @property
  def began(self) -> str:
    """Of the header."""
    return str(self.header['began'])

  def __enter__(self) -> Journal:
    self._file = _locked(self.path)
    try:
      self.header, self.found, end = _read(self.path, self._file, self.header)
    except UserError:
      self._file.close()
      raise
    self._file.truncate(end)
    self._file.seek(end)
    if not end:
      self._write([self.header])
      self.sync()
    return self

  def __exit__(self, *error: object) -> None:
    if self._file is not None:
      with self._named_in_errors():
        self.sync()
        self._file.close()
      self._file = None

  def add(self, answers: Iterable[tuple[int, Any]]) -> None:
    """Adds rows: the place of each, and its answer as JSON."""
    new = dict(answers)
    self._write({'row': place, 'answer': answer} for place, answer in new.items())
    self.found |= new
    if time.monotonic() - self._synced > SYNC_S:
      self.sync()

  def sync(self) -> None:
    """Makes the file outlive the machine."""
    assert self._file is not None
    os.fsync(self._file.fileno())
    self._synced = time.monotonic()

  def remove(self) -> None:
    """Deletes the file, once the table is whole."""
    self.path.unlink()

  def _write(self, lines: Iterable[Mapping[str, Any]]) -> None:
    assert self._file is not None
    text = ''.join(
      json.dumps(line, ensure_ascii=False, separators=(',', ':'), allow_nan=False) + '\n'
      for line in lines
    )
    with self._named_in_errors():
      self._file.write(text.encode('utf-8'))
      self._file.flush()

  @contextlib.contextmanager
  def _named_in_errors(self) -> Iterator[None]:
    """A full disk does not say which file it was."""
    try:
      yield
    except OSError as error:
      error.filename = error.filename or str(self.path)
      raise


def peek(path: Path, header: Mapping[str, Any]) -> set[int]:
  """The places of the rows that a prediction with this header would find; changes nothing."""
  if not path.exists():
    return set()
  with os.fdopen(open_own(path, os.O_RDONLY), 'rb') as file:
    return set(_read(path, file, header)[1])


def _locked(path: Path) -> IO[bytes]:
  """The file, created if there is none, and no other process's."""
  while True:
    file = os.fdopen(open_own(path, os.O_RDWR | os.O_CREAT), 'r+b')
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      file.close()
      raise UserError(
        f'{path}: another process is writing this table; wait until it ends, or choose another '
        '--output'
      ) from None
    except OSError as error:
      if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
        file.close()
        raise
    if os.fstat(file.fileno()).st_nlink:
      return file
    file.close()  # that process has just finished, and removed it


def _read(
  path: Path, file: IO[bytes], wanted: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[int, Any], int]:
  """Header, rows and their end in the file; 0 if not even the header was whole at a stop.

  A line that was being written at a stop is not a row, nor is anything after one that a lost
  machine left damaged. Raises `UserError` for another file, or the journal of something else.
  """
  data = file.read()
  end = data.find(b'\n') + 1
  if not end:
    return dict(wanted), {}, 0
  try:
    header = strict_json.parse(data[:end])
    _HEADER(header, '')
  except ValueError as error:
    raise UserError(
      f'{path}: is not the journal of a prediction, or is damaged ({error}); remove it to begin '
      'again, or choose another --output'
    ) from None
  if difference := _difference(header, wanted):
    raise UserError(
      f'{path}: belongs to a prediction that was stopped, with {difference}; continue it with '
      'what it was begun with, remove that file to begin again, or choose another --output'
    )
  found: dict[int, Any] = {}
  while after := data.find(b'\n', end) + 1:
    try:
      line = json.loads(data[end:after])
      found[line['row']] = line['answer']
    except (ValueError, KeyError, TypeError):
      break
    end = after
  return header, found, end


def _difference(header: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
  """The first thing that is not as it was, in words; '' for none."""
  if header['journal'] != wanted['journal']:
    return f'another version of journals ({header["journal"]}, now {wanted["journal"]})'
  for what in ('model', 'calibration'):
    was, now = (one[f'{what}_sha256'] for one in (header, wanted))
    if was != now:
      return f'another {what} (SHA-256 {was[:12]}, now {now[:12]})'
  if header['images'] != wanted['images']:
    return f'--images={header["images"]}, now {wanted["images"]}'
  for option in sorted(header['options'].keys() | wanted['options'].keys()):
    was, now = header['options'].get(option), wanted['options'].get(option)
    if was != now:
      return f'--{option}={was}, now {now}' if was else f'no --{option}, now {now}'
  before, after = (dict(one['pictures']) for one in (header, wanted))
  for path in sorted(before.keys() | after.keys()):
    if path not in before or path not in after:
      which = 'without' if path in after else 'with'
      return f'{len(before):,} pictures, now {len(after):,}: {which} {path}'
    if before[path] != after[path]:
      return f'the record number {before[path]!r} of {path}, now {after[path]!r}'
  return '' if header['pictures'] == wanted['pictures'] else 'its pictures in another order'
