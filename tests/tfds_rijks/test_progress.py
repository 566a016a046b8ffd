"""What somebody sees while a command works: one line, as wide as the terminal at most."""

from __future__ import annotations

import fcntl
import io
import logging
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from tfds_rijks import progress, terminal
from tfds_rijks.progress import ERASE, Progress, working


class Screen(io.StringIO):
  encoding, errors = 'utf-8', 'strict'

  def isatty(self):
    return True

  @property
  def shown(self):
    """Every text that was drawn in place, or ended with a new line."""
    return [text for text in re.split(r'\r\x1b\[2K|\n', self.getvalue()) if text]


@pytest.fixture
def clock(monkeypatch):
  now = [100.0]
  monkeypatch.setattr(progress.time, 'monotonic', lambda: now[0])
  monkeypatch.setattr(progress, '_begun', [])

  def wait(seconds):
    now[0] += seconds

  return wait


@pytest.fixture
def narrow(monkeypatch):
  monkeypatch.setenv('COLUMNS', '60')
  monkeypatch.setenv('TERM', 'xterm')
  return Screen()


def test_a_line_keeps_what_matters_in_any_width(clock, monkeypatch):
  one = Progress('training', 12_800, unit='img', note='loss 1.234, val 12.3 %', file=Screen())
  one.done = 3_200
  clock(100)
  full = 'training 3,200/12,800 [######                  ] 32.0 img/s, 5:00 left, loss 1.234'
  for columns, line in (
    (200, f'{full}, val 12.3 %'),
    (90, full.replace('######                  ', '##        ') + ', val 12.3 %'),
    (72, full.replace('[######                  ] ', '') + ', val 12.3 %'),
    (40, 'training 3,200/12,800 32.0 img/s, 5:00…'),
  ):
    monkeypatch.setenv('COLUMNS', str(columns))
    assert one.line() == line and terminal.cells(line) < columns


def test_an_ellipsis_that_the_terminal_cannot_show_is_three_dots(clock, narrow):
  narrow.encoding = 'ascii'
  assert Progress('x' * 99, file=narrow).line() == 'x' * 56 + '...'


def test_wide_characters_take_two_columns(clock, narrow):
  assert Progress('東' * 99, file=narrow).line() == '東' * 29 + '…'


def test_a_terminal_is_redrawn_and_a_log_file_gets_a_line_in_30_seconds(clock, narrow):
  log = io.StringIO()
  both = [Progress('reading', 100, unit='img', file=file) for file in (narrow, log)]
  for i in range(1, 101):
    clock(1)
    for one in both:
      one.update(i)
  for one in both:
    one.close()
  assert narrow.getvalue().count(ERASE) == 101 and narrow.getvalue().count('\n') == 1
  lines = log.getvalue().splitlines()
  assert [line.split()[1] for line in lines] == ['10/100', '40/100', '70/100', '100/100', '100/100']
  assert lines[-1] == 'reading 100/100 done in 1:40 (1.0 img/s)'
  assert not re.search(r'\x1b\[[0-9;]*m', narrow.getvalue())  # no colour, with NO_COLOR or without


def test_a_dumb_terminal_gets_plain_lines(clock, narrow, monkeypatch):
  monkeypatch.setenv('TERM', 'dumb')
  one = Progress('reading', 2, file=narrow)
  clock(11)
  one.update(1)
  assert '\x1b' not in narrow.getvalue() and narrow.getvalue().endswith('\n')


def test_work_without_a_count_shows_how_long_it_takes(clock, narrow, monkeypatch):
  monkeypatch.setattr(sys, 'stderr', narrow)
  with working('compiling ResNet50 at 224 px', note='usually 15 to 30 s'):
    for _ in range(12):
      clock(1)
      progress._innermost().show_if_due()
  assert narrow.shown[0] == 'compiling ResNet50 at 224 px, usually 15 to 30 s, 0:01'
  assert narrow.shown[-1] == 'compiling ResNet50 at 224 px: done in 0:12'


def test_the_innermost_work_is_shown_and_the_outer_one_goes_on(clock, narrow, monkeypatch):
  monkeypatch.setattr(sys, 'stderr', narrow)
  with working('building'):
    with working('reading'):
      clock(2)
      progress._innermost().show_if_due()
    clock(2)
    progress._innermost().show_if_due()
  assert narrow.shown == ['reading, 0:02', 'building, 0:02']
  assert progress._innermost() is None


def test_work_that_an_error_ended_is_forgotten(clock, narrow, monkeypatch):
  def fails():
    Progress('left', 1)
    raise ValueError

  with working('outer'):
    with pytest.raises(ValueError):
      fails()
    assert progress._innermost().what == 'outer'


def test_log_lines_are_folded_at_words_on_a_terminal_only(narrow):
  text = 'config.data.dataset: ' + 'is not prepared ' * 8 + '/a/path/' + 'x' * 80
  for file in (narrow, plain := io.StringIO()):
    progress.Handler(file).emit(logging.LogRecord('flaxart', 20, '', 0, text, None, None))
  assert plain.getvalue() == text + '\n'
  lines = narrow.getvalue().splitlines()
  assert ' '.join(map(str.strip, lines)) == text
  assert [len(line) <= 60 for line in lines] == [True] * (len(lines) - 1) + [False]  # the path


def test_a_table_goes_on_below_or_folds_its_text():
  head, right = ('task', 'records', 'score', 'examples'), (False, True, True, False)
  row = ('artist', '12,345', '88.4 %', 'one and another and yet another')
  rows = [row, ('東京', '1', '-', '')]
  for columns in (80, 50, 20):
    text = terminal.table(head, rows, right=right, columns=columns)
    assert columns == 20 or all(terminal.cells(line) <= columns for line in text.splitlines())
    assert sorted(text.split()) == sorted(
      [word for cells in (*rows, head) for cell in cells for word in cell.split()]
      + re.findall('-{3,}', text)
      + ['task', 'artist', '東京'] * (len(re.findall('-{3,}', text)) - 1)
    )
  assert terminal.table(head, rows, right=right, columns=50).splitlines()[:4] == [
    'task    records   score  examples',
    '-' * 48,
    'artist   12,345  88.4 %  one and another and yet',
    '                         another',
  ]


def test_a_watched_command_is_never_silent_and_never_too_wide():
  """A real process on a real terminal: prints, log lines and progress share it."""
  program = (
    'import sys, time\n'
    'from tfds_rijks import command, progress\n'
    'def main():\n'
    '  time.sleep(1.2)\n'
    '  print("printed")\n'
    '  with progress.working("a name that is far too long for a terminal of forty columns"):\n'
    '    time.sleep(1.2)\n'
    '    print("said", file=sys.stderr)\n'
    'command.run(main)\n'
  )
  ours, theirs = pty.openpty()
  fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 40, 0, 0))
  environment = {key: value for key, value in os.environ.items() if key != 'COLUMNS'}
  process = subprocess.Popen(
    [sys.executable, '-c', program],
    stdout=theirs,
    stderr=theirs,
    env={**environment, 'TERM': 'xterm', 'NO_COLOR': '1'},
  )
  os.close(theirs)
  seen = b''
  while part := _read(ours):
    seen += part
  os.close(ours)
  assert process.wait(timeout=60) == 0
  lines = seen.decode().replace('\r\n', '\n').split('\n')
  kept = [line.split(ERASE)[-1] for line in lines]
  assert kept == ['printed', 'said', '']
  drawn = [text for line in lines for text in line.split(ERASE) if text]
  assert 'working, 0:01' in drawn and any(text.startswith('a name') for text in drawn)
  assert max(map(len, drawn)) < 40 and any(text.endswith('…') for text in drawn)


def _read(file):
  try:
    return os.read(file, 65536)
  except OSError:  # how Linux says that the other side has closed
    return b''


def test_a_text_beside_a_name_continues_below_the_text():
  assert terminal.folded('  results.json  every score beside its baselines', 40).split('\n') == [
    '  results.json  every score beside its',
    '                baselines',
  ]
  assert terminal.folded(' ' * 50, 40).strip() == ''
  stopped = 'saved step 3 of 6; to continue: python -m flaxart.main --workdir=runs/mine'
  assert terminal.folded(stopped, 50).split('\n') == [
    'saved step 3 of 6; to continue:',
    '  python -m flaxart.main --workdir=runs/mine',
  ]


def test_a_folded_cell_leaves_no_gaps_in_other_parts_of_the_table():
  rows = [('artist', 'many words, so that this column is folded', 'x' * 30), ('type', 'few', 'y')]
  text = terminal.table(('column', 'why', 'what'), rows, right=(False,) * 3, columns=40)
  assert text.split('\n\n')[1].split('\n')[1:] == [
    '-' * 38,
    f'artist  {"x" * 30}',
    'type    y',
  ]
