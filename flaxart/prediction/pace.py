"""How long the rest of a prediction takes, from its first pictures."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from tfds_rijks.progress import duration
from tfds_rijks.words import counted

# Enough to judge by: some hundred pictures are read ahead, so the next few come too fast.
ENOUGH_S, ENOUGH = 2.0, 512
OF_ROW = 80  # bytes of a row beside its answers


class Pace:
  """The time that a picture takes, once it is known; `total` are to be answered.

  The first batch does not count, as it also waits for compilation.
  """

  def __init__(self, total: int):
    self.total, self.done, self.first = total, 0, 0
    self.since = time.monotonic()
    self.seconds: float | None = None

  def known_at(self, done: int) -> bool:
    """Takes note that `done` pictures are answered; true once, when `seconds` of one are known."""
    now = time.monotonic()
    self.done = done
    if not self.first and done < self.total:
      self.first, self.since = done, now
      return False
    enough = now - self.since > ENOUGH_S or done - self.first >= ENOUGH or self.total <= ENOUGH
    if self.seconds is not None or not (enough or done == self.total):
      return False
    self.seconds = (now - self.since) / max(1, done - self.first)
    return True

  def estimate(self, left: int, rows: list[tuple[int, Any]], *, of: int, folder: Path) -> str:
    """In words: the time for the pictures that are `left`, and the size of a table of `of` such
    rows.
    """
    assert self.seconds is not None
    size = len(json.dumps([answer for _, answer in rows])) / max(1, len(rows)) + OF_ROW
    megabytes = 2 * size * of / 1e6  # the journal, and the table made from it
    free = shutil.disk_usage(folder).free / 1e9
    return (
      f'estimate: {counted(left, "picture")}, about {duration(left * self.seconds)} '
      f'({1 / max(self.seconds, 1e-9):,.1f} pictures/s); about {megabytes:,.1f} MB for the table '
      f'and its journal, {free:,.1f} GB free in {folder}'
    )
