"""The journal of a prediction: what a stop leaves is used, anything else is refused by name."""

from __future__ import annotations

import errno
import io
import json

import pytest

from flaxart.prediction import journal
from flaxart.prediction.journal import Journal, peek
from tfds_rijks.errors import UserError

HEADER = {
  'journal': journal.FORMAT, 'began': '2026-11-28T12:00:00Z', 'model_sha256': 'a' * 64,
  'calibration_sha256': 'c' * 64, 'images': '/scans',
  'options': {'per': 'picture', 'precision': None, 'form': 'wide'},
  'pictures': [['a.png', ''], ['ü.png', '0012'], ['c.png', '']],
}  # fmt: skip
ROWS = [(0, {'artist': [[1, 0.5, 0]]}), (1, {'reason': 'truncated'}), (2, {'artist': []})]


@pytest.fixture
def path(tmp_path):
  return tmp_path / 'T.csv.journal'


def write(path, rows=ROWS):
  with Journal(path, HEADER) as book:
    for row in rows:
      book.add([row])
  return path.read_bytes()


def test_what_was_added_is_found_again(path):
  write(path, ROWS[:2])
  later = {**HEADER, 'began': '2026-11-29T00:00:00Z'}
  assert peek(path, later) == {0, 1}
  with Journal(path, later) as book:
    assert book.found == dict(ROWS[:2]) and book.began == HEADER['began']
    book.add(ROWS[2:])
    assert book.found == dict(ROWS)
    book.remove()
  assert not path.exists() and peek(path, HEADER) == set()


def test_a_stop_at_any_byte_loses_only_what_was_being_written(path):
  whole = write(path)
  ends = [i + 1 for i, byte in enumerate(whole) if byte == 10]
  for size in range(len(whole) + 1):
    path.write_bytes(whole[:size])
    kept = max(0, sum(end <= size for end in ends) - 1)  # lines after the header
    assert len(peek(path, HEADER)) == kept and path.stat().st_size == size
    with Journal(path, HEADER) as book:
      assert book.found == dict(ROWS[:kept])
      assert path.stat().st_size == ends[kept]  # at least the header
      book.add(ROWS[kept:])
    assert path.read_bytes() == whole


def test_a_lost_machine_may_leave_zeros_and_half_of_a_line_with_lines_after_it(path):
  whole = write(path)
  lines = whole.splitlines(keepends=True)
  for damaged in (
    whole[: len(whole) - 20] + bytes(20),
    b''.join(lines[:2]) + bytes(30) + b'\n' + lines[3],
    b''.join(lines[:2]) + b'{"row": 2}\n' + lines[3],
  ):
    path.write_bytes(damaged)
    with Journal(path, HEADER) as book:
      assert dict(ROWS[:1]).items() <= book.found.items() and len(book.found) < 3
      book.add((place, one) for place, one in ROWS if place not in book.found)
    assert path.read_bytes() == whole


def changed(**fields):
  return {**HEADER, **fields}


@pytest.mark.parametrize(
  ('now', 'line'),
  [
    (changed(model_sha256='b' * 64), r'another model \(SHA-256 aaaaaaaaaaaa, now bbbbbbbbbbbb\)'),
    (changed(calibration_sha256='b' * 64), r'another calibration \(SHA-256 cccccccccccc, now bb'),
    (changed(images='/other'), '--images=/scans, now /other;'),
    (changed(options={**HEADER['options'], 'precision': '0.8'}), 'no --precision, now 0.8;'),
    (changed(options={**HEADER['options'], 'form': 'long'}), '--form=wide, now long;'),
    (changed(pictures=HEADER['pictures'][:2]), '3 pictures, now 2: with c.png;'),
    (changed(pictures=[*HEADER['pictures'], ['d', '']]), '3 pictures, now 4: without d;'),
    (
      changed(pictures=[*HEADER['pictures'][:2], ['c.png', '7']]),
      "the record number '' of c.png",
    ),
    (changed(pictures=HEADER['pictures'][::-1]), 'its pictures in another order'),
    (changed(journal=2), r'another version of journals \(1, now 2\)'),
  ],
)
def test_something_else_is_refused_by_name_and_nothing_changes(path, now, line):
  before = write(path, ROWS[:2])
  for call in (lambda: peek(path, now), lambda: Journal(path, now).__enter__()):
    with pytest.raises(UserError, match=f'belongs to a prediction that was stopped, with {line}'):
      call()
    assert path.read_bytes() == before
  write(path, ROWS[2:])  # the lock was given back


@pytest.mark.parametrize(
  'data', [b'id,name\n1,x\n', b'{}\n', json.dumps(HEADER).encode()[:-3] + b'\n']
)
def test_another_file_is_refused(path, data):
  path.write_bytes(data)
  with pytest.raises(UserError, match='is not the journal of a prediction, or is damaged'):
    Journal(path, HEADER).__enter__()
  assert path.read_bytes() == data


def test_a_full_disk_is_said_by_name(path):
  class Full(io.BytesIO):
    def flush(self):
      raise OSError(errno.ENOSPC, 'No space left on device')

  book = Journal(path, HEADER)
  book._file = Full()
  with pytest.raises(OSError, match=r'T\.csv\.journal'):
    book.add(ROWS)


def test_only_one_process_at_a_time(path, tmp_path):
  with Journal(path, HEADER), pytest.raises(UserError, match='another process is writing this tab'):
    Journal(path, HEADER).__enter__()
  (tmp_path / 'link').symlink_to(path)
  with pytest.raises(UserError, match='is a link'):
    Journal(tmp_path / 'link', HEADER).__enter__()
