"""Progress with rate and ETA: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

T = TypeVar('T')

BAR_WIDTH = 24


class Progress:
  """Counts `total` units of work; `update` sets how many are done.

  On a terminal the line is redrawn in place at most ten times a second; in a log file a new line
  is written every `every_s` seconds, so that logs stay short and `tail -f` stays useful.
  """

  def __init__(
    self,
    what: str,
    total: int,
    *,
    unit: str = 'it',
    start: int = 0,
    every_s: float = 10.0,
    file: TextIO | None = None,
  ):
    self.what, self.total, self.unit = what, total, unit
    self.start = self.done = start  # a resumed run starts above zero; the rate must not count that
    self.file = file or sys.stderr
    self.live = self.file.isatty()
    self.every_s = 0.1 if self.live else every_s
    self.began = time.monotonic()
    self.next_s = self.began + self.every_s
    self.printed = False
    self.note = ''

  def update(self, done: int, note: str = '') -> None:
    """Sets the number of units done; `note` is a short text after the numbers, such as a loss."""
    self.done, self.note = done, note or self.note
    now = time.monotonic()
    if now >= self.next_s:
      self.next_s = now + self.every_s
      self._write(self.line(now))

  def line(self, now: float | None = None) -> str:
    """The text: `what 40/100 [####      ] 12.3 img/s, 0:05 left, note`."""
    elapsed = (now or time.monotonic()) - self.began
    rate = (self.done - self.start) / elapsed if elapsed > 0 else 0.0
    left = duration((self.total - self.done) / rate) if rate > 0 else '?'
    filled = round(BAR_WIDTH * min(1.0, self.done / max(1, self.total)))
    bar = '#' * filled + ' ' * (BAR_WIDTH - filled)
    text = (
      f'{self.what} {self.done:,}/{self.total:,} [{bar}] {rate:,.1f} {self.unit}/s, {left} left'
    )
    return f'{text}, {self.note}' if self.note else text

  def close(self) -> None:
    """Ends the bar with the total time; short work prints no line."""
    if self.printed:
      elapsed = time.monotonic() - self.began
      rate = (self.done - self.start) / max(elapsed, 1e-9)
      self._write(
        f'{self.what} {self.done:,}/{self.total:,} done in {duration(elapsed)} '
        f'({rate:,.1f} {self.unit}/s)'
      )
      if self.live:
        self.file.write('\n')

  def _write(self, text: str) -> None:
    self.printed = True
    self.file.write(f'\r\x1b[2K{text}' if self.live else f'{text}\n')
    self.file.flush()


def track(items: Iterable[T], what: str, total: int, *, unit: str = 'it') -> Iterator[T]:
  """Yields `items` and shows progress."""
  progress = Progress(what, total, unit=unit)
  for i, item in enumerate(items, start=1):
    yield item
    progress.update(i)
  progress.close()


def duration(seconds: float) -> str:
  """Seconds as `1:02:03` or `2:03`."""
  minutes, s = divmod(max(0, round(seconds)), 60)
  hours, m = divmod(minutes, 60)
  return f'{hours}:{m:02d}:{s:02d}' if hours else f'{m}:{s:02d}'
