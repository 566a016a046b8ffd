"""How the processes of a run reach JAX's service in process 0.

JAX's client ends its process, with a C++ stack, once its connection to the service closes; and a
service that is asked by a process of another run ends its own. So neither meets the network:
process 0 has an `Entrance` at the address of the run, the others a `Relay` that goes through it. A
connection begins with a line, `flaxart NUMBER TOKEN`, whose answer is `welcome` or `taken`.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from flaxart.machine.coordinator import ANSWER_S, PAUSE_S, START_S, free_port, listening, split
from tfds_rijks import progress
from tfds_rijks.errors import UserError

_LINE = 100  # bytes at most
Take = Callable[[socket.socket], None]
_WELCOME, _TAKEN = b'welcome\n', b'taken\n'


class Entrance:
  """Listens at `bind` (`HOST:PORT`) and lets one process of each number in to the service at
  `inner`. Raises `UserError` if it cannot listen there.
  """

  def __init__(self, bind: str):
    self.inner = f'127.0.0.1:{free_port()}'
    self._tokens: dict[bytes, bytes] = {}
    self._lock = threading.Lock()
    _in_thread(_accept, listening(*split(bind)), self._pass)

  def _pass(self, near: socket.socket) -> None:
    near.settimeout(ANSWER_S)
    words = _line(near).split()
    if len(words) != 3 or words[0] != b'flaxart':
      near.close()
      return
    with self._lock:
      known = self._tokens.setdefault(words[1], words[2])
    if known != words[2]:
      near.sendall(_TAKEN)
      near.close()
      return
    near.sendall(_WELCOME)
    _join(near, self._service())

  def _service(self) -> socket.socket:
    """A connection to the service, which begins after the entrance."""
    end = time.monotonic() + ANSWER_S
    while True:
      try:
        return socket.create_connection(split(self.inner), timeout=ANSWER_S)
      except OSError:
        if time.monotonic() > end:
          raise
        time.sleep(0.05)


class Relay:
  """Listens at `address`, for this host alone, and passes on to the entrance at `service`
  (`HOST:PORT`) for process `number`.

  While `holding`, the end of the service's connection is kept from the client.
  """

  def __init__(self, service: str, number: int):
    self.holding = False
    self._service = service
    self._name = f'flaxart {number} {secrets.token_hex(16)}\n'.encode()
    self._lines: list[socket.socket] = []  # an object that is collected would close its connection
    listener = socket.create_server(('127.0.0.1', 0))
    self.address = f'127.0.0.1:{listener.getsockname()[1]}'
    _in_thread(_accept, listener, self._pass)

  def wait(self, *, wait_s: float = START_S) -> None:
    """Returns once process 0 answers; a refused connection is waited for, as it may be starting.

    Raises `UserError` if it is not there after `wait_s`, or if something else answers.
    """
    end = time.monotonic() + wait_s
    with progress.working(f'waiting for process 0 at {self._service}'):
      while True:
        try:
          line, answer = self._asked()
          break
        except OSError as error:
          if time.monotonic() > end:
            raise UserError(
              f'{self._service}: process 0 did not start there within {wait_s:.0f} s ({error}); '
              'its own output says why, or set JAX_COORDINATOR_ADDRESS to where it can be reached'
            ) from error
          time.sleep(PAUSE_S)
    line.close()
    if answer != _WELCOME:
      who = 'another run' if answer == _TAKEN else 'something else than process 0'
      raise UserError(
        f'JAX_COORDINATOR_ADDRESS: {who} answers at {self._service}; choose another port for all '
        'processes'
      )

  def _asked(self) -> tuple[socket.socket, bytes]:
    """A connection to the entrance and its answer; `OSError` if there is no connection."""
    line = socket.create_connection(split(self._service), timeout=ANSWER_S)
    try:
      line.sendall(self._name)
      return line, _line(line)
    except OSError:  # it hung up, or says nothing
      return line, b''

  def _pass(self, near: socket.socket) -> None:
    try:
      far, answer = self._asked()
    except OSError:
      answer = b''
    if answer != _WELCOME:
      near.close()  # the client tries again
      return
    self._lines += [near, far]
    _join(near, far, self)


def _accept(listener: socket.socket, take: Take) -> None:
  while True:
    try:
      line, _ = listener.accept()
    except OSError:  # it hung up, or too many files are open
      time.sleep(PAUSE_S)
      continue
    _in_thread(_quietly, take, line)


def _quietly(take: Take, line: socket.socket) -> None:
  with contextlib.suppress(OSError):
    take(line)


def _join(near: socket.socket, far: socket.socket, relay: Relay | None = None) -> None:
  for line in (near, far):
    line.settimeout(None)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
  _in_thread(_pass_on, near, far, near, relay)
  _pass_on(far, near, near, relay)


def _pass_on(
  source: socket.socket, sink: socket.socket, near: socket.socket, relay: Relay | None
) -> None:
  ended = source
  try:
    while data := source.recv(1 << 16):
      ended = sink
      sink.sendall(data)
      ended = source
  except OSError:
    pass
  if relay is not None and relay.holding and ended is not near:
    return
  for line in (source, sink):
    with contextlib.suppress(OSError):  # closed already
      line.shutdown(socket.SHUT_RDWR)


def _line(line: socket.socket) -> bytes:
  """The next line, byte by byte: what follows is the client's; cut if it is too long or late."""
  found = b''
  end = time.monotonic() + ANSWER_S
  while not found.endswith(b'\n') and len(found) < _LINE and time.monotonic() < end:
    more = line.recv(1)
    if not more:
      break
    found += more
  return found


def _in_thread(function: Callable[..., None], *arguments: Any) -> None:
  threading.Thread(target=function, args=arguments, name='relay', daemon=True).start()
