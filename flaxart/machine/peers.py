"""The processes of a run watch each other: one that dies, hangs or fails ends all of them.

JAX notices a dead process too, but ends the others with a C++ stack, and only after minutes if
nothing was being sent. Here a thread of each process holds a connection to process 0 and says hello
every few seconds. A closed connection is noticed at once, silence after `LATE_S`; JAX's own limit
(100 s) is longer. Then each process says one line and leaves, without waiting for the dead one in
JAX's shutdown.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import re
import secrets
import selectors
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import jax

from flaxart.machine import processes
from flaxart.machine.coordinator import listening, split
from flaxart.machine.interrupt import EXIT_CODE
from flaxart.machine.processes import Joined
from tfds_rijks import command, terminal

HELLO_S = 5.0
LATE_S = 40.0  # of silence
GRACE_S = 5.0  # for a process to fail by itself, in its own words, after another one has
_LEAVE_S = 10.0  # for process 0, whose end ends the others
_TICK_S = 0.25
_KEY = 'flaxart/peers'
_LINE = 100  # characters of a message at most
# Errors of collectives and of JAX's service: JaxRuntimeError, or ValueError where jit dispatches.
_BROKEN = re.compile(r'(UNAVAILABLE|DEADLINE_EXCEEDED): |[A-Z_]+: .*(Gloo|NCCL|Connection|Socket)')
log = logging.getLogger('flaxart')


@dataclasses.dataclass(eq=False)
class _Link:
  """A connection to another process; `number` is None until it has said its name."""

  socket: socket.socket
  number: int | None = None
  unread: bytes = b''
  silent_s: float = 0.0
  over: bool = False  # said that it ends


class Watch:
  """The thread that watches the others; all of them through process 0.

  `kept` tells whether the run has a checkpoint, `again` is the command that continues it.
  """

  def __init__(self, joined: Joined, client: Any, *, kept: Callable[[], bool], again: str):
    self._number, self._count = jax.process_index(), jax.process_count()
    self._kept, self._again, self._relay = kept, again, joined.relay
    self._selector = selectors.DefaultSelector()
    self._links: list[_Link] = []
    self._listener: socket.socket | None = None
    self._speaking = threading.Lock()  # never released: who has it says why the process ends
    self._hurry = threading.Event()
    self._failed: tuple[int, int, float] | None = None  # process, exit code, when to follow it
    self._leaving: tuple[int, float] | None = None  # exit code, when to stop waiting for others
    if self._number == 0:
      self._token = secrets.token_hex(16)
      self._listener = listening(
        split(os.environ.get('JAX_COORDINATOR_BIND_ADDRESS', '[::]:0'))[0], 0
      )
      self._selector.register(self._listener, selectors.EVENT_READ)
      client.key_value_set(_KEY, f'{self._listener.getsockname()[1]} {self._token}')
    else:
      port, token = client.blocking_key_value_get(_KEY, 30_000).split()
      line = socket.create_connection((split(joined.address)[0], int(port)), timeout=_LEAVE_S)
      line.sendall(f'{token} {self._number}\n'.encode())
      self._add(line, number=0)
      if self._relay is not None:
        self._relay.holding = True
    threading.Thread(target=self._run, name='peers', daemon=True).start()

  def done(self) -> None:
    """Tells the others that this process ends as it should."""
    self._tell('done')
    if self._relay is not None:
      self._relay.holding = False

  def claim(self, *, wait_s: float) -> None:
    """Before this process says why it failed: returns only if no other one was the reason."""
    time.sleep(wait_s)
    if not self._speaking.acquire(blocking=False):
      _wait_for_the_end()

  def broken(self, error: Exception) -> NoReturn:
    """A message to another process failed, though all of them seem well; `claim` first."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    self.leave(self._conclude(f'the connection to the other processes broke ({first})'))

  def hurry(self) -> None:
    """This process cannot continue: if another has failed, it follows at once."""
    self._hurry.set()

  def leave(self, code: int) -> NoReturn:
    """Ends this process, which has said why, and then the others."""
    self._leaving = code, time.monotonic() + _LEAVE_S
    self._tell(f'failed {self._number} {code}')
    _wait_for_the_end(code, _LEAVE_S + 2)

  def _run(self) -> None:
    hello = before = time.monotonic()
    while True:
      for key, _ in self._selector.select(_TICK_S):
        if key.fileobj is self._listener:
          with contextlib.suppress(OSError):  # it hung up
            self._add(self._listener.accept()[0])
        else:
          self._read(key.data)
      now = time.monotonic()
      if now >= hello:
        self._tell('hello')
        hello = now + HELLO_S
      # No more than a second: if this process was suspended as well, nobody was late.
      self._look(now, min(now - before, 1.0))
      before = now

  def _look(self, now: float, passed_s: float) -> None:
    """What follows from the time that has passed."""
    if self._leaving is not None:
      code, end = self._leaving
      if now >= end or not any(map(self._waited_for, self._links)):
        os._exit(code)
      return
    for link in self._links:
      link.silent_s += passed_s
      if link.silent_s >= LATE_S and link.number is not None and not link.over:
        self._lost(link.number, f'has not been heard of for {LATE_S:.0f} s')
    if self._failed is not None:
      number, code, end = self._failed
      if now >= end or self._hurry.is_set():
        self._follow(number, code)

  def _waited_for(self, link: _Link) -> bool:
    return link.number is not None and link.silent_s < LATE_S

  def _add(self, line: socket.socket, *, number: int | None = None) -> None:
    line.settimeout(_TICK_S)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link = _Link(line, number)
    self._links.append(link)
    self._selector.register(line, selectors.EVENT_READ, link)

  def _read(self, link: _Link) -> None:
    try:
      more = link.socket.recv(4096)
    except TimeoutError:
      return
    except OSError:
      more = b''
    *lines, link.unread = (link.unread + more).split(b'\n')
    link.silent_s = 0.0
    for line in lines:
      self._hear(link, line.decode('ascii', 'replace').split())
    if not more or len(link.unread) > _LINE:
      self._links.remove(link)
      self._selector.unregister(link.socket)
      link.socket.close()
      # Once one has failed, the others follow it.
      if link.number is not None and not link.over and self._failed is None:
        self._lost(link.number, 'ended without a word')

  def _hear(self, link: _Link, words: list[str]) -> None:
    if link.number is None:  # anybody may connect; processes of the run know the token
      if len(words) == 2 and secrets.compare_digest(words[0].encode(), self._token.encode()):
        link.number = int(words[1])
    elif words == ['done']:
      link.over = True
    elif words == ['heard'] and self._leaving is not None:
      os._exit(self._leaving[0])
    elif words[:1] == ['lost']:
      self._lost(int(words[1]), ' '.join(words[2:]))
    elif words[:1] == ['failed']:
      number, code = int(words[1]), int(words[2])
      link.over = number == link.number or link.over
      if self._number == 0:
        self._send(link, 'heard')
        self._tell(' '.join(words), but=number)
      if self._failed is None:
        self._failed = number, code, time.monotonic() + GRACE_S

  def _lost(self, number: int, how: str) -> None:
    if self._number == 0:
      for link in self._links:
        if link.number == number:
          link.silent_s = LATE_S  # not waited for
      self._tell(f'lost {number} {how}', but=number)
    self._end(f'process {number} of {self._count} {how}')

  def _follow(self, number: int, code: int) -> None:
    if self._speaking.acquire(blocking=False):
      _say(f'process {number} of {self._count} stopped with an error; its own output says why')
      self._after_saying(code)

  def _end(self, why: str) -> None:
    """Ends this process because of another one, unless it is ending already."""
    if self._speaking.acquire(blocking=False):
      self._after_saying(self._conclude(why))

  def _conclude(self, why: str) -> int:
    """Says why the run ends, and returns the exit code."""
    kept = self._kept()
    then = 'to continue' if kept else 'no checkpoint was saved; to start again'
    _say(f'{why}; {then}: {self._again}')
    return EXIT_CODE if kept else 1

  def _after_saying(self, code: int) -> None:
    if self._number != 0:
      os._exit(code)
    self._leaving = code, time.monotonic() + _LEAVE_S

  def _tell(self, message: str, *, but: int | None = None) -> None:
    for link in tuple(self._links):
      if link.number is not None and link.number != but:
        self._send(link, message)

  def _send(self, link: _Link, message: str) -> None:
    try:
      link.socket.sendall(f'{message}\n'.encode())
    except OSError:  # reading from it tells more
      log.debug('process %s cannot be told %r', link.number, message)


def watch(joined: Joined | None, *, kept: Callable[[], bool], again: str) -> Watch | None:
  """Begins to watch the other processes of the run; None if there are none. See `Watch`."""
  if joined is None:
    return None
  try:
    return Watch(joined, processes.client(), kept=kept, again=again)
  except (OSError, RuntimeError) as error:
    log.warning('cannot watch the other processes (%s): JAX ends this one if one dies', error)
    return None


def together(work: Callable[[], int], watch: Watch | None) -> int:
  """The exit code of `work`, a command of one process; of several, all end if one does.

  Does not return if it fails: JAX's shutdown would wait for the others.
  """
  if watch is None:
    return work()

  def guarded() -> int:
    try:
      return work()
    except Exception as error:
      if lost := _connection_lost(error):
        watch.hurry()
      watch.claim(wait_s=3.0 if lost else 0.5)
      if lost:
        watch.broken(error)
      raise

  try:
    code = command.outcome(guarded)
  except Exception:
    traceback.print_exc()
    code = 1
  if code in (0, EXIT_CODE):
    watch.done()
    return code
  _flush()
  watch.leave(code)


def _connection_lost(error: BaseException | None) -> bool:
  """Whether an error of the collectives is behind `error`."""
  while error is not None:
    if _BROKEN.match(str(error)):
      return True
    error = error.__cause__ or error.__context__
  return False


def _say(message: str) -> None:
  """Prints the line; a reader that has stopped reading does not keep the process alive."""

  def speak() -> None:
    print(terminal.for_reader(f'error: {message}', sys.stderr), file=sys.stderr)
    _flush()

  speaker = threading.Thread(target=speak, daemon=True)
  speaker.start()
  speaker.join(2.0)


def _flush() -> None:
  """`os._exit` would lose what is not written yet."""
  for stream in filter(None, (sys.stdout, sys.stderr)):  # None if it was closed before the start
    stream.flush()


def _wait_for_the_end(code: int = 1, seconds: float = LATE_S) -> NoReturn:
  """Waits for the watching thread to end the process."""
  time.sleep(seconds)
  os._exit(code)
