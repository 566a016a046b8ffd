"""Large memory pages for runs on a CPU.

XLA takes the memory of a step from the C library and gives it back after each step, and the system
fills it anew with every step, in pages of 4 KB: 160,000 page faults for ResNet50 at 128 px, an
eighth of the time. glibc can ask for pages of 2 MB, but reads that wish from the environment when a
program starts and never again; so the program is started once more. Only commands do this, never an
import. A `GLIBC_TUNABLES` that is set, to whatever, is left alone: setting it empty turns this off.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

VARIABLE, WISH = 'GLIBC_TUNABLES', 'glibc.malloc.hugetlb=1'
SINCE = (2, 35)  # glibc that knows the wish
_MODE = Path('/sys/kernel/mm/transparent_hugepage/enabled')


def restart() -> None:
  """Starts this program again, in its place, if that gives it larger pages; else returns."""
  if would_help():
    environment = {**os.environ, VARIABLE: WISH}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def would_help() -> bool:
  """Whether the system has such pages for those who ask, the library can, and no one has chosen."""
  library, version = platform.libc_ver()
  if VARIABLE in os.environ or library != 'glibc' or not sys.executable:
    return False
  try:
    mode = _MODE.read_text(encoding='utf-8')
  except OSError:  # not Linux, or built without them
    return False
  return '[madvise]' in mode and tuple(map(int, version.split('.')[:2])) >= SINCE
