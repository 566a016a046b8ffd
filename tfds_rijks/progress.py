"""What a command is doing: one line on a terminal, a line every 30 seconds in a log file.

The line says the innermost work that has begun and not ended. Within `watched` a thread keeps it
moving, so that nobody waits in silence, whatever the command forgot to announce.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from typing import Any, TextIO, TypeVar

from tfds_rijks import terminal

T = TypeVar('T')

BARS = (24, 10, 0)  # widths; the first that fits
ERASE = '\r\x1b[2K'
TICK_S = 0.5
# Seconds until work is shown and until it is shown again; on a terminal, and elsewhere.
LIVE_S, PLAIN_S = (0.5, 0.1), (10.0, 30.0)
LEAVES_A_LINE_S = 5.0  # work without a count that took as long

_lock = threading.RLock()
_begun: list[weakref.ref[Progress]] = []  # the innermost last
_on_screen: Progress | None = None  # whose line has no end yet


class Progress:
  """Counts `total` units of work; `update` sets how many are done. Without a total it only shows
  the time that has passed.

  On a terminal the line is redrawn in place at most ten times a second; elsewhere, lines are few,
  so that logs stay short and `tail -f` stays useful.
  """

  def __init__(
    self,
    what: str,
    total: int | None = None,
    *,
    unit: str = 'it',
    start: int = 0,
    note: str = '',
    file: TextIO | None = None,
  ):
    self.what, self.total, self.unit, self.note = what, total, unit, note
    self.start = self.done = start  # a resumed run starts above zero; the rate must not count that
    self.file: Any = file or sys.stderr
    self.live = terminal.is_terminal(self.file) and os.environ.get('TERM') != 'dumb'
    self.first_s, self.every_s = LIVE_S if self.live else PLAIN_S
    self.began = self.since = time.monotonic()
    self.next_s = self.began + self.first_s
    self.printed = False
    with _lock:
      _begun.append(weakref.ref(self))

  def update(self, done: int, note: str = '') -> None:
    """Sets the number of units done; `note` is a short text after the numbers, such as a loss."""
    self.done, self.note = done, note or self.note
    self.show_if_due()

  def show_if_due(self) -> None:
    """Shows the line if it is time to."""
    now = time.monotonic()
    if now >= self.next_s:
      self.next_s = now + self.every_s
      self._write(self.line(now))

  def line(self, now: float | None = None) -> str:
    """`what 40/100 [####      ] 12.3 img/s, 0:05 left, note`, as wide as the terminal at most."""
    now = time.monotonic() if now is None else now
    if self.total is None:
      end = f', {self.note}' if self.note else ''
      return self._fitted(f'{self.what}{end}, {duration(now - self.since)}')
    elapsed = now - self.began
    rate = (self.done - self.start) / elapsed if elapsed > 0 else 0.0
    left = duration((self.total - self.done) / rate) if rate > 0 else '?'
    head = f'{self.what} {self.done:,}/{self.total:,}'
    tail = f'{rate:,.1f} {self.unit}/s, {left} left' + (f', {self.note}' if self.note else '')
    texts = [' '.join(filter(None, (head, self._bar(size), tail))) for size in BARS]
    return next((text for text in texts if self._fits(text)), self._fitted(texts[-1]))

  def close(self) -> None:
    """Ends the work; if it was shown, with the time that it took."""
    _ended(self)
    elapsed = time.monotonic() - self.began
    if self.total is None:
      if self.printed and elapsed >= LEAVES_A_LINE_S:
        self._write(self._fitted(f'{self.what}: done in {duration(elapsed)}'))
    elif self.printed:
      rate = (self.done - self.start) / max(elapsed, 1e-9)
      self._write(
        self._fitted(
          f'{self.what} {self.done:,}/{self.total:,} done in {duration(elapsed)} '
          f'({rate:,.1f} {self.unit}/s)'
        )
      )
    else:
      return
    if self.live:
      _end_line(self, keep=self.total is not None or elapsed >= LEAVES_A_LINE_S)

  def _bar(self, size: int) -> str:
    if not size:
      return ''
    filled = round(size * min(1.0, self.done / max(1, self.total or 1)))
    return f'[{"#" * filled}{" " * (size - filled)}]'

  def _fits(self, text: str) -> bool:
    return not self.live or terminal.cells(text) < terminal.width(self.file)

  def _fitted(self, text: str) -> str:
    """One column stays free: some terminals begin a new line in the last one."""
    if not self.live:
      return text
    ellipsis = '…' if _can_say('…', self.file) else '...'
    return terminal.shortened(text, terminal.width(self.file) - 1, ellipsis=ellipsis)

  def _write(self, text: str) -> None:
    global _on_screen
    self.printed = True
    with _lock:
      _on_screen = None
      _put(self.file, f'{ERASE}{text}' if self.live else f'{text}\n')
      if self.live:
        _on_screen = self


def track(items: Iterable[T], what: str, total: int, *, unit: str = 'it') -> Iterator[T]:
  """Yields `items` and shows progress."""
  progress = Progress(what, total, unit=unit)
  for i, item in enumerate(items, start=1):
    yield item
    progress.update(i)
  progress.close()


@contextlib.contextmanager
def working(what: str, *, note: str = '') -> Iterator[None]:
  """Says what is being done, and for how long, within it."""
  progress = Progress(what, note=note)
  try:
    yield
  finally:
    progress.close()


@contextlib.contextmanager
def watched() -> Iterator[None]:
  """Shows the work within it, in a thread, though it may not report anything for minutes."""
  whole = Progress('working')
  whole.first_s = max(whole.first_s, whole.every_s)  # in a log file, work without a name can wait
  whole.next_s = whole.began + whole.first_s
  ended = threading.Event()

  def tick() -> None:
    while not ended.wait(TICK_S):
      with _lock:
        if (innermost := _innermost()) is not None:
          innermost.show_if_due()

  thread = threading.Thread(target=tick, name='progress', daemon=True)
  thread.start()
  try:
    yield
  finally:
    ended.set()
    thread.join()
    with _lock:
      while (innermost := _innermost()) not in (whole, None):
        _ended(innermost)
      _ended(whole)
      if _on_screen is not None:
        _end_line(_on_screen, keep=False)


def leave_room() -> str:
  """What to write to a terminal before other text: it erases the line that is shown, if any."""
  global _on_screen
  with _lock:
    erase, _on_screen = ERASE if _on_screen is not None else '', None
    return erase


class Handler(logging.StreamHandler):
  """Log lines, folded at words on a terminal."""

  def format(self, record: logging.LogRecord) -> str:
    """The text of a record."""
    return terminal.for_reader(super().format(record), self.stream)


def duration(seconds: float) -> str:
  """Seconds as `1:02:03` or `2:03`."""
  minutes, s = divmod(max(0, round(seconds)), 60)
  hours, m = divmod(minutes, 60)
  return f'{hours}:{m:02d}:{s:02d}' if hours else f'{m}:{s:02d}'


def _innermost() -> Progress | None:
  while _begun and _begun[-1]() is None:  # left by an error
    _begun.pop()
  return _begun[-1]() if _begun else None


def _ended(progress: Progress) -> None:
  with _lock:
    _begun[:] = [one for one in _begun if one() not in (progress, None)]
    outer = _innermost()
    if outer is not None and outer.total is None:  # it continues
      outer.since = time.monotonic()
      outer.next_s = max(outer.next_s, outer.since + outer.first_s)


def _end_line(progress: Progress, *, keep: bool) -> None:
  global _on_screen
  with _lock:
    if _on_screen is progress:
      _on_screen = None
      _put(progress.file, '\n' if keep else ERASE)


def _put(file: Any, text: str) -> None:
  """Writes at once, past the buffer, which another thread may hold while it waits for `_lock`."""
  raw = getattr(getattr(file, 'buffer', None), 'raw', None)
  try:
    if raw is None:
      file.write(text)
      file.flush()
    else:
      raw.write(text.encode(file.encoding, file.errors or 'strict'))
  except (OSError, ValueError):  # the terminal is gone, or the file is closed
    return


def _can_say(text: str, file: Any) -> bool:
  try:
    text.encode(getattr(file, 'encoding', None) or 'ascii')
  except UnicodeEncodeError:
    return False
  return True
