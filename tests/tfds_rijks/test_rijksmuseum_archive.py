"""Archives: unpacked once and whole, or refused without a byte outside the folder."""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections import namedtuple
from pathlib import Path, PurePosixPath

import pytest

from tfds_rijks.errors import UserError
from tfds_rijks.rijksmuseum import archive, survey

JPG = b'\xff\xd8\xff picture'


def make_zip(path: Path, members: dict[str, bytes], *, links: tuple[str, ...] = (), **how) -> Path:
  with zipfile.ZipFile(path, 'w', **how) as out:
    for name, data in members.items():
      info = zipfile.ZipInfo(name)
      info.compress_type = how.get('compression', zipfile.ZIP_STORED)
      if name in links:
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
      out.writestr(info, data)
  return path


def make_tar(
  path: Path, members: list[tarfile.TarInfo | tuple[str, bytes]], mode: str = 'w'
) -> Path:
  with tarfile.open(path, mode) as out:
    for member in members:
      if isinstance(member, tarfile.TarInfo):
        out.addfile(member)
      else:
        info = tarfile.TarInfo(member[0])
        info.size = len(member[1])
        out.addfile(info, io.BytesIO(member[1]))
  return path


def special(name: str, kind: bytes, target: str = '') -> tarfile.TarInfo:
  info = tarfile.TarInfo(name)
  info.type, info.linkname = kind, target
  return info


def files(folder: Path) -> list[str]:
  return sorted(str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file())


def refused(path: Path, into: Path, message: str) -> None:
  before = files(path.parent)
  with pytest.raises(UserError, match=message) as error:
    archive.unpacked(path, into=into)
  assert str(path) in str(error.value)
  assert files(path.parent) == before  # `into` is there as well: nothing written, nothing left


@pytest.mark.parametrize('kind', ['zip', 'tar', 'tar.gz', 'tar.xz'])
def test_finds_the_museum_in_archives(tmp_path, kind):
  source, into = tmp_path / 'source', tmp_path / 'data'
  source.mkdir()
  for name, ending, data in (('jpg2', 'jpg', JPG), ('xml2', 'xml', b'<record/>')):
    members = {f'{name}/000000{i}_SK-A-{i}.{ending}': data for i in (1, 2)}
    members[f'{name}/._000000{1}_SK-A-1.{ending}'] = b'macOS'
    members[f'{name}/readme.txt'] = b'text'
    if kind == 'zip':
      make_zip(source / f'{name}.zip', members)
    else:
      make_tar(source / f'{name}.{kind}', list(members.items()), 'w' + kind[3:].replace('.', ':'))
  (source / 'rijksgt.mat').write_bytes(b'x')
  found = survey.find(source, into=into)
  assert list(found.stems) == ['0000001_SK-A-1', '0000002_SK-A-2']
  assert found.pictures['0000001_SK-A-1'].read_bytes() == JPG
  assert found.ground_truth == source / 'rijksgt.mat'
  assert found.other_files == []


def test_archives_without_a_folder_inside(tmp_path):
  make_zip(tmp_path / 'jpg2.zip', {'0000001_SK-A-1.jpg': JPG})
  make_zip(tmp_path / 'xml2.zip', {'0000001_SK-A-1.xml': b'<record/>'})
  assert list(survey.find(tmp_path, into=tmp_path / 'data').stems) == ['0000001_SK-A-1']


def test_one_archive_of_everything(tmp_path):
  make_tar(
    tmp_path / 'rijks.tar',
    [('rijks/jpg/1_a.jpg', JPG), ('rijks/xml/1_a.xml', b'<r/>'), ('rijks/rijksgt.mat', b'm')],
  )
  found = survey.find(tmp_path, into=tmp_path / 'data')
  assert list(found.stems) == ['1_a']
  assert found.ground_truth is not None


def test_unpacks_once_and_again_when_replaced(tmp_path):
  path = make_zip(tmp_path / 'jpg2.zip', {'a.jpg': JPG})
  first = archive.unpacked(path, into=tmp_path / 'data')
  (first / 'a.jpg').write_bytes(b'touched')
  assert archive.unpacked(path, into=tmp_path / 'data') == first
  assert (first / 'a.jpg').read_bytes() == b'touched'
  make_zip(path, {'a.jpg': JPG, 'b.jpg': JPG})
  assert files(archive.unpacked(path, into=tmp_path / 'data')) == ['a.jpg', 'b.jpg']


@pytest.mark.parametrize(
  'name',
  [
    '../evil.jpg',
    'jpg2/../../evil.jpg',
    '/tmp/evil.jpg',
    'C:/evil.jpg',
    'jpg2\\..\\..\\evil.jpg',
    '..',
  ],
)
def test_members_outside_the_folder(tmp_path, name):
  refused(
    make_zip(tmp_path / 'jpg2.zip', {'ok.jpg': JPG, name: JPG}),
    tmp_path / 'data',
    'outside the folder',
  )
  refused(
    make_tar(tmp_path / 'xml2.tar', [('ok.jpg', JPG), (name, JPG)]),
    tmp_path / 'data',
    'outside the folder',
  )


@pytest.mark.parametrize(
  ('kind', 'message'),
  [
    (tarfile.SYMTYPE, 'is a link'),
    (tarfile.LNKTYPE, 'is a link'),
    (tarfile.CHRTYPE, 'is a device'),
    (tarfile.FIFOTYPE, 'is a device'),
  ],
)
def test_tar_links_and_devices(tmp_path, kind, message):
  path = make_tar(tmp_path / 'a.tar', [('ok.jpg', JPG), special('bad.jpg', kind, '/etc/passwd')])
  refused(path, tmp_path / 'data', message)


def test_zip_links(tmp_path):
  path = make_zip(tmp_path / 'a.zip', {'bad.jpg': b'/etc/passwd'}, links=('bad.jpg',))
  refused(path, tmp_path / 'data', 'is a link')


def test_encrypted_member(tmp_path):
  path = make_zip(tmp_path / 'a.zip', {'a.jpg': JPG})
  data = bytearray(path.read_bytes())
  data[6] |= 1  # general purpose flags, local and central
  data[data.index(b'PK\x01\x02') + 8] |= 1
  path.write_bytes(data)
  refused(path, tmp_path / 'data', 'is a encrypted file|encrypted')


def test_bombs(tmp_path):
  path = make_zip(
    tmp_path / 'a.zip', {'a.jpg': b'\0' * (3 << 20)}, compression=zipfile.ZIP_DEFLATED
  )
  refused(path, tmp_path / 'data', 'less compressed')
  many = {f'{i}.xml': b'\0' * (1 << 20) for i in range(110)}  # each below the limit of one member
  refused(
    make_zip(tmp_path / 'b.zip', many, compression=zipfile.ZIP_DEFLATED),
    tmp_path / 'data',
    'unpack to',
  )
  tall = make_tar(tmp_path / 'c.tar.gz', list(many.items()), 'w:gz')
  refused(tall, tmp_path / 'data', 'unpack to')


def test_a_wrong_header(tmp_path):
  path = make_zip(tmp_path / 'a.zip', {'a.jpg': JPG * 10})
  data = path.read_bytes()
  real = (len(JPG) * 10).to_bytes(4, 'little')
  path.write_bytes(data.replace(real, (len(JPG)).to_bytes(4, 'little')))
  refused(path, tmp_path / 'data', r'declares|not a complete')


@pytest.mark.parametrize('size', [9, 11])
def test_copies_exactly_the_checked_size(size):
  member = archive.Member(PurePosixPath('a.jpg'), size, zipfile.ZipInfo('a.jpg'))
  with pytest.raises(UserError, match=f'does not hold the {size} bytes'):
    archive._copy(io.BytesIO(b'0123456789'), io.BytesIO(), member, Path('a.zip'))


def test_the_same_member_twice(tmp_path):
  path = make_tar(tmp_path / 'a.tar', [('a.jpg', JPG), ('A.JPG', JPG)])
  refused(path, tmp_path / 'data', 'twice')


@pytest.mark.parametrize('name', ['a.zip', 'a.tar', 'a.tar.gz'])
@pytest.mark.parametrize('keep', [0, 10, 200])
def test_damaged(tmp_path, name, keep):
  data = os.urandom(5000)
  path = tmp_path / name
  if name == 'a.zip':
    make_zip(path, {'a.jpg': data})
  else:
    make_tar(path, [('a.jpg', data)], 'w:gz' if name.endswith('gz') else 'w')
  path.write_bytes(path.read_bytes()[:keep])
  refused(path, tmp_path / 'data', 'not a complete|has no')


@pytest.mark.parametrize('ending', ['bz2', 'xz'])
def test_a_flipped_byte(tmp_path, ending):
  path = make_tar(tmp_path / f'a.tar.{ending}', [('a.jpg', os.urandom(50_000))], f'w:{ending}')
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 0xFF
  path.write_bytes(data)
  refused(path, tmp_path / 'data', 'not a complete')


EVERY_BIT = pytest.param(1, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])
PICTURES = {f'jpg2/{i}_SK-A-{i}.jpg': JPG * 40 * i for i in (1, 2, 3)}


def tar_of(path: Path, mode: str = 'w') -> tuple[bytes, list[int]]:
  """The bytes of a tar of `PICTURES`, and where each member and the trailer begin."""
  with tarfile.open(make_tar(path, list(PICTURES.items()), mode)) as opened:
    starts = [member.offset for member in opened]
    return path.read_bytes(), [*starts, opened.offset]


def flip(data: bytes, bit: int) -> bytes:
  changed = bytearray(data)
  changed[bit // 8] ^= 1 << bit % 8
  return bytes(changed)


def outcome(path: Path, data: bytes) -> str:
  """`whole`, the message of the refusal, or `other content`."""
  path.write_bytes(data)
  try:
    folder = archive.unpacked(path, into=path.parent / 'data')
  except UserError as error:
    assert str(path) in str(error) and not files(path.parent / 'data')
    return str(error)
  found = {name: (folder / name).read_bytes() for name in files(folder)}
  shutil.rmtree(path.parent / 'data')
  return 'whole' if found == PICTURES else 'other content'


def test_a_tar_cut_anywhere_or_continued(tmp_path):
  path = tmp_path / 'a.tar'
  data, starts = tar_of(path)
  for end in (*starts[1:], starts[-1] + 512, starts[-1] + 1023):
    assert 'has no end-of-archive blocks' in outcome(path, data[:end])
  for end in (*(start + 700 for start in starts[:-1]), starts[1] - 512, starts[0] + 100):
    assert outcome(path, data[:end]) not in ('whole', 'other content')
  assert outcome(path, data[: starts[-1] + 1024]) == 'whole'
  for more in (b'x', data, b'\0' * 5000 + b'x'):
    assert 'comes neither a member nor the end' in outcome(path, data + more)


@pytest.mark.parametrize('step', [61, EVERY_BIT])
def test_a_flipped_bit_in_the_header_of_a_member(tmp_path, step):
  path = tmp_path / 'a.tar'
  data, starts = tar_of(path)
  assert outcome(path, data) == 'whole'
  for start in starts[:3]:
    for bit in range(start * 8, (start + 512) * 8, step):
      assert outcome(path, flip(data, bit)) != 'other content', bit


@pytest.mark.parametrize('mode', ['w:gz', 'w:bz2', 'w:xz'])
@pytest.mark.parametrize('step', [47, EVERY_BIT])
def test_flipped_bits_in_a_packed_tar(tmp_path, mode, step):
  path = tmp_path / 'a.tgz'
  data, _ = tar_of(path, mode)
  assert outcome(path, data) == 'whole'
  for bit in range(0, len(data) * 8, step):
    assert outcome(path, flip(data, bit)) != 'other content', bit
  for end in range(0, len(data), step):
    assert outcome(path, data[:end]) != 'other content', end


@pytest.mark.parametrize('step', [11, EVERY_BIT])
def test_flipped_bits_in_the_directory_of_a_zip(tmp_path, step):
  path = tmp_path / 'a.zip'
  data = make_zip(path, PICTURES).read_bytes()
  assert outcome(path, data) == 'whole'
  for bit in range(data.index(b'PK\1\2') * 8, len(data) * 8, step):
    assert outcome(path, flip(data, bit)) != 'other content', bit


@pytest.mark.parametrize(
  ('names', 'why'),
  [
    (['a.jpg', 'a.jpg/b.jpg'], 'a directory|exists'),
    (['x' * 300 + '.jpg'], 'too long'),
  ],
)
def test_names_that_the_system_refuses(tmp_path, names, why):
  members = [(name, JPG) for name in names]
  refused(make_tar(tmp_path / 'a.tar', members), tmp_path / 'data', f'cannot be unpacked .*({why})')


@pytest.mark.parametrize(
  ('rows', 'message'),
  [(3, ''), (4, r'holds 3 .jpg files; .*rijksgt.mat has 4 rows'), (None, 'no rijksgt.mat beside')],
)
@pytest.mark.parametrize('inside', [False, True])
def test_a_tar_without_a_trailer_needs_the_ground_truth(
  tmp_path, monkeypatch, rows, message, inside
):
  path, members = tmp_path / 'a.tar', [*PICTURES.items()]
  monkeypatch.setattr(archive.groundtruth, 'count', lambda path: rows)
  if rows and inside:
    members.append(('rijksgt.mat', b'm'))
  with tarfile.open(make_tar(path, members)) as opened:
    opened.getmembers()
    end = opened.offset
  path.write_bytes(path.read_bytes()[:end])
  beside = tmp_path / 'rijksgt.mat' if rows and not inside else None
  if message:
    with pytest.raises(UserError, match=message):
      archive.unpacked(path, into=tmp_path / 'data', truth=beside)
    assert files(tmp_path / 'data') == []
  else:
    folder = archive.unpacked(path, into=tmp_path / 'data', truth=beside)
    assert len(files(folder)) == len(members)


@pytest.mark.parametrize('rows', [2, 3])
def test_whole_archives_of_another_number_of_works(tmp_path, monkeypatch, rows):
  make_tar(tmp_path / 'jpg2.tar', [('jpg2/1_a.jpg', JPG), ('jpg2/2_b.jpg', JPG)])
  make_tar(tmp_path / 'xml2.tar', [('xml2/1_a.xml', b'<r/>'), ('xml2/2_b.xml', b'<r/>')])
  (tmp_path / 'rijksgt.mat').write_bytes(b'm')
  monkeypatch.setattr(survey, '_rows', lambda truth, changed: rows)
  if rows == 2:
    assert len(survey.find(tmp_path, into=tmp_path / 'data').stems) == 2
  else:
    with pytest.raises(UserError, match=r'jpg2.tar, .*2 pictures and 2 records .* has 3 rows'):
      survey.find(tmp_path, into=tmp_path / 'data')


def test_nothing_of_use(tmp_path):
  refused(make_zip(tmp_path / 'fv.zip', {'rijksFV16.bin': b'x'}), tmp_path / 'data', 'has no')


def test_too_little_space(tmp_path, monkeypatch):
  usage = namedtuple('usage', 'total used free')
  monkeypatch.setattr(archive.shutil, 'disk_usage', lambda _: usage(100, 95, 5))
  refused(make_zip(tmp_path / 'a.zip', {'a.jpg': JPG}), tmp_path / 'data', 'GB are free')


def test_files_of_a_killed_command_are_removed(tmp_path):
  path = make_zip(tmp_path / 'jpg2.zip', {'a.jpg': JPG, 'b.jpg': JPG})
  into = tmp_path / 'data'
  killed = f"""
import os, signal
from pathlib import Path
from tfds_rijks.rijksmuseum import archive
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
copy, seen = archive._copy, []
archive._copy = lambda *a: (copy(*a), seen.append(1), die() if len(seen) == 2 else None)
archive.unpacked(Path({str(path)!r}), into=Path({str(into)!r}))
"""
  done = subprocess.run([sys.executable, '-c', killed], check=False)
  assert done.returncode == -signal.SIGKILL
  assert len(files(into)) == 2
  folder = archive.unpacked(path, into=into)
  assert files(into) == [f'{folder.relative_to(into)}/{name}.jpg' for name in 'ab']


@pytest.mark.parametrize('held', [False, True])
def test_what_was_unpacked_of_an_archive_that_is_gone_is_removed(tmp_path, capsys, held):
  left = tmp_path / 'data' / '0123456789ab' / '.unpacking'
  left.mkdir(parents=True)
  make_zip(tmp_path / 'all.zip', {'jpg/1_a.jpg': JPG, 'xml/1_a.xml': b'<r/>'})
  handle = os.open(left.parent, os.O_RDONLY)
  if held:  # by another command that unpacks
    fcntl.flock(handle, fcntl.LOCK_EX)
  survey.find(tmp_path, into=tmp_path / 'data')
  os.close(handle)
  assert left.exists() == held
  assert ('.unpacking: left by a killed command; removed' in capsys.readouterr().out) == (not held)


@pytest.mark.parametrize('at', ['folder', 'temporary', 'parent'])
def test_nothing_is_unpacked_through_a_link(tmp_path, at):
  path = make_zip(tmp_path / 'jpg2.zip', {'a.jpg': JPG})
  folder = archive.place(path, into=tmp_path / 'data')
  link = {'folder': folder, 'temporary': folder.with_name('.unpacking'), 'parent': folder.parent}[
    at
  ]
  link.parent.mkdir(parents=True, exist_ok=True)
  (tmp_path / 'theirs').mkdir()
  link.symlink_to(tmp_path / 'theirs')
  with pytest.raises(UserError, match='is a link, through which nothing is unpacked; remove it'):
    archive.unpacked(path, into=tmp_path / 'data')
  assert not files(tmp_path / 'theirs')


def test_interrupted_unpacking_leaves_nothing(tmp_path, monkeypatch):
  path = make_zip(tmp_path / 'a.zip', {'a.jpg': JPG, 'b.jpg': JPG})
  real, calls = archive._copy, []

  def stop(*args):
    calls.append(args)
    if len(calls) == 2:
      raise KeyboardInterrupt
    real(*args)

  monkeypatch.setattr(archive, '_copy', stop)
  with pytest.raises(KeyboardInterrupt):
    archive.unpacked(path, into=tmp_path / 'data')
  assert files(tmp_path) == ['a.zip']


def test_neither_folders_nor_archives(tmp_path):
  (tmp_path / 'notes.txt').write_text('x')
  with pytest.raises(UserError, match=r'holds notes.txt; expected a folder jpg2 or jpg'):
    survey.find(tmp_path, into=tmp_path / 'data')
