"""Shared by the tests of `prepare`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def files(path: Path) -> dict[str, tuple[int, int]]:
  return {p.name: (p.stat().st_mtime_ns, p.stat().st_ino) for p in path.iterdir()}


def run_command(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
  return subprocess.run(
    [sys.executable, '-m', 'tfds_rijks.prepare', *arguments],
    capture_output=True,
    text=True,
    check=False,
    **options,
  )
