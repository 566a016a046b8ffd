"""The wheel, installed away from the clone: what is in it, and that every command works from it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import first_hour
import pytest

import flaxart

pytestmark = pytest.mark.wheel
ROOT = Path(__file__).parents[1]

CONFIG = """
from flaxart.config import default_config


def get_config():
  config = default_config()
  config.init, config.tasks = 'scratch', 'artist,type'
  config.data.dataset, config.data.data_dir = 'collection', 'prepared'
  config.data.image_size, config.train.batch_size, config.train.epochs = 32, 32, 1.0
  config.model.width, config.model.shallow = 0.0625, True
  config.log.tensorboard = config.eval.baselines = False
  return config
"""


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
  """A folder outside the clone with the wheel's content, and a `run` that only sees that."""
  folder = tmp_path_factory.mktemp('wheel')
  pip = [sys.executable, '-m', 'pip', '--quiet', '--disable-pip-version-check']
  subprocess.run(
    [*pip, 'wheel', str(ROOT), '--no-deps', '--no-build-isolation', '-w', folder], check=True
  )
  (wheel,) = folder.glob('*.whl')
  site = folder / 'site'
  subprocess.run([*pip, 'install', '--no-deps', '--target', site, wheel], check=True)

  def run(*arguments, cwd=folder):
    # -P keeps the current folder out of the path, PYTHONPATH comes before the editable install.
    done = subprocess.run(
      [sys.executable, '-P', *arguments],
      cwd=cwd,
      capture_output=True,
      text=True,
      env={**os.environ, 'PYTHONPATH': str(site)},
      timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

  return folder, wheel, run


def test_the_wheel_holds_the_two_packages_and_nothing_else(installed):
  _, wheel, _ = installed
  names = zipfile.ZipFile(wheel).namelist()
  assert {name.split('/')[0] for name in names} == {
    'flaxart',
    'tfds_rijks',
    next(n for n in names if n.endswith('.dist-info/METADATA')).split('/')[0],
  }
  inside = {name for name in names if name.startswith(('flaxart/', 'tfds_rijks/'))}
  tracked = subprocess.run(
    ['git', 'ls-files', 'flaxart', 'tfds_rijks'], cwd=ROOT, capture_output=True, text=True
  )
  if tracked.returncode == 0:
    assert inside >= set(tracked.stdout.split())


def test_a_strict_type_checker_accepts_a_script_with_every_public_name(installed):
  pytest.importorskip('mypy', reason='needs the extra `dev`')
  folder, _, run = installed
  script = Path(__file__).with_name('every_public_name.py').read_text()
  assert set(flaxart.__all__) <= set(re.findall(r'flaxart\.(\w+)', script))
  (folder / 'script.py').write_text(script)
  run('-m', 'mypy', '--strict', 'script.py')


@pytest.mark.parametrize('columns', [60, pytest.param(80, marks=pytest.mark.slow)])
def test_the_first_hour_is_played_from_it(installed, columns):
  folder, _, run = installed
  assert (
    Path(run('-c', 'import flaxart; print(flaxart.__file__)').strip()).parent.parent
    == folder / 'site'
  )
  with tempfile.TemporaryDirectory() as short:  # a path that fits: words stay whole
    steps = first_hour.hour(Path(short), columns=columns, site=folder / 'site')
    assert [line for seen in steps for line in first_hour.problems(seen, columns=columns)] == []
    *_, trained, predicted, reported = steps
    assert 'holds the finished run' in trained.text and 'names.csv: 12 rows' in predicted.text
    assert 'report.html: written' in reported.text
    assert any('\r' in seen.text and 'training' in seen.text for seen in steps)
    if columns == 80:
      return
    workdir = '--workdir=runs/my first, é'
    again = run('-m', 'flaxart', 'train', '--mode=eval', workdir, '--split=test', cwd=short)
    scores = [line.split()[:5] for line in again.splitlines() if line.startswith('artist')]
    assert scores[0] in [line.split()[:5] for line in trained.left()]
    assert 'intact' in run('-m', 'flaxart', 'verify', workdir, cwd=short)
    Path(short, 'mine.py').write_text(CONFIG)
    run('-m', 'flaxart', 'train', f'--config={short}/mine.py', '--dry_run', cwd=short)
