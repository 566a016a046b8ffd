"""Fetching results without making a device wait for the host."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar('T')


def one_behind(dispatched: Iterable[T]) -> Iterator[T]:
  """Each of the results when the next one has been dispatched, so that fetching it, which waits
  for it, leaves the device with work. No more than two are under way.
  """
  results = iter(dispatched)
  for behind in results:
    for result in results:
      yield behind
      behind = result
    yield behind
