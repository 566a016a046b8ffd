"""What a decoding process does at its start: it outlives signals, but not its trainer."""

from __future__ import annotations

import os
import signal
import threading
import time


def start(index: int, count: int) -> None:
  """Called in each worker before its first record.

  Ctrl-C and a cluster's SIGTERM go to the whole process group. The trainer still needs its batches
  then, up to the step after which it saves; it ends its workers itself. A trainer that is killed
  cannot, so a worker ends when its parent is another one.
  """
  del index, count
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  signal.signal(signal.SIGTERM, signal.SIG_IGN)
  threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
  while os.getppid() == parent:
    time.sleep(1)
  os._exit(1)
