"""A number of bytes that threads share: what does not fit waits."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class Budget:
  """At most `most` bytes are held at a time; a request for more than that is held alone."""

  def __init__(self, most: int):
    self.most = most
    self._free = most
    self._changed = threading.Condition()

  @contextlib.contextmanager
  def hold(self, size: int) -> Iterator[None]:
    """Waits until `size` bytes are free, and holds them."""
    size = max(0, min(size, self.most))
    with self._changed:
      self._changed.wait_for(lambda: self._free >= size)
      self._free -= size
    try:
      yield
    finally:
      with self._changed:
        self._free += size
        self._changed.notify_all()
