"""The command line: mistakes are one line and exit code 2."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flaxart.__main__ import COMMANDS
from flaxart.config import default_config, flat
from tfds_rijks.collection.flags import Flags
from tfds_rijks.rijksmuseum.configs import parse_name

ROOT = Path(__file__).parents[1]


@pytest.fixture
def refusal(call):
  """The one line that a call ends with."""

  def refusal(module, *arguments):
    code, _, said = call(module, *arguments)
    assert code == 2 and said.startswith('error: ') and said.count('\n') == 1, said
    return said

  return refusal


@pytest.mark.parametrize(
  ('arguments', 'line'),
  [
    (['--config=configs/mtl.py', '--config.optim.learning_rat=0.1'],
     'no such setting; did you mean config.optim.learning_rate? config.optim has clip_norm, ema, '),
    (['--config=mtl', '--config.optim.lr=0.1'],
     '--config.optim.lr: no such setting; did you mean config.optim.learning_rate? config.opt'),
    (['--config=mtl', '--config.epochs=3'], 'did you mean config.train.epochs? config has augment'),
    (['--config=mtl', '--config.train.bs=3'], 'did you mean config.train.batch_size? config.train'),
    (['--config=mtl', '--config.model.learning-rate=3'], 'mean config.optim.learning_rate?'),
    (['--config=mtl', '--config.zzz=3'], '--config.zzz: no such setting; config has augment'),
    (['--config=mtl', '--batch_size=3'], 'no such flag; did you mean --config.train.batch_size?'),
    (['--config=mtl', '--wrokdir=x'], 'workdir'),
    (['--config=MTL'], '--config: MTL does not exist; did you mean mtl? '),
    (['--config=configs'], '--config: configs is a folder; '),
    (['--config=mtl', '--config.data.data_dir=nowhere', '--config.data.dataset=mnist'],
     'only rijksmuseum/CONFIG, collection and collection/NAME can be prepared; for pictures of '
     'your own run python -m tfds_rijks.prepare --dataset=collection '),
    (['--config=mtl', '--config.data.data_dir=nowhere', '--config.data.dataset=rijksmuseum/ful'],
     'rijksmuseum/ful: no such config; did you mean full? expected rijksmuseum/ and one of '),
    (['--config=mtl', '--config.data.data_dir=nowhere', '--config.data.dataset=rijksmuseum/full'],
     'run python -m tfds_rijks.prepare --dataset=rijksmuseum/full --manual_dir=SOURCE '),
    (['--config=paper_text', '--config.tasks=type', '--config.data.data_dir=nowhere'],
     "config.data.dataset: 'rijksmuseum/eccv2018_type' is not prepared"),
    (['--config=paper_code', '--config.tasks=type', '--config.data.dataset=a/b'],
     "config.data.dataset: 'a/b' is not prepared"),
    (['--config=configs/mtl.py', '--config.train.class_weights=sqrt'],
     '--config.train.class_weights: no such setting; it is now config.loss.class_weights'),
    (['--config=configs/mtl.py', '--config.head_devices=4'],
     '--config.head_devices: no such setting; it is gone: remove it'),
    (['--config=configs/mtl.py', '--config.seed.x=1'], 'no such setting; config.seed has no parts'),
    (['--config=configs/mtl.py:mode=scratch'],
     'Error whilst parsing config file: TypeError: get_config() takes 0 positional arguments'),
    (['--config=configs/mtl.py', '--config.train.batch_size=many'], 'train.batch_size'),
    (['--config=configs/nothing.py'], 'configs/nothing.py does not exist; give a file, or one of '),
    (['--config=mlt'], '--config: mlt does not exist; did you mean mtl? '),
    (['--config=mtl', '--config.data.data_dir=nowhere'], 'is not prepared in nowhere'),
    (['configs/mtl.py'], "'configs/mtl.py' is not a flag; write --config=configs/mtl.py?"),
    (['--mode=evaluate'], 'mode'),
    (['--mode=eval'], 'give --config=FILE to train, or --workdir=FOLDER of a run'),
    (['--mode=eval', '--workdir=w', '--dry_run'], '--dry_run: estimates training'),
    (['--workdir=nowhere'], 'nowhere/config.json: not found'),
    (['--workdir=README.md'], 'README.md/config.json: not found'),
    (['--config=configs/frozen.py', '--config.init=imagenet.safetensors'], 'config.'),
  ],
)  # fmt: skip
def test_main(refusal, arguments, line):
  assert line in refusal('flaxart.main', *arguments)


def test_a_config_file_with_a_name_that_is_not_a_setting(refusal, tmp_path):
  for name, line in (
    (
      'optim.label_smoothing',
      'sets label_smoothing, which is not a setting; it is now config',
    ),
    ('train.batchsize', 'Key "batchsize" does not exist'),
  ):
    (tmp_path / 'mine.py').write_text(
      'from flaxart.config import default_config\n\n\ndef get_config():\n'
      f'  config = default_config()\n  config.{name} = 1\n  return config\n'
    )
    assert line in refusal('flaxart.main', f'--config={tmp_path / "mine.py"}')


@pytest.mark.parametrize(
  ('module', 'arguments', 'line'),
  [
    ('flaxart.predict', [], 'the following arguments are required: --workdir, --images, --output'),
    ('flaxart.predict', ['--workdir=w', '--images=nowhere', '--output=o.csv'],
     'nowhere is not a folder'),
    ('flaxart.verify', ['--workdir=nowhere'], 'nowhere has no checkpoints'),
    ('flaxart.report.__main__', ['--runs=no/*', '--output=o'], "no folder matches 'no/*'"),
    ('flaxart.__main__', ['weights', 'convrt'], "did you mean 'weights convert'?"),
    ('tfds_rijks.prepare', ['--dataset=collection', '--manual_dir=.', '--data_dir=x', '--lables=a'],
     'unrecognized arguments: --lables=a; did you mean --labels? see python -m tfds_rijks.prepare'),
    ('flaxart.predict', ['--workdir=w', '--images=i', '--output=o', '--perr=object'],
     'did you mean --per? '),
    ('flaxart.__main__', ['Train'], "did you mean 'train'?"),
    ('flaxart.__main__', ['predit'], "found command 'predit'; did you mean 'predict'?"),
    ('tfds_rijks.rijksmuseum.synthetic.__main__', ['--output=README.md/x'],
     'README.md: already exists'),
    ('tfds_rijks.rijksmuseum.synthetic.__main__', ['--output=README.md'],
     'README.md: exists and is not'),
    ('tfds_rijks.rijksmuseum.synthetic.__main__', ['--output=x', '--objects=0'],
     'needs at least 20'),
  ],
)  # fmt: skip
def test_other_commands(refusal, module, arguments, line):
  assert line in refusal(module, *arguments)


@pytest.mark.parametrize('name', COMMANDS)
def test_a_process_of_each_command_ends_with_one_line_and_exit_code_2(name):
  line = [sys.executable, '-m', 'flaxart', *name.split(), '--nonsense=1']
  done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, timeout=300)
  assert done.returncode == 2 and done.stderr.count('\n') == 1, done.stderr
  assert done.stderr.startswith('error: ') and done.stdout == ''


def test_help_says_how_each_command_is_called(call):
  usage = call('flaxart.__main__', '-h')[1]
  for i, (name, (module, _)) in enumerate(COMMANDS.items()):
    module += '.__main__' * hasattr(importlib.import_module(module), '__path__')
    code, said, _ = call(module, ('-h', '--help')[i % 2])
    assert not code and '--' in said and re.search(rf'flaxart {name}\s', usage), name


@pytest.mark.parametrize('module', [module for module, _ in COMMANDS.values()])
@pytest.mark.parametrize('columns', [60, 80])
def test_help_fits_the_terminal(call, monkeypatch, module, columns):
  monkeypatch.setenv('COLUMNS', str(columns))
  module += '.__main__' * hasattr(importlib.import_module(module), '__path__')
  code, said, _ = call(module, '--help')
  assert not code and [line for line in said.splitlines() if len(line) > columns] == []


def test_help_has_every_option_and_setting(call):
  said = call('flaxart.main', '-h')[1]
  defined = re.findall(r"DEFINE_\w+\(\s*'(\w+)'", (ROOT / 'flaxart' / 'main.py').read_text())
  shown = re.findall(r'^  --(\w+) ', said, re.MULTILINE)
  assert len(defined) == 8 and sorted(shown) == sorted(defined)
  for setting in flat(default_config()):
    assert f' {setting}=' in said
  for name in (ROOT / 'configs').glob('*.py'):
    assert f'\n  {name.stem} ' in said
  for arguments in (['-h'], ['--dataset=collection', '-h'], ['--help', '--dataset=x']):
    said = call('tfds_rijks.prepare', *arguments)[1]
    for field in dataclasses.fields(Flags):
      assert f'\n  --{field.name} ' in said
    assert said.count('options of collection:') == said.count('options of rijksmuseum:') == 1


def test_the_paper_s_data_follow_the_task():
  for name in ('paper_text', 'paper_code'):
    spec = importlib.util.spec_from_file_location(name, ROOT / 'configs' / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config()
    assert config.data.dataset == 'rijksmuseum/eccv2018_artist'
    config.tasks = 'material'
    assert config.data.dataset == 'rijksmuseum/eccv2018_material'
    assert parse_name(flat(config)['data.dataset'].partition('/')[2])
    assert config.copy_and_resolve_references().data.dataset == config.data.dataset


def test_a_closed_pipe_is_not_an_error():
  begin = 'from tfds_rijks import command; command.run(lambda: print("x" * 100_000))'
  for unbuffered in ([], ['-u']):
    process = subprocess.Popen(
      [sys.executable, *unbuffered, '-c', begin], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert process.wait(timeout=60) == 0 and process.stderr.read() == b''
    process.stderr.close()
