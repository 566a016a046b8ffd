"""The last lines of a run: what to open, and commands that can be pasted."""

from __future__ import annotations

import re
import shlex
import shutil

import pytest

from flaxart.__main__ import COMMANDS
from flaxart.evaluation import closing, results
from flaxart.train import train_and_evaluate
from flaxart.workdir import run_folder
from tfds_rijks import terminal


def commands(text):
  """The words of each command, as a shell reads them."""
  found = re.findall(r'^ *(python (?:.*\\\n)*.*)$', text, re.MULTILINE)
  return [shlex.split(one.replace('\\\n', ' ')) for one in found]


@pytest.fixture
def odd(finished, tmp_path):
  """A finished run in a folder whose name needs quotes."""
  return shutil.copytree(finished[0], tmp_path / "its 'runs' (é), & more" / 'run 1')


def test_a_run_ends_with_commands_that_run(odd, finished, collection, call, capsys):
  train_and_evaluate(finished[1], odd)  # finished: says it again
  said = capsys.readouterr().out
  for name in closing.WORTH_OPENING:
    assert re.search(rf'^  {re.escape(name)} ', said, re.MULTILINE) and (odd / name).is_file()
  predict, report = commands(said)
  assert predict[:4] == ['python', '-m', 'flaxart', 'predict']
  at = predict.index(f'--images={closing.NEW}')
  predict[at] = f'--images={collection.parent / "source"}'
  for command, module, made in (
    (predict, 'flaxart.predict', 'names.csv'),
    (report, 'flaxart.report.__main__', 'report/report.html'),
  ):
    assert module.startswith(COMMANDS[command[3]][0])
    code, out, err = call(module, *command[4:])
    assert code == 0 and (odd / made).stat().st_size > 500, (out, err)


def test_the_same_is_in_the_workdir_with_the_scores(finished, capsys):
  workdir, config, summary = finished
  tasks = run_folder.read_run(workdir)[1]
  text = (workdir / closing.FILE).read_text()
  assert results.table(summary, tasks, columns=80) in text and 'Toy-Net at 32 pixels' in text
  closing.say(workdir, config, tasks)
  assert commands(text) == commands(capsys.readouterr().out)


def test_a_drawn_museum_has_pictures_to_name(finished, capsys):
  config = finished[1].copy_and_resolve_references()
  config.data.manual_dir = 'my museum'
  closing.say(finished[0], config, run_folder.read_run(finished[0])[1])
  said = capsys.readouterr().out
  assert "--images='my museum'" in said and closing.NEW not in said


def test_a_command_is_one_in_a_narrow_terminal(odd, finished):
  wide = f'  python -m flaxart predict {terminal.quoted(f"--workdir={odd}")} --images=x --output=y'
  narrow = terminal.folded(wide, 60)
  assert narrow.count('\n') > 1 and commands(narrow) == commands(wide)
  assert all(len(line) <= 60 or str(odd.parent)[:20] in line for line in narrow.split('\n'))
