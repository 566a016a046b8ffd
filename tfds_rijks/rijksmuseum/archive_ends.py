"""Whether a zip or tar file is whole: Python's readers take a damaged end for the end."""

from __future__ import annotations

import struct
import tarfile
import zipfile
from pathlib import Path

from tfds_rijks.errors import UserError

_CHUNK = 1 << 20
_TRAILER = 1024  # zero bytes: two blocks
_END, _END64 = b'PK\x05\x06', b'PK\x06\x06'  # of the records that end a zip file
_COMMENT = 1 << 16  # bytes after the record, at most
# POSIX pax keywords; those of vendors have a full stop in their names.
_PAX = frozenset(
  (
    *('atime', 'charset', 'comment', 'ctime', 'gid', 'gname', 'hdrcharset', 'linkpath', 'mtime'),
    *('path', 'size', 'uid', 'uname'),
  )
)


def tar_is_ended(archive: Path, opened: tarfile.TarFile) -> bool:
  """Reads a listed tar to the end of its stream, whose checksums are compared there.

  Returns whether it has its trailer, without which a file that was cut between two members looks
  whole. Raises `UserError` for anything else after the last member: `tarfile` ends its list at the
  first damaged header.
  """
  members, stream = opened.getmembers(), opened.fileobj
  assert stream is not None
  for header in (opened.pax_headers, *(member.pax_headers for member in members)):
    if odd := [key for key in header if key not in _PAX and '.' not in key]:
      raise UserError(
        f'{archive}: a header has the unknown keyword {odd[0]!r}; copy or download it again'
      )
  stream.seek(opened.offset)  # after the last member
  zeros = 0
  while chunk := stream.read(_CHUNK):
    if chunk.count(0) != len(chunk):
      last = repr(members[-1].name) if members else 'the beginning'
      raise UserError(
        f'{archive}: after {last} comes neither a member nor the end of the archive; copy or '
        'download it again'
      )
    zeros += len(chunk)
  return zeros >= _TRAILER


def check_zip(archive: Path, opened: zipfile.ZipFile, *, skipped: list[zipfile.ZipInfo]) -> None:
  """Raises for a zip file that lists fewer members than it has, or other names.

  `skipped`: the members that are not unpacked, whose names are compared here with those beside
  their data.
  """
  for info in skipped:
    opened.open(info).close()
  listed, found = _entries(archive), len(opened.infolist())
  if listed != (found if listed > 0xFFFF else found & 0xFFFF):  # many tools count to 65,535 only
    raise UserError(
      f'{archive}: lists {found:,} members, its end counts {listed:,}; copy or download it again'
    )


def _entries(archive: Path) -> int:
  """The number of members in the end record of a zip file."""
  with archive.open('rb') as file:
    size = file.seek(0, 2)
    file.seek(max(0, size - _COMMENT - 22 - 20 - 56))
    tail = file.read()
  at = tail.rfind(_END)
  count = struct.unpack_from('<H', tail, at + 10)[0]
  if count == 0xFFFF and tail[at - 76 : at - 72] == _END64:
    count = struct.unpack_from('<Q', tail, at - 76 + 32)[0]
  return count
