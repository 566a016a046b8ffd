"""The wheel, installed away from the clone: what is in it, and that every command works from it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tiny_museum import draw_collection

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

  def run(*arguments):
    # -P keeps the current folder out of the path, PYTHONPATH comes before the editable install.
    done = subprocess.run(
      [sys.executable, '-P', *arguments],
      cwd=folder,
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


def test_every_command_works_from_it_with_a_config_given_by_name_or_path(installed):
  folder, _, run = installed
  assert (
    Path(run('-c', 'import flaxart; print(flaxart.__file__)').strip()).parent.parent
    == folder / 'site'
  )
  draw_collection(folder / 'source')
  (folder / 'mine.py').write_text(CONFIG)
  run(
    '-m', 'tfds_rijks.prepare', '--dataset=collection', '--manual_dir=source', '--data_dir=prepared'
  )
  plan = ['--config=mtl', '--config.data.dataset=collection', '--config.data.data_dir=prepared']
  small = ['--config.tasks=artist,type', '--config.model.width=0.0625', '--config.model.shallow']
  run('-m', 'flaxart', 'train', *plan, *small, '--config.data.image_size=32', '--dry_run')
  table = run('-m', 'flaxart.main', f'--config={folder / "mine.py"}', '--workdir=run')
  assert 'test split, best checkpoint' in table
  assert run('-m', 'flaxart.main', '--mode=eval', '--workdir=run', '--split=test') in table
  run('-m', 'flaxart.predict', '--workdir=run', '--images=source', '--output=names.csv')
  assert (
    len((folder / 'names.csv').read_text(encoding='utf-8-sig').splitlines()) == 162
  )  # metadata.csv is skipped
  assert 'intact' in run('-m', 'flaxart.verify', '--workdir=run')
