"""The command line: mistakes are one line and exit code 2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flaxart.__main__ import COMMANDS

ROOT = Path(__file__).parents[1]


def run(*arguments, cwd=ROOT):
  return subprocess.run(
    [sys.executable, *arguments], capture_output=True, text=True, cwd=cwd, timeout=300
  )


@pytest.mark.parametrize(
  ('arguments', 'line'),
  [
    (
      ['--config=configs/mtl.py', '--config.optim.learning_rat=0.1'],
      'no such setting; did you mean learning_rate? config.optim has clip_norm, ema, ',
    ),
    (
      ['--config=configs/mtl.py', '--config.optim.lr=0.1'],
      '--config.optim.lr: no such setting; config.optim has clip_norm, ema, ',
    ),
    (
      ['--config=configs/mtl.py', '--config.train.class_weights=sqrt'],
      '--config.train.class_weights: no such setting; it is now config.loss.class_weights',
    ),
    (
      ['--config=configs/mtl.py', '--config.head_devices=4'],
      '--config.head_devices: no such setting; it is gone: remove it',
    ),
    (['--config=configs/mtl.py', '--config.seed.x=1'], 'no such setting; config.seed has no parts'),
    (
      ['--config=configs/mtl.py:mode=scratch'],
      'Error whilst parsing config file: TypeError: get_config() takes 0 positional arguments',
    ),
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
)
def test_main(arguments, line):
  done = run('-m', 'flaxart.main', *arguments)
  assert done.returncode == 2, done.stderr
  assert done.stderr.startswith('error: ') and done.stderr.count('\n') == 1, done.stderr
  assert line in done.stderr


def test_a_config_file_with_a_name_that_is_not_a_setting(tmp_path):
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
    done = run('-m', 'flaxart.main', f'--config={tmp_path / "mine.py"}')
    assert done.returncode == 2 and done.stderr.count('\n') == 1, done.stderr
    assert line in done.stderr


@pytest.mark.parametrize(
  ('module', 'arguments', 'line'),
  [
    ('flaxart.predict', [], 'the following arguments are required: --workdir, --images, --output'),
    (
      'flaxart.predict',
      ['--workdir=w', '--images=nowhere', '--output=o.csv'],
      'nowhere is not a folder',
    ),
    ('flaxart.verify', ['--workdir=nowhere'], 'nowhere has no checkpoints'),
    ('flaxart', ['verify', '--workdir=nowhere'], 'nowhere has no checkpoints'),
    ('flaxart', ['train', '--config=mlt'], 'did you mean mtl?'),
    ('flaxart', ['weights', 'convrt'], "did you mean 'weights convert'?"),
    ('flaxart', ['predit'], "found command 'predit'; did you mean 'predict'?"),
    ('tfds_rijks.rijksmuseum.synthetic', ['--output=README.md/x'], 'README.md: already exists'),
    ('tfds_rijks.rijksmuseum.synthetic', ['--output=README.md'], 'README.md: is there already and'),
    ('tfds_rijks.rijksmuseum.synthetic', ['--output=x', '--objects=0'], 'needs at least 20'),
  ],
)
def test_other_commands(module, arguments, line):
  done = run('-m', module, *arguments)
  assert done.returncode == 2 and done.stderr.count('\n') == 1, done.stderr
  assert line in done.stderr


def test_help_says_how_each_command_is_called():
  assert all(f'flaxart {name} ' in run('-m', 'flaxart', '-h').stdout for name in COMMANDS)
  for i, name in enumerate(COMMANDS):
    done = run('-m', 'flaxart', *name.split(), ('-h', '--help')[i % 2])
    assert done.returncode == 0 and '--' in done.stdout, (name, done.stderr)


def test_a_reader_that_has_gone_is_no_error():
  begin = 'from tfds_rijks import command; command.run(lambda: print("x" * 100_000))'
  for unbuffered in ([], ['-u']):
    process = subprocess.Popen(
      [sys.executable, *unbuffered, '-c', begin], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert process.wait(timeout=60) == 0 and process.stderr.read() == b''
    process.stderr.close()
