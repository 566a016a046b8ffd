"""The commands of the README, run as they are printed there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import openpyxl
import pytest
from PIL import Image

from flaxart.__main__ import COMMANDS

README = (Path(__file__).parents[1] / 'README.md').read_text(encoding='utf-8')
# What makes the training take seconds.
SECONDS = (
  *('--config.model.name=toy', '--config.data.image_size=32', '--config.train.batch_size=16'),
  *('--config.train.epochs=1', '--config.eval.baselines=False', '--config.log.tensorboard=False'),
)
MAKERS = {'Anna Bijns': (200, 40, 40), 'Jan Luyken': (40, 160, 60), 'Cleo Maas': (50, 60, 200)}
KINDS = ('bowl', 'print')
OBJECTS = 69  # 20 works or more of each maker


def section(title):
  """The text below a heading."""
  return re.search(rf'^## {title}$(.*?)^## ', README, re.MULTILINE | re.DOTALL)[1]


def commands(text):
  """The words of each command in its blocks, as a shell reads them."""
  blocks = re.findall(r'```sh\n(.*?)```', text, re.DOTALL)
  lines = [line for block in blocks for line in block.replace('\\\n', ' ').splitlines()]
  return [shlex.split(line, comments=True) for line in lines if line.strip()]


def draw(path, maker, kind, rng):
  """A picture whose colour is the maker and whose shape is the kind."""
  picture = rng.integers(235, 256, (40, 48, 3), dtype=np.uint8)
  rows = slice(8, 32) if kind == 'bowl' else slice(2, 16)
  picture[rows, 12:36] = np.clip(MAKERS[maker] + rng.integers(-20, 20, 3), 0, 255)
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(picture).save(path)


@pytest.fixture
def export(tmp_path):
  """An export and pictures as the README describes them, and scans without a row."""
  rng = np.random.default_rng(0)
  book = openpyxl.Workbook()
  book.active.append(['Object number', 'Artist', 'Object type', 'Material'])
  said = {1: 'unknown', 2: 'workshop of Anna Bijns', 3: '', 5: 'Luyken, Jan'}
  for i in range(OBJECTS):
    number, maker, kind = f'BK-19{i // 10}-{i}', list(MAKERS)[i % 3], KINDS[i // 3 % 2]
    # The other spelling is of a work by that maker.
    maker = 'Jan Luyken' if i == 5 else maker
    book.active.append([number, said.get(i, maker), kind, 'silver; gold' if i % 2 else 'gold'])
    draw(tmp_path / 'my_folder' / f'box {i % 4}' / f'{number}.jpg', maker, kind, rng)
    if i % 10 == 0:
      draw(tmp_path / 'my_folder' / f'{number}_2.jpg', maker, kind, rng)
  book.save(tmp_path / 'my_folder' / 'metadata.xlsx')
  for i, maker in enumerate(MAKERS):
    draw(tmp_path / 'new_scans' / f'RP-P-2000-{i}.png', maker, 'bowl', rng)
  return tmp_path


def test_an_export_becomes_suggestions_in_three_steps(export, call):
  prepare, train, predict = commands(section('Your own collection in three steps'))
  for command in (prepare, [*train, *SECONDS], predict):
    assert command[0] == 'flaxart'
    code, out, err = call(COMMANDS[command[1]][0], *command[2:], folder=export)
    assert code == 0, (out, err)

  # What the text says about the table.
  (built,) = (export / 'prepared' / 'collection').glob('*.*.*')
  report = json.loads((built / 'build_report.json').read_text())
  assert report['matching']['objects'] == OBJECTS and report['matching']['pictures'] == OBJECTS + 7
  assert report['groups']['records_in_groups_of_several'] >= 14  # two pictures of seven objects
  becomes = {one['name']: one['becomes'] for one in report['columns']}
  assert becomes['Artist'] == becomes['Object type'] == 'task'
  assert set((built / 'Artist.labels.txt').read_text().split('\n')) >= {*MAKERS}
  assert (built / 'Material.labels.txt').read_text().split() == ['gold', 'silver']
  assert report['nobody'] == {'Artist': {'unknown': 1}}
  assert report['distancing'] == {'workshop of': 1}
  assert 'Luyken, Jan' in (built / 'aliases-proposed.csv').read_text('utf-8-sig')

  rows = [*openpyxl.load_workbook(export / 'suggestions.xlsx').active.values]
  found = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
  assert {row['record_id'] for row in found} == {f'RP-P-2000-{i}' for i in range(3)}
  assert {row['field'] for row in found} == {'Artist', 'Object_type'}
  assert {row['status'] for row in found} == {'suggested'}
  for row in found:
    assert row['value'] in {*MAKERS, *KINDS} and 0 <= row['probability'] <= 1


def test_the_readme_is_short_and_its_commands_exist():
  assert len(README.splitlines()) <= 150
  words = [command for command in commands(README) if command[0] == 'flaxart']
  assert len(words) > 5
  for command in words:
    assert command[1] in COMMANDS or ' '.join(command[1:3]) in COMMANDS, command
