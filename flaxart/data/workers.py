"""Start-up of a decoding process: it survives signals, but not its trainer."""

from __future__ import annotations

import os
import signal
import threading
import time


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


def _end_with(parent: int) -> None:
  while os.getppid() == parent:
    time.sleep(1)
  os._exit(1)
