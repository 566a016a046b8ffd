"""What `first_hour` sees. The hour itself is played from the wheel, in `test_wheel`."""

from __future__ import annotations

import re

import first_hour
import pytest


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
