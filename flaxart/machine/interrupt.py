"""SIGTERM, Ctrl-C and a closed terminal: save at the end of the step, exit with a special code.

A signal handler only notes the signal; the loop checks after every step, so a save never runs
inside a handler. The second signal stops the process at once. With several processes all of them
stop after the same step, although a signal may reach only one: threads agree on the step in the
background, so that checking costs no communication.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import signal
import threading
from types import FrameType
from typing import Any

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: saved and stopped on request; start again to continue
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_WAIT_MS = 60_000  # for the other processes to name their step
_numbers = itertools.count()  # of contexts: keys outlive one; all processes enter the same ones
log = logging.getLogger('flaxart')


class StoppedError(Exception):
  """The run was asked to stop and has saved; the message has the command that continues it."""


class Interrupt:
  """Context manager around the training loop.

  `command` is what continues the run. `client` is the key-value client of `jax.distributed` (see
  `flaxart.machine.processes.client`), None for one process. Outside the main thread no handler can
  be installed and nothing is ever requested.
  """

  def __init__(
    self, *, command: str = '', client: Any = None, process: int = 0, processes: int = 1
  ):
    self.command = command
    self.signal: str | None = None
    self._client, self._process, self._processes = client, process, processes
    self._before: dict[signal.Signals, Any] = {}
    self._key = f'flaxart/interrupt/{next(_numbers)}'
    self._step = 0
    self._stop_at: int | None = None
    self._noted = threading.Event()
    self._closed = threading.Event()
    # Held while agreeing on the step, so that no process passes it meanwhile.
    self._lock = threading.Lock()
    self._watcher: threading.Thread | None = None

  def __enter__(self) -> Interrupt:
    if threading.current_thread() is threading.main_thread():
      ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # by nohup
      self._before = {
        number: signal.signal(number, self._note)
        for number in SIGNALS
        if not (ignored and number == signal.SIGHUP)
      }
    if self._client is not None and self._processes > 1:
      self._watcher = threading.Thread(target=self._watch, name='interrupt', daemon=True)
      self._watcher.start()
    return self

  def __exit__(self, *error: object) -> None:
    self._closed.set()
    if self._watcher is not None:
      self._watcher.join()
    for number, handler in self._before.items():
      signal.signal(number, handler)

  def error(self, kept: str) -> StoppedError:
    """The error to raise once `kept` is saved."""
    by = self.signal or 'another process'
    return StoppedError(f'stopped by {by}, saved {kept}; to continue: {self.command}')

  def requested(self, step: int) -> bool:
    """Whether to stop now that `step` is done; all processes get True after the same step."""
    if self._watcher is None:
      return self._noted.is_set()
    with self._lock:
      self._step = step
      return self._stop_at is not None and step >= self._stop_at

  def _note(self, number: int, frame: FrameType | None) -> None:
    if self._noted.is_set():  # the second one: the default action
      if number == signal.SIGHUP:  # by the shell as well as by the terminal
        return
      signal.signal(number, signal.SIG_DFL)
      os.kill(os.getpid(), number)
      return
    self.signal = signal.Signals(number).name
    with contextlib.suppress(OSError):  # the terminal may be closed
      os.write(2, f'\n{self.signal}: saving after this step; repeat to stop at once\n'.encode())
    self._noted.set()

  def _watch(self) -> None:
    """Shares signals with the other processes, and agrees on the step."""
    try:
      while not self._client.key_value_dir_get(f'{self._key}/stop/'):
        if self._closed.is_set():
          return
        if self._noted.wait(timeout=0.2):
          self._client.key_value_set(f'{self._key}/stop/{self._process}', '1')
      with self._lock:
        self._client.key_value_set(f'{self._key}/step/{self._process}', str(self._step))
        steps = [
          int(self._client.blocking_key_value_get(f'{self._key}/step/{i}', _WAIT_MS))
          for i in range(self._processes)
        ]
        # One beyond the furthest, which no process has finished yet.
        self._stop_at = max(steps) + 1
    except Exception as error:  # a thread's exception would be lost; the run itself can continue
      log.warning('cannot agree with the other processes on when to stop: %s', error)
