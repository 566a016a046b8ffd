"""Functions that test_pool sends to worker processes."""

from __future__ import annotations

import os
import signal
import sys
import time

from tfds_rijks.images import ImageError


def square(x: int) -> int:
  if x == 13:
    raise ImageError('13', 'truncated')
  if x == 17:
    os.kill(os.getpid(), signal.SIGKILL)
  print('noise on stdout')  # must not mix with the answers
  return x * x


def fail(x: int) -> int:
  if x == 50:
    raise KeyError('a bug')
  return x


def modules(_: int) -> list[str]:
  return [name for name in ('jax', 'tensorflow', 'flaxart') if name in sys.modules]


def slow(x: int) -> int:
  time.sleep(0.02 if x % 5 else 0.1)
  return x


def big(x: int) -> bytes:
  return bytes([x % 256]) * 3_000_000
