"""A process that dies, fails or is late ends the others, with one line."""

from __future__ import annotations

import signal
import socket
import threading
import time

import pytest
from tiny_museum import tiny_config
from together import free_address, start, together
from trainer import ROOT, set_steps

from flaxart.config import to_json
from flaxart.machine import coordinator, peers, relay
from flaxart.machine.relay import Entrance, Relay
from flaxart.verify import verify
from flaxart.workdir.manifest import steps_in
from tfds_rijks.errors import UserError

pytestmark = pytest.mark.processes
# Arguments: what happens at the 20th step, to which process (-1: to all), seconds of a step.
WORK = """
import os, signal, sys, time
import jax, numpy as np
from flaxart.machine import peers, processes
from tfds_rijks.command import run
from tfds_rijks.errors import UserError
what, victim, step_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
def work():
  for step in range(40):
    processes.from_first_process(np.float32(step))
    if step == 20 and victim in (-1, jax.process_index()):
      if what == 'error':
        raise UserError(f'{victim} has no space left')
      if what == 'bug':
        raise ValueError('a mistake')
      os.kill(os.getpid(), getattr(signal, what))
    time.sleep(step_s)
  return 0
def main():
  joined = processes.join()
  kept = lambda: what != 'SIGUSR2'
  return peers.together(work, peers.watch(joined, kept=kept, again='the command'))
run(main)
"""


def happens(what, victim, *, count, step_s=0.0, **options):
  return together(*[['-c', WORK, what, str(victim), str(step_s)]] * count, **options)


def errors(said):
  """The lines of an output that are not the machine's chatter while it is loaded."""
  return [line for line in said.splitlines() if not line.startswith(('working', 'waiting'))]


@pytest.mark.parametrize(
  ('count', 'victim', 'what', 'code', 'then'),
  [
    (2, 1, 'SIGKILL', 75, 'to continue'),
    (3, 0, 'SIGKILL', 75, 'to continue'),
    (2, 0, 'SIGUSR2', 1, 'no checkpoint was saved; to start again'),
  ],
)
def test_a_process_that_dies_ends_the_others(count, victim, what, code, then):
  ends = happens(what, victim, count=count)
  line = f'error: process {victim} of {count} ended without a word; {then}: the command'
  for number, (_, said, found) in enumerate(ends):
    if number == victim:
      assert found == -getattr(signal, what)
    else:
      assert (found, errors(said)) == (code, [line]), said


def test_a_process_that_fails_ends_the_others():
  ends = happens('error', 2, count=3)
  assert (ends[2][2], errors(ends[2][1])) == (2, ['error: 2 has no space left'])
  line = 'error: process 2 of 3 stopped with an error; its own output says why'
  for _, said, code in ends[:2]:
    assert (code, errors(said)) == (2, [line]), said


def test_processes_that_fail_alike_all_say_why():
  for _, said, code in happens('error', -1, count=2):
    assert (code, errors(said)) == (2, ['error: -1 has no space left']), said


def test_a_mistake_of_the_first_process_ends_the_others():
  first, other = happens('bug', 0, count=2)
  assert first[2] == 1 and 'ValueError: a mistake' in first[1]
  line = 'error: process 0 of 2 stopped with an error; its own output says why'
  assert (other[2], errors(other[1])) == (1, [line])


@pytest.mark.slow
@pytest.mark.parametrize('victim', [0, 1])
def test_a_process_that_is_late_ends_the_others(victim):
  began = time.monotonic()
  processes = start([['-c', WORK, 'SIGSTOP', str(victim), '0.01']] * 3)
  line = f'error: process {victim} of 3 has not been heard of for 40 s; to continue: the command'
  for number, process in enumerate(processes):
    if number != victim:
      said = process.communicate(timeout=120)[1]
      assert (process.returncode, errors(said)) == (75, [line]), said
  assert time.monotonic() - began < 60 + 20  # it began to work before it was stopped
  processes[victim].send_signal(signal.SIGCONT)
  assert processes[victim].communicate(timeout=60) and processes[victim].returncode == 75


@pytest.mark.slow
def test_processes_that_are_all_suspended_continue():
  processes = start([['-c', WORK, 'SIGCONT', '0', '0.5']] * 2)  # 20 s of work
  time.sleep(12)
  for process in processes:
    process.send_signal(signal.SIGSTOP)
  time.sleep(60)
  for process in processes:
    process.send_signal(signal.SIGCONT)
  for process in processes:
    said = process.communicate(timeout=120)[1]
    assert (process.returncode, errors(said)) == (0, []), said


@pytest.mark.slow
@pytest.mark.parametrize(('count', 'late'), [(2, 0), (3, 2)])
def test_a_slow_start_is_waited_for(count, late):
  ends = happens('SIGCONT', 0, count=count, late=late)
  assert [code for _, _, code in ends] == [0] * count, ends


def listen(answer):
  """Answers every connection with these bytes and hangs up, or is silent for None."""
  listening, kept = socket.create_server(('127.0.0.1', 0)), []

  def serve():
    while True:
      line, _ = listening.accept()
      kept.append(line)
      if answer is not None:
        line.recv(100)
        line.sendall(answer)
        line.shutdown(socket.SHUT_WR)

  threading.Thread(target=serve, daemon=True).start()
  return f'127.0.0.1:{listening.getsockname()[1]}'


def test_a_port_that_is_taken_ends_all():
  address = listen(b'HTTP/1.1 400 Bad Request\r\n\r\n')
  first, *others = happens('SIGKILL', 0, count=3, address=address)
  port = address.partition(':')[2]
  line = (
    f'error: JAX_COORDINATOR_ADDRESS: port {port} is in use; choose another one for all processes'
  )
  assert (first[2], errors(first[1])) == (2, [line])
  line = (
    f'error: JAX_COORDINATOR_ADDRESS: something else than process 0 answers at {address}; choose '
    'another port for all processes'
  )
  for _, said, code in others:
    assert (code, errors(said)) == (2, [line]), said


def test_a_port_of_another_grpc_server_is_not_shared():
  """gRPC would: it sets SO_REUSEPORT, as every service of JAX does."""
  with socket.socket() as other:
    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    other.bind(('127.0.0.1', 0))
    other.listen()
    with pytest.raises(UserError, match='is in use; choose another one'):
      Entrance(f'127.0.0.1:{other.getsockname()[1]}')


def test_a_process_of_another_run_does_not_come_in():
  address = free_address()
  entrance = Entrance(address)
  with socket.create_server(coordinator.split(entrance.inner)) as service:
    for number in (1, 2):
      first = Relay(address, number)
      first.wait()
      first.wait()  # as often as its client asks
      with pytest.raises(UserError, match=f'another run answers at {address}; choose another'):
        Relay(address, number).wait()
    with pytest.raises(UserError, match='is in use'):
      Entrance(address)
    service.settimeout(1.0)
    for _ in range(4):
      service.accept()
    with pytest.raises(TimeoutError):
      service.accept()


@pytest.mark.parametrize('answer', [b'', b'welcome', b'SSH-2.0-OpenSSH\r\n', b'x' * 200, None])
def test_only_an_entrance_is_taken_for_process_0(monkeypatch, answer):
  monkeypatch.setattr(relay, 'ANSWER_S', 0.5)
  with pytest.raises(UserError, match='something else than process 0 answers'):
    Relay(listen(answer), 1).wait()


def test_process_0_is_waited_for():
  address = free_address()
  with pytest.raises(UserError, match='process 0 did not start there within 1 s'):
    Relay(address, 1).wait(wait_s=1.0)
  threading.Timer(1.0, Entrance, [address]).start()
  Relay(address, 1).wait()


@pytest.mark.parametrize('holding', [False, True])
def test_a_relay_can_hide_that_the_service_is_gone(holding):
  address = free_address()
  with socket.create_server(coordinator.split(Entrance(address).inner)) as service:
    way = Relay(address, 1)
    way.holding = holding
    with socket.create_connection(coordinator.split(way.address), timeout=1.0) as client:
      line, _ = service.accept()
      client.sendall(b'asked')
      assert line.recv(5) == b'asked'
      line.sendall(b'answered')
      assert client.recv(8) == b'answered'
      line.close()
      if holding:
        client.sendall(b'asked again')
        with pytest.raises(TimeoutError):
          client.recv(1)
      else:
        assert client.recv(1) == b''


class Store(dict):
  """The key-value service."""

  key_value_set = dict.__setitem__


def test_a_stranger_does_not_count_as_a_process(monkeypatch):
  ended = threading.Event()

  def leave(code):
    ended.set()
    threading.Event().wait()  # what follows `os._exit` must not run

  monkeypatch.setattr(peers.os, '_exit', leave)
  store = Store()
  peers.Watch(peers.Joined('127.0.0.1:1'), store, kept=bool, again='')
  port, token = store.popitem()[1].split()
  for said in (
    b'',
    b'0' * 32 + b' 1\n',
    '\u00e4 1\n'.encode(),
    b'x' * 5000,
    f'{token} 1\n'.encode(),
  ):
    assert not ended.is_set()
    with socket.create_connection(('127.0.0.1', int(port)), timeout=1.0) as line:
      line.sendall(said)
    time.sleep(0.1)
  assert ended.wait(15.0)  # the last one knew the token, and ended without a word


def test_a_training_outlives_a_lost_process(tmp_path, collection, monkeypatch):
  config = tiny_config(collection)
  set_steps(config, 60)
  config.checkpoint.every_steps = 5
  (tmp_path / 'config.json').write_text(to_json(config))
  for name, value in (('AT', '30'), ('PROCESS', '0'), ('SIGNAL', 'SIGKILL')):
    monkeypatch.setenv(f'STOP_{name}', value)
  file, run = f'{ROOT / "tests" / "double_precision.py"}:{tmp_path}', tmp_path / 'run'
  _, other = together(*[['-m', 'flaxart.main', f'--config={file}', f'--workdir={run}']] * 2)
  again = f'to continue: python -m flaxart.main --workdir={run}'
  assert other[2] == 75, other[1]
  assert other[1].splitlines()[-1] == f'error: process 0 of 2 ended without a word; {again}'
  assert 'Traceback' not in other[1] and 'Terminating process' not in other[1]
  steps = steps_in(run / 'checkpoints')
  assert steps and max(steps) <= 30
  assert not any(verify(run).values())
