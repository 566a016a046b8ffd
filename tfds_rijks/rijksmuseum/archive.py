"""Unpacks the challenge's zip and tar files safely: nothing outside the folder, no links, no bombs.
Every member is checked before the first byte is written, and bytes are counted while writing,
because a header may be wrong. Files other than pictures, records and the ground truth are skipped.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from tfds_rijks import terminal
from tfds_rijks.errors import UserError
from tfds_rijks.progress import Progress
from tfds_rijks.rijksmuseum import groundtruth
from tfds_rijks.rijksmuseum.archive_ends import check_zip, tar_is_ended
from tfds_rijks.rijksmuseum.layout import GROUND_TRUTH, PICTURE_ENDINGS, RECORD_ENDINGS

ENDINGS = ('.zip', '.tar', '.tar.gz', '.tgz', '.tar.bz2', '.tbz2', '.tar.xz', '.txz')
WANTED = ('.jpg', '.jpeg', '.xml', '.mat')
MAX_MEMBERS = 2_000_000
MAX_MEMBER_BYTES = 4 << 30
MAX_TOTAL_BYTES = 200_000_000_000
MAX_RATIO, RATIO_FROM = 200, 1 << 20  # JPEG and XML pack 1:1 to 1:10; small members may pack better
_CHUNK = 1 << 20
_TEMPORARY = '.unpacking'
_NOT_ITS_FAULT = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO)


@dataclass(frozen=True)
class Member:
  """One checked file of an archive: `path` is relative and stays inside."""

  path: PurePosixPath
  size: int
  raw: zipfile.ZipInfo | tarfile.TarInfo


def archives(folder: Path) -> list[Path]:
  """The archives in `folder`, sorted."""
  return sorted(
    path for path in folder.iterdir() if path.is_file() and path.name.lower().endswith(ENDINGS)
  )


def place(archive: Path, *, into: Path) -> Path:
  """The folder below `into` for the archive's unpacked files.

  Its name has a fingerprint of the archive's name, size and time, so that a replaced archive is
  unpacked again.
  """
  about = archive.stat()
  key = f'{archive.name}\n{about.st_size}\n{about.st_mtime_ns}'
  name = archive.name.split('.')[0] or 'archive'
  return into / hashlib.sha256(key.encode()).hexdigest()[:12] / name


def unpacked(archive: Path, *, into: Path, truth: Path | None = None) -> Path:
  """`place`, unpacked on the first call: in a temporary folder that is renamed at the end.

  `truth`: the ground truth, if it is known; else one in the archive. A tar without a trailer, as
  some tools write them, must hold a picture or a record for each of its rows.

  Raises:
    UserError: damaged, incomplete, encrypted, a member that leaves the folder, a link, a bomb, or
    too little space.
  """
  folder = place(archive, into=into)
  temporary = folder.with_name(_TEMPORARY)
  for path in (folder.parent, folder, temporary):
    if path.is_symlink():
      raise UserError(f'{path}: is a link, through which nothing is unpacked; remove it')
  if folder.is_dir():
    return folder
  folder.parent.mkdir(parents=True, exist_ok=True)
  with _locked(folder.parent):
    if folder.is_dir():  # another command has unpacked it meanwhile
      return folder
    _remove(temporary)
    temporary.mkdir()
    try:
      with _open(archive) as opened:
        members, ended = judge(archive, opened)
        _unpack(archive, opened, members, temporary)
      if not ended:
        own = (temporary / m.path for m in members if m.path.name == GROUND_TRUTH)
        _check_count(archive, members, truth or next(own, None))
      temporary.rename(folder)
    except BaseException:
      shutil.rmtree(temporary, ignore_errors=True)
      raise
  return folder


def clear_left_behind(into: Path) -> None:
  """Removes, and says, what killed commands were unpacking below `into`."""
  for temporary in sorted(into.glob(f'*/{_TEMPORARY}')):
    with suppress(BlockingIOError), _locked(temporary.parent, wait=False):
      _remove(temporary)


def _remove(temporary: Path) -> None:
  if temporary.exists():
    terminal.say(f'{temporary}: left by a killed command; removed')
    shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
  """Holds a lock for one command at a time, which is released when its process ends."""
  handle = os.open(folder, os.O_RDONLY)
  try:
    fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    yield
  finally:
    os.close(handle)


@contextmanager
def _open(archive: Path) -> Iterator[zipfile.ZipFile | tarfile.TarFile]:
  """Opens an archive by content; turns errors of a damaged one into one line."""
  try:
    if zipfile.is_zipfile(archive):
      with zipfile.ZipFile(archive) as opened_zip:
        yield opened_zip
    else:
      with tarfile.open(archive, 'r:*') as opened_tar:
        yield opened_tar
  except (
    zipfile.BadZipFile,
    tarfile.TarError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    NotImplementedError,
    ValueError,
    RuntimeError,
  ) as error:
    raise UserError(
      f'{archive}: not a complete zip or tar file ({error}); copy or download it again'
    ) from None
  except OSError as error:
    if error.errno in _NOT_ITS_FAULT:
      raise UserError(
        f'{archive}: cannot be read ({error.strerror}); make it readable, or copy it again'
      ) from None
    raise UserError(
      f'{archive}: not a complete archive ({error}); copy or download it again'
    ) from None


def _check_count(archive: Path, members: list[Member], truth: Path | None) -> None:
  """Raises `UserError` for a tar without a trailer that is not known to be whole."""
  advice = 'copy or download it again, or unpack it yourself'
  if truth is None:
    raise UserError(
      f'{archive}: has no end-of-archive blocks, and there is no {GROUND_TRUTH} beside it to count '
      f'its files by: it may have been cut; {advice}'
    )
  rows = groundtruth.count(truth)
  for endings in (PICTURE_ENDINGS, RECORD_ENDINGS):
    found = sum(member.path.suffix.lower() in endings for member in members)
    if found not in (0, rows):
      raise UserError(
        f'{archive}: has no end-of-archive blocks and holds {found:,} {endings[0]} files; '
        f'{truth} has {rows:,} rows: it was cut; {advice}'
      )


def _unpack(
  archive: Path,
  opened: zipfile.ZipFile | tarfile.TarFile,
  members: list[Member],
  folder: Path,
) -> None:
  total = sum(member.size for member in members)
  free = shutil.disk_usage(folder).free
  if total > free:
    raise UserError(
      f'{archive}: unpacks to {total / 1e9:.1f} GB, {free / 1e9:.1f} GB are free at '
      f'{folder.parent}; '
      'free some or choose another --data_dir'
    )
  progress = Progress(f'unpacking {archive.name}', len(members), unit='files')
  for count, member in enumerate(members, start=1):
    with _stream(opened, member) as source, _writing(archive, member):
      target = folder / member.path
      target.parent.mkdir(parents=True, exist_ok=True)
      with target.open('xb') as out:
        _copy(source, out, member, archive)
    progress.update(count)
  progress.close()


@contextmanager
def _writing(archive: Path, member: Member) -> Iterator[None]:
  """Names the archive and the member in errors of the system."""
  try:
    yield
  except OSError as error:
    if error.errno is None:  # of the packed stream
      raise
    advice = 'this is not a copy of the challenge'
    if error.errno in _NOT_ITS_FAULT:
      advice = 'free some space, or choose another --data_dir'
    raise UserError(
      f'{archive}: member {str(member.path)!r} cannot be unpacked ({error.strerror}); {advice}'
    ) from None


def judge(archive: Path, opened: zipfile.ZipFile | tarfile.TarFile) -> tuple[list[Member], bool]:
  """The members to unpack, and whether the archive is known to be whole.

  Raises `UserError` if one member is suspicious, or something else than the end follows the last.
  """
  packed = archive.stat().st_size
  members: list[Member] = []
  skipped: list[zipfile.ZipInfo] = []
  seen: set[str] = set()
  total = 0
  for name, size, kind, small, raw in _listing(opened):
    if kind == 'folder':
      continue
    shown = f'{archive}: member {name!r}'
    path = PurePosixPath(name)
    if (
      '\\' in name
      or '\0' in name
      or path.is_absolute()
      or '..' in path.parts
      or not path.parts
      or ':' in path.parts[0]
    ):
      raise UserError(
        f'{shown} would be written outside the folder; this is not a copy of the challenge'
      )
    if kind != 'file':
      raise UserError(
        f'{shown} is a {kind}; expected plain files; this is not a copy of the challenge'
      )
    if size > MAX_MEMBER_BYTES or (size > RATIO_FROM and small and size > MAX_RATIO * small):
      raise UserError(
        f'{shown} unpacks to {size:,} bytes; expected pictures and records, which are '
        'smaller and less compressed'
      )
    if path.suffix.lower() not in WANTED or path.name.startswith('.') or '__MACOSX' in path.parts:
      if isinstance(raw, zipfile.ZipInfo):
        skipped.append(raw)
      continue
    folded = str(path).casefold()
    if folded in seen:
      raise UserError(f'{shown} is in the archive twice; copy or download it again')
    seen.add(folded)
    total += size
    members.append(Member(path, size, raw))
    if len(members) > MAX_MEMBERS or total > MAX_TOTAL_BYTES:
      raise UserError(
        f'{archive}: more than {MAX_MEMBERS:,} files or {MAX_TOTAL_BYTES / 1e9:.0f} GB; '
        'the challenge has 224,078 files and 15 GB'
      )
  if total > RATIO_FROM * 100 and total > MAX_RATIO * packed:
    raise UserError(
      f'{archive}: {packed:,} bytes unpack to {total:,}; this is not a copy of the challenge'
    )
  ended = True
  if isinstance(opened, tarfile.TarFile):
    ended = tar_is_ended(archive, opened)
  else:
    check_zip(archive, opened, skipped=skipped)
  if not members:
    raise UserError(f'{archive}: has no .jpg, .xml or .mat file; move it out of the folder')
  return members, ended


def _listing(
  opened: zipfile.ZipFile | tarfile.TarFile,
) -> Iterator[tuple[str, int, str, int, zipfile.ZipInfo | tarfile.TarInfo]]:
  """(name, size, kind, packed size or 0, raw) of each member."""
  if isinstance(opened, zipfile.ZipFile):
    for info in opened.infolist():
      mode = info.external_attr >> 16
      kind = 'folder' if info.is_dir() else 'file'
      if stat.S_ISLNK(mode):
        kind = 'link'
      elif info.flag_bits & 0x1:
        kind = 'encrypted file'
      yield info.filename, info.file_size, kind, max(1, info.compress_size), info
  else:
    for member in opened:
      kind = (
        'folder'
        if member.isdir()
        else 'link'
        if member.issym() or member.islnk()
        else 'sparse file'
        if member.issparse()
        else 'file'
        if member.isreg()
        else 'device'
      )
      yield member.name, member.size, kind, 0, member


@contextmanager
def _stream(opened: zipfile.ZipFile | tarfile.TarFile, member: Member) -> Iterator[IO[bytes]]:
  if isinstance(opened, zipfile.ZipFile):
    assert isinstance(member.raw, zipfile.ZipInfo)
    with opened.open(member.raw) as source:
      yield source
  else:
    assert isinstance(member.raw, tarfile.TarInfo)
    stream = opened.extractfile(member.raw)
    assert stream is not None  # `judge` only passes plain files
    with stream:
      yield stream


def _copy(source: IO[bytes], out: IO[bytes], member: Member, archive: Path) -> None:
  """Copies exactly the checked size."""
  written = 0
  while chunk := source.read(_CHUNK):
    written += len(chunk)
    if written > member.size:
      break
    out.write(chunk)
  if written != member.size:
    raise UserError(
      f'{archive}: member {str(member.path)!r} does not hold '
      f'the {member.size:,} bytes it declares; '
      'copy or download it again'
    )
