"""Faults during a run: signals, a second trainer, disk, NaN."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from trainer import ROOT, at_step, command, metric_lines, set_steps, wait_for

from flaxart.machine.interrupt import EXIT_CODE, SIGNALS, Interrupt, StoppedError
from flaxart.machine.locks import WorkdirLock
from flaxart.train import train_and_evaluate
from flaxart.verify import verify
from flaxart.workdir import checkpoint
from tfds_rijks.errors import UserError


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_saves_at_the_end_of_the_step(tiny, tmp_path, number):
  set_steps(tiny, 6)
  handlers = [signal.getsignal(n) for n in SIGNALS]
  sends = at_step(3, lambda: os.kill(os.getpid(), number))
  with pytest.raises(StoppedError, match=r'saved step 3 of 6; to continue: python -m flaxart'):
    train_and_evaluate(tiny, tmp_path / 'run', on_step=sends)
  assert [signal.getsignal(n) for n in SIGNALS] == handlers
  assert set(checkpoint.steps_on_disk(tmp_path / 'run')) == {3}
  assert verify(tmp_path / 'run') == {3: []}
  assert train_and_evaluate(tiny, tmp_path / 'run')['train']['steps'] == 6


@pytest.mark.kill
def test_the_command_exits_with_75_and_the_second_signal_stops_at_once(slim, tmp_path):
  set_steps(slim, 100_000)
  slim.train.eval_every_epochs = slim.train.epochs
  run = tmp_path / 'run'
  trainer = subprocess.Popen(command(slim, run, tmp_path), cwd=ROOT, stderr=subprocess.PIPE)
  wait_for(lambda: len(metric_lines(run)) > 2)
  trainer.terminate()
  _, said = trainer.communicate(timeout=60)
  assert trainer.returncode == EXIT_CODE == 75
  assert f'to continue: python -m flaxart.main --workdir={run}' in said.decode()
  (step,) = checkpoint.steps_on_disk(run)
  assert verify(run) == {step: []}

  # Continued; stopped so hard that nothing is saved.
  trainer = subprocess.Popen(command(slim, run, tmp_path), cwd=ROOT, stderr=subprocess.PIPE)
  lines = len(metric_lines(run))
  wait_for(lambda: len(metric_lines(run)) > lines + 2)
  os.kill(trainer.pid, signal.SIGSTOP)  # both signals arrive before the step ends
  trainer.terminate()
  os.kill(trainer.pid, signal.SIGINT)
  os.kill(trainer.pid, signal.SIGCONT)
  trainer.communicate(timeout=60)
  assert trainer.returncode in (-signal.SIGTERM, -signal.SIGINT)
  assert set(checkpoint.steps_on_disk(run)) == {step}


def test_a_second_signal_is_not_caught():
  code = (
    'import os, signal\nfrom flaxart.machine.interrupt import Interrupt\n'
    'with Interrupt():\n  os.kill(os.getpid(), signal.SIGTERM)\n'
    '  print("first", flush=True)\n  os.kill(os.getpid(), signal.SIGTERM)\n  print("second")\n'
  )
  done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True)
  assert (done.returncode, done.stdout) == (-signal.SIGTERM, 'first\n')


@pytest.mark.kill
def test_a_trainer_continues_when_the_reader_of_its_output_ends(slim, tmp_path):
  set_steps(slim, 40)
  run = tmp_path / 'run'
  line = command(slim, run, tmp_path)
  trainer = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
  wait_for(lambda: len(metric_lines(run)) > 2)
  trainer.stdout.close()  # as `| tee log` ends
  assert trainer.wait(timeout=120) == 0
  assert json.loads((run / 'results.json').read_text())['train']['steps'] == 40


@pytest.mark.kill
def test_a_trainer_whose_terminal_closes_has_saved(slim, tmp_path):
  set_steps(slim, 100_000)
  slim.train.eval_every_epochs = slim.train.epochs
  run = tmp_path / 'run'
  (tmp_path / 'line').write_text(json.dumps(command(slim, run, tmp_path)))
  ours, its = os.openpty()
  code = (  # a session of its own on the terminal, as a shell has
    'import fcntl, json, os, termios\nfcntl.ioctl(0, termios.TIOCSCTTY, 0)\n'
    f'line = json.load(open({str(tmp_path / "line")!r}))\nos.execv(line[0], line)'
  )
  trainer = subprocess.Popen(
    [sys.executable, '-c', code],
    cwd=ROOT,
    stdin=its,
    stdout=its,
    stderr=its,
    start_new_session=True,
  )
  os.close(its)
  wait_for(lambda: len(metric_lines(run)) > 2)
  os.close(ours)
  assert trainer.wait(timeout=60) == EXIT_CODE
  (step,) = checkpoint.steps_on_disk(run)
  assert verify(run) == {step: []}


def test_a_command_whose_reader_ends_reaches_its_own_end():
  code = (
    'import sys\nfrom tfds_rijks.command import run\n'
    'def main():\n  for i in range(100_000):\n    print(i)\n'
    '  print("done", file=sys.stderr)\n  return 3\nrun(main)\n'
  )
  line = [sys.executable, '-c', code]
  process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
  assert process.stdout.readline() == b'0\n'
  process.stdout.close()
  assert (process.wait(timeout=60), process.stderr.read()) == (3, b'done\n')


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='only Linux has /dev/full')
def test_output_to_a_full_disk_is_one_line():
  code = 'from tfds_rijks.command import run\nrun(lambda: print("x"))\n'
  with Path('/dev/full').open('w') as full:
    line = [sys.executable, '-c', code]
    done = subprocess.run(line, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
  said = 'error: writing: no space left on the device; free some or choose another folder\n'
  assert (done.returncode, done.stderr) == (2, said)


def test_a_signal_that_nohup_ignores_stays_ignored():
  code = (
    'import os, signal\nfrom flaxart.machine.interrupt import Interrupt\n'
    'signal.signal(signal.SIGHUP, signal.SIG_IGN)\n'
    'with Interrupt() as asked:\n  os.kill(os.getpid(), signal.SIGHUP)\n'
    '  print(asked.requested(1))\n'
  )
  done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True)
  assert (done.returncode, done.stdout) == (0, 'False\n')


class SharedKeys:
  """The key-value client of `jax.distributed`, for threads of one process."""

  def __init__(self):
    import threading

    self.values, self.changed = {}, threading.Condition()

  def key_value_set(self, key, value):
    with self.changed:
      assert key not in self.values
      self.values[key] = value
      self.changed.notify_all()

  def key_value_dir_get(self, folder):
    with self.changed:
      return [(k, v) for k, v in self.values.items() if k.startswith(folder)]

  def blocking_key_value_get(self, key, wait_ms):
    with self.changed:
      assert self.changed.wait_for(lambda: key in self.values, wait_ms / 1000)
      return self.values[key]


def test_processes_at_different_steps_agree_on_one_to_stop_after():
  client = SharedKeys()
  interrupts = [Interrupt(client=client, process=i, processes=2) for i in range(2)]
  for interrupt in interrupts:
    interrupt._key = 'test'
  with interrupts[0], interrupts[1]:
    assert not interrupts[0].requested(7) and not interrupts[1].requested(9)
    interrupts[0]._note(signal.SIGTERM, None)
    wait_for(lambda: all(i._stop_at for i in interrupts), 10)
    assert [i._stop_at for i in interrupts] == [10, 10]
    assert not interrupts[0].requested(9) and interrupts[1].requested(10)
    assert interrupts[0].requested(10)


def test_a_second_trainer_on_a_workdir_is_refused_by_pid_and_host(tiny, tmp_path):
  run = tmp_path / 'run'
  with (
    WorkdirLock(run),
    pytest.raises(UserError, match=rf'is being trained by process {os.getpid()} on \S+; wait'),
  ):
    train_and_evaluate(tiny, run)
  assert [p.name for p in run.iterdir()] == ['.lock']  # it was refused before it wrote anything
  with WorkdirLock(run):  # a lock ends with its holder
    pass


def test_what_a_killed_trainer_was_writing_is_removed(tmp_path):
  ours, theirs = (tmp_path / f'.results.json.{pid}.tmp' for pid in (12, 13))
  for path in (ours, theirs):
    path.touch()
  (tmp_path / '.lock').write_text('process 12 on host\n')
  with WorkdirLock(tmp_path):
    assert not ours.exists() and theirs.exists()
  (tmp_path / '.lock').write_text('process * on host\n')
  with WorkdirLock(tmp_path):
    assert theirs.exists()


@pytest.fixture
def small_disk(tmp_path):
  """A file system of 16 MB."""
  folder = tmp_path / 'disk'
  folder.mkdir()
  mounted = subprocess.run(
    ['mount', '-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', folder], capture_output=True, check=False
  )
  if mounted.returncode:
    pytest.skip('needs the right to mount a file system')
  yield folder
  subprocess.run(['umount', '-l', folder], check=True)


def test_a_disk_that_fills_up_is_one_line_and_earlier_checkpoints_are_intact(
  slim, small_disk, monkeypatch
):
  set_steps(slim, 6)
  slim.checkpoint.every_steps = 2
  monkeypatch.setattr('flaxart.training.estimate.LOGS_GB', 0.0)
  run = small_disk / 'run'
  usage = shutil.disk_usage(small_disk)

  def fill():
    wait_for((run / 'checkpoints' / '2').exists)
    now = os.statvfs(small_disk)
    with (small_disk / 'thesis.pdf').open('wb') as file:
      file.write(bytes(now.f_bavail * now.f_frsize - 200_000))

  with monkeypatch.context() as patch:
    # Free space is checked before a save; here another program takes it afterwards.
    patch.setattr('flaxart.workdir.checkpoint.shutil.disk_usage', lambda path: usage)
    with pytest.raises(UserError, match=r'could not be written .*steps 2 are intact: free some'):
      train_and_evaluate(slim, run, on_step=at_step(3, fill))
  (small_disk / 'thesis.pdf').unlink()
  assert train_and_evaluate(slim, run)['train']['steps'] == 6
  assert [line for lines in verify(run).values() for line in lines] == []


def test_a_folder_turned_read_only_is_one_line_and_the_run_continues_once_writable(
  tiny, small_disk, monkeypatch
):
  set_steps(tiny, 6)
  tiny.checkpoint.every_steps = 2
  monkeypatch.setattr('flaxart.training.estimate.LOGS_GB', 0.0)
  run = small_disk / 'run'

  def protect():
    folder = run / 'checkpoints'
    wait_for((folder / '2' / 'manifest.json').exists)
    subprocess.run(['mount', '--bind', folder, folder], check=True)
    read_only = ['mount', '-o', 'remount,bind,ro', folder]  # "busy" while a file is being written
    wait_for(lambda: subprocess.run(read_only, check=False).returncode == 0)

  with pytest.raises((UserError, OSError), match=r'[Rr]ead-only file system'):
    train_and_evaluate(tiny, run, on_step=at_step(4, protect))
  with pytest.raises((UserError, OSError), match=r'[Rr]ead-only file system'):
    train_and_evaluate(tiny, run)  # as a command: one line and exit code 2 (`tfds_rijks.command`)
  subprocess.run(['umount', run / 'checkpoints'], check=True)
  assert train_and_evaluate(tiny, run)['train']['steps'] == 6
  assert [line for lines in verify(run).values() for line in lines] == []


def test_a_failed_save_is_one_line_that_names_the_intact_steps(tiny, tmp_path, monkeypatch):
  set_steps(tiny, 6)
  tiny.checkpoint.every_steps = 2
  run = tmp_path / 'run'
  usage = shutil.disk_usage(tmp_path)

  def no_room():
    full = type(usage)(usage.total, usage.total, 1000)
    monkeypatch.setattr('flaxart.workdir.checkpoint.shutil.disk_usage', lambda path: full)

  with pytest.raises(UserError, match=r'checkpoint 4 could not be written \(needs \d\.\d MB') as e:
    train_and_evaluate(tiny, run, on_step=at_step(3, no_room))
  assert 'steps 2 are intact' in str(e.value)
  assert verify(run) == {2: []}


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_saving_leaves_no_open_file_and_no_thread_behind(tiny, tmp_path):
  set_steps(tiny, 16)
  tiny.checkpoint.every_steps = 1
  tiny.train.eval_every_epochs = tiny.train.epochs
  seen = []

  def look(step):
    seen.append([len(list(Path('/proc/self', name).iterdir())) for name in ('fd', 'task')])

  train_and_evaluate(tiny, tmp_path / 'run', on_step=look)
  early, late = np.max(seen[2:6], axis=0), np.min(seen[12:16], axis=0)  # a busy machine has peaks
  assert (late <= early + 6).all(), (early, late)  # three files per save would be 30 more


def test_data_that_vanish_are_one_line_with_the_record(tiny, tmp_path):
  data = tmp_path / 'data'
  shutil.copytree(tiny.data.data_dir, data)
  tiny.data.data_dir = str(data)
  set_steps(tiny, 40)
  tiny.train.eval_every_epochs = tiny.train.epochs

  def cut():
    for path in data.rglob('*.array_record*'):
      os.truncate(path, 100)

  with pytest.raises(
    UserError, match=r'array_record.*: is damaged.*record \d{4}.png, .*--overwrite'
  ):
    train_and_evaluate(tiny, tmp_path / 'run', on_step=at_step(2, cut))
