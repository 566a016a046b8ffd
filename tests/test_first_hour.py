"""The first hour as a person sees it in a narrow and in an ordinary terminal."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import first_hour
import pytest


@pytest.mark.terminal
@pytest.mark.skipif(sys.platform == 'win32', reason='needs a pseudo-terminal')
@pytest.mark.parametrize('columns', [60, pytest.param(80, marks=pytest.mark.slow)])
def test_nothing_to_stumble_over(columns):
  with tempfile.TemporaryDirectory() as folder:  # a path that fits: words stay whole
    steps = first_hour.hour(Path(folder), columns=columns)
  assert [line for seen in steps for line in first_hour.problems(seen, columns=columns)] == []
  *_, trained, predicted, reported = steps
  assert 'holds the finished run' in trained.text
  assert 'names.csv: 12 rows' in predicted.text and 'report.html: written' in reported.text
  assert any('training' in line and '\r' in trained.text for line in trained.lines())


@pytest.mark.parametrize(
  ('command', 'line'),
  [
    ('printf "%070d\\n" 1', '70 columns: 0'),
    ('printf "123\\r%061d\\r4\\n" 1', '61 columns'),
    ('sleep 5.2; echo late', r'5\.\d s of silence'),
    ('echo Traceback', 'a warning'),
    ('exit 3', 'exit code 3'),
    (f'tput cols | grep -qx 60 && echo {31 * "漢"}', '62 columns'),
  ],
)  # fmt: skip
def test_it_sees_what_a_person_would(tmp_path, command, line):
  (found,) = first_hour.problems(first_hour.play(command, columns=60, folder=tmp_path), columns=60)
  assert re.search(line, found)


def test_commands_that_are_folded_are_put_together():
  screen = ['Next:', '  python -m flaxart predict --a=1 \\', "    --output='b c'", 'python -m x']
  assert first_hour.commands(screen, 'predict') == [
    "python -m flaxart predict --a=1 --output='b c'"
  ]
