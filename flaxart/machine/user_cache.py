"""Where everything lies that can be made again: one folder, as the XDG base directories have it."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache(name: str) -> Path:
  """`~/.cache/flaxart/NAME`, or below `$XDG_CACHE_HOME`; not created here."""
  return Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache').expanduser() / 'flaxart' / name
