"""Sides that take turns, A B A B, each in its own process. A side is one way to do a piece of work.
Frameworks in one process slow each other down (thread pools, the allocator), and their memory could
not be told apart. A side that is not on turn waits for a message and uses no CPU. All do their work
twice unmeasured, compiling the first time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any

from flaxart.logs.throughput import host_memory_gb
from flaxart.machine import hugepages
from tfds_rijks.errors import UserError

Work = Callable[[], Any]


@dataclasses.dataclass
class Side:
  """`build()` returns a function that processes `pictures` pictures.

  `build` must be picklable: a function of a module, or a `functools.partial` of one. `ahead`: how
  often the work is done at the beginning of a turn before the clock starts. Once, because a system
  may have reclaimed the memory of an idle process; or often enough to use up what was prepared
  between turns.
  """

  build: Callable[[], Work]
  pictures: int
  ahead: int = 1
  command: bool = (
    False  # one of flaxart's commands, which get large pages: `flaxart.machine.hugepages`
  )
  rates: list[float] = dataclasses.field(default_factory=list)  # pictures a second, of each round
  first_s: float = 0.0  # the unmeasured first time
  memory_gb: float = 0.0  # peak of its process

  @property
  def rate(self) -> float:
    """Pictures a second, median."""
    return statistics.median(self.rates)

  @property
  def spread(self) -> list[float]:
    """The slowest and the fastest round, pictures a second."""
    return [round(min(self.rates), 2), round(max(self.rates), 2)]


def in_turns(sides: Mapping[str, Side], *, rounds: int, seconds: float = 2.0) -> None:
  """Gives each side turns of at least `seconds`, `rounds` times over; fills in the sides."""
  context = multiprocessing.get_context('spawn')
  pipes: dict[str, Connection] = {}
  processes = []
  try:
    for name, side in sides.items():
      pipes[name], other = context.Pipe()
      processes.append(context.Process(target=_serve, args=(side, other), daemon=False))
      with _environment(side):
        processes[-1].start()
      other.close()
      side.first_s = _answer(pipes[name], name)  # before the next is built
    for _ in range(rounds):
      for name, side in sides.items():
        pipes[name].send(seconds)
        side.rates.append(_answer(pipes[name], name))
    for name, side in sides.items():
      pipes[name].send(None)
      side.memory_gb = _answer(pipes[name], name)
  finally:
    for pipe in pipes.values():
      pipe.close()
    for process in processes:
      process.join(timeout=10)
      process.kill()


@contextlib.contextmanager
def _environment(side: Side) -> Iterator[None]:
  """The environment of a side's process."""
  added = {}
  if 'XLA_PYTHON_CLIENT_PREALLOCATE' not in os.environ:  # on a GPU, room for the other side
    added['XLA_PYTHON_CLIENT_PREALLOCATE'] = 'false'
  if side.command and hugepages.would_help():
    added[hugepages.VARIABLE] = hugepages.WISH
  os.environ.update(added)
  try:
    yield
  finally:
    for name in added:
      del os.environ[name]


def _answer(pipe: Connection, name: str) -> float:
  try:
    answer = pipe.recv()
  except EOFError:
    raise UserError(f'{name}: its process ended; see its message above') from None
  if isinstance(answer, str):
    raise UserError(answer)
  return answer


def _serve(side: Side, pipe: Connection) -> None:
  """The process of a side."""
  with tempfile.TemporaryDirectory() as folder:
    # Kernels of an earlier run would hide the cost of a first call.
    os.environ['TORCHINDUCTOR_CACHE_DIR'] = folder
    _take_turns(side, pipe)


def _take_turns(side: Side, pipe: Connection) -> None:
  try:
    work = side.build()
    began = time.monotonic()
    work()
    first_s = time.monotonic() - began
    work()  # some trace or tune again
  except UserError as error:
    pipe.send(str(error))
    return
  pipe.send(first_s)
  while (seconds := pipe.recv()) is not None:
    for _ in range(side.ahead):
      work()
    began, done = time.monotonic(), 0
    while not done or time.monotonic() - began < seconds:
      work()
      done += side.pictures
    pipe.send(done / (time.monotonic() - began))
  pipe.send(host_memory_gb())
