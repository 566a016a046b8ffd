"""Start-up of a decoding process: it survives signals, but not its trainer."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator

TRACKER = 'ignore:resource_tracker:UserWarning'


def start(index: int, count: int) -> None:
  """Called in each worker before its first record.

  Ctrl-C and a cluster's SIGTERM go to the whole process group. The trainer still needs batches
  then, up to the step after which it saves, and ends its workers itself. A killed trainer cannot,
  so a worker ends when its parent process changes.
  """
  del index, count
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  signal.signal(signal.SIGTERM, signal.SIG_IGN)
  threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


@contextlib.contextmanager
def signals_wait() -> Iterator[None]:
  """Within it signals wait, and processes that are started never get them: `start` may be late."""
  before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
  try:
    yield
  finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leftovers_unmentioned() -> None:
  """Python's tracker does not warn of the memory that workers leave when a run is stopped.

  It frees that memory itself. It is a process of its own, started with the first worker, and reads
  what to ignore from the environment.
  """
  others = [filter_ for filter_ in os.environ.get('PYTHONWARNINGS', '').split(',') if filter_]
  if TRACKER not in others:
    os.environ['PYTHONWARNINGS'] = ','.join([*others, TRACKER])


def _end_with(parent: int) -> None:
  while os.getppid() == parent:
    time.sleep(1)
  os._exit(1)
