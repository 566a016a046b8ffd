"""Commands restart for large memory pages: the same process, the same arguments."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from flaxart.machine import hugepages

SCRIPT = """
import os, sys
from flaxart.machine import hugepages
hugepages.restart()
print(os.getpid(), sys.argv[1:], repr(os.environ.get(hugepages.VARIABLE)))
"""


def started(tmp_path, environment):
  """The process id of a command that restarts, and what it prints."""
  script = tmp_path / 'command.py'
  script.write_text(SCRIPT)
  line = [sys.executable, '-X', 'utf8', str(script), 'a b', '--c=é']
  process = subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, encoding='utf-8')
  return process.pid, process.communicate(timeout=60)[0].strip()


def without_choice():
  return {k: v for k, v in os.environ.items() if k != hugepages.VARIABLE}


@pytest.fixture
def able(monkeypatch, tmp_path):
  """A system on which it helps."""
  mode = tmp_path / 'enabled'
  mode.write_text('always [madvise] never\n')
  monkeypatch.setattr(hugepages, '_MODE', mode)
  monkeypatch.setattr(platform, 'libc_ver', lambda: ('glibc', '2.35'))
  monkeypatch.delenv(hugepages.VARIABLE, raising=False)
  return mode


def test_the_restarted_process_is_the_same(tmp_path, monkeypatch):
  monkeypatch.delenv(hugepages.VARIABLE, raising=False)
  wish = repr(hugepages.WISH) if hugepages.would_help() else 'None'
  pid, told = started(tmp_path, without_choice())
  assert told == f"{pid} ['a b', '--c=é'] {wish}"


@pytest.mark.parametrize('choice', ['', 'glibc.malloc.hugetlb=0'])
def test_a_users_choice_is_left_alone(choice, tmp_path):
  pid, told = started(tmp_path, {**without_choice(), hugepages.VARIABLE: choice})
  assert told == f"{pid} ['a b', '--c=é'] {choice!r}"


def test_it_helps_where_pages_are_given_on_request(able):
  assert hugepages.would_help()


@pytest.mark.parametrize('mode', ['[always] madvise never', 'always madvise [never]', None])
def test_elsewhere_it_does_nothing(able, mode):
  if mode is None:
    able.unlink()
  else:
    able.write_text(mode + '\n')
  assert not hugepages.would_help()


@pytest.mark.parametrize('library', [('glibc', '2.34'), ('', ''), ('musl', '1.2')])
def test_another_c_library_does_not_know_the_setting(able, monkeypatch, library):
  monkeypatch.setattr(platform, 'libc_ver', lambda: library)
  assert not hugepages.would_help()


@pytest.mark.parametrize('module', ['main', 'predict'])
def test_commands_ask_before_they_import_anything_that_takes_time(module):
  code = (
    'import runpy, sys; from flaxart.machine import hugepages; '
    "hugepages.restart = lambda: print('asked', 'numpy' in sys.modules); "
    f"sys.argv = ['x', '--help']; runpy.run_module('flaxart.{module}', run_name='__main__')"
  )
  done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=120)
  assert done.returncode == 0 and done.stdout.startswith('asked False\n')
