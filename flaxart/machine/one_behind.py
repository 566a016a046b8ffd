"""Fetching results without making a device wait for the host."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar('T')


def one_behind(dispatched: Iterable[T]) -> Iterator[T]:
  """Yields each result after the next one is dispatched, so that fetching it, which waits for it,
  leaves the device with work. At most two are in progress.
  """
  results = iter(dispatched)
  for behind in results:
    for result in results:
      yield behind
      behind = result
    yield behind
