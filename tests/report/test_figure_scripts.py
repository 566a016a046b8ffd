"""The configs of both figures, and the scripts that run them."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from flaxart.config import differences
from flaxart.config_checks import validate
from tfds_rijks.errors import UserError

ROOT = Path(__file__).parents[2]
NOT_RUN = ' # not run'


def get_config(name, arguments):
  spec = importlib.util.spec_from_file_location(name, ROOT / 'configs' / f'{name}.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  config = module.get_config(arguments)
  validate(config)
  return config


def launch(name, *arguments, **variables):
  done = subprocess.run(
    ['bash', ROOT / 'launch' / f'{name}.sh', *arguments],
    capture_output=True,
    text=True,
    env={**os.environ, **variables},
  )
  lines = [line for line in done.stdout.splitlines() if line.startswith('python')]
  commands = [shlex.split(line, comments=True) for line in lines]
  assert [NOT_RUN in line for line in lines] == [
    '--dry_run' in arguments or 'flaxart.report' in line for line in lines
  ]
  return done, commands


@pytest.mark.parametrize(
  ('mode', 'expected'),
  [
    ('off_the_shelf', ('imagenet', 'heads', 'rmsprop')),
    ('fine_tuned', ('imagenet', 'all', 'sgd')),
    ('scratch', ('scratch', 'all', 'sgd')),
  ],
)
def test_figure1_has_the_settings_of_the_papers_text(mode, expected):
  config = get_config('figure1', f'model=xception,task=type,mode={mode},seed=3')
  assert (config.init, config.trainable, config.optim.name) == expected
  assert (config.tasks, config.seed, config.data.image_size) == ('type', 3, 299)
  assert (config.train.batch_size, config.optim.learning_rate) == (32, 1e-3)
  assert (config.optim.momentum, config.optim.nesterov) == (0.9, True)
  assert (config.train.early_stop_patience, config.checkpoint.best) == (7, 'loss')
  assert not config.augment.flip and not config.augment.zoom


def test_figure2_differs_only_in_the_tasks():
  multi = get_config('figure2', 'run=multi,seed=1')
  for task in ('artist', 'material', 'type'):
    single = get_config('figure2', f'run={task},seed=1')
    assert set(differences(multi, single)) == {'tasks'} and single.tasks == task
  assert multi.train.early_stop_patience == 0  # else the pictures seen would differ


@pytest.mark.parametrize(
  ('name', 'arguments', 'line'),
  [
    ('figure1', 'network=vgg19', "found 'network=vgg19' after the file, expected model=M,task=T"),
    (
      'figure1',
      'model=vgg16',
      "found 'model=vgg16' after the file, expected for model one of .*vgg",
    ),
    ('figure1', 'mode=best', "found 'mode=best' .* expected for mode one of off_the_shelf, fine"),
    ('figure1', 'task=', "found 'task='"),
    ('figure1', 'seed=one', "found seed='one', expected a whole number"),
    ('figure2', 'multi', "found 'multi' after the file, expected run=R"),
    ('figure2', 'seed=-1', "found seed='-1'"),
  ],
)
def test_a_wrong_part_is_named(name, arguments, line):
  with pytest.raises(UserError, match=line):
    get_config(name, arguments)


def test_figure1_runs_the_grid():
  done, commands = launch('figure1', '--dry_run', DATA_DIR='/data', OUT='/tmp/none')
  assert done.returncode == 0 and len(commands) == 4 * 3 * 3 * 3 + 1
  assert len({command[3] for command in commands[:-1]}) == 108
  assert commands[-1] == [
    *['python', '-m', 'flaxart.report'], '--runs=/tmp/none/*', '--output=/tmp/none.report',
  ]  # fmt: skip


def test_figure1_takes_lists_a_dataset_a_task_and_flags():
  done, commands = launch(
    'figure1',
    '--dry_run',
    '--',
    '--config.data.image_size=48',
    MODELS='vgg19',
    TASKS='artist\ntype',
    MODES='scratch',
    SEEDS='7',
    OUT="/tmp/it's none",
    DATASET='rijksmuseum/eccv2018_{task}',
  )
  assert done.returncode == 0 and len(commands) == 3
  for command, task in zip(commands[:2], ('artist', 'type'), strict=True):
    assert f"--workdir=/tmp/it's none/vgg19_{task}_scratch_s7" in command
    assert f'--config.data.dataset=rijksmuseum/eccv2018_{task}' in command
    assert command[-1] == '--config.data.image_size=48'
  assert commands[2][3:] == ["--runs=/tmp/it's none/*", "--output=/tmp/it's none.report"]


def test_runs_from_scratch_ignore_init():
  done, commands = launch(
    'figure1', '--dry_run', MODELS='vgg19', TASKS='type', SEEDS='4', INIT='first/{model}_s{seed}'
  )
  starts = [next(f for f in c if f.startswith('--config.init=')) for c in commands[:3]]
  assert [s.partition('=')[2] for s in starts] == ['first/vgg19_s4', 'first/vgg19_s4', 'scratch']
  for flags in (['--config.init=runs/a'], ['--config.init', 'runs/a']):
    done, commands = launch('figure1', '--dry_run', '--', *flags)
    assert done.returncode == 2 and not commands and 'expected INIT=' in done.stderr


def test_figure2_runs_multi_and_single_on_any_tasks():
  done, commands = launch('figure2', '--dry_run', TASKS='artist subject', OUT='/tmp/none')
  assert done.returncode == 0 and len(commands) == 3 * 3 + 1
  tasks = [next(f for f in c if f.startswith('--config.tasks=')) for c in commands[:3]]
  assert [t.partition('=')[2] for t in tasks] == ['artist,subject', 'artist', 'subject']


def test_finished_runs_are_skipped_and_failed_ones_named(tmp_path):
  (tmp_path / 'artist_s0').mkdir()
  (tmp_path / 'artist_s0' / 'results.json').write_text('{}')
  fake = tmp_path / 'bin' / 'python'
  fake.parent.mkdir()
  fake.write_text('#!/bin/sh\ncase "$*" in *run=multi*) exit 2;; esac\n')
  fake.chmod(0o755)
  path = f'{fake.parent}:{os.environ["PATH"]}'
  done, commands = launch('figure2', SEEDS='0', OUT=str(tmp_path), PATH=path)
  assert f'finished: {tmp_path}/artist_s0' in done.stdout and len(commands) == 3 + 1
  assert done.returncode == 1 and f'1 runs failed: {tmp_path}/multi_s0' in done.stderr


def test_ctrl_c_ends_the_series(tmp_path):
  fake = tmp_path / 'bin' / 'python'
  fake.parent.mkdir()
  fake.write_text('#!/bin/sh\nexit 130\n')
  fake.chmod(0o755)
  path = f'{fake.parent}:{os.environ["PATH"]}'
  done, commands = launch('figure2', OUT=str(tmp_path), PATH=path)
  assert done.returncode == 130 and len(commands) == 1


def test_a_wrong_argument_is_one_line():
  done, commands = launch('figure1', '--fast')
  assert done.returncode == 2 and not commands and "found '--fast'" in done.stderr


@pytest.mark.skipif(shutil.which('shellcheck') is None, reason='no shellcheck here')
def test_the_scripts_are_clean():
  files = [ROOT / 'launch' / name for name in ('figure1.sh', 'figure2.sh', 'series.bash')]
  subprocess.run(['shellcheck', '-x', '-s', 'bash', *files], check=True, cwd=ROOT)
