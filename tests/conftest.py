"""What all tests share: CPU, parsed flags, a compilation cache, and one tiny prepared collection."""

from __future__ import annotations

import os
from pathlib import Path

# Before anything imports JAX: tests are about the CPU, whatever the machine has.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(Path('~/.cache/flaxart/tests').expanduser()))
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0.2')

import pytest
from absl import flags


@pytest.fixture(autouse=True, scope='session')
def parsed_flags() -> None:
  """Grain reads absl flags, which pytest never parses."""
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()
