"""One function over many files in several processes: results in input order, bounded memory.

The workers are plain Python processes that import the function's module and nothing of the
program that called them, so they start fast, need no `if __name__ == '__main__'` and never see JAX.
A worker that dies (a crashing decoder, the memory killer) costs one item, not the build.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import importlib
import os
import pickle
import queue
import struct
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

from tfds_rijks.errors import UserError
from tfds_rijks.images import ImageError
from tfds_rijks.progress import Progress

CHUNK = 8  # items per message, so that the pipe's round trip is short compared with a picture
AHEAD = 4  # chunks in flight per worker: this bounds the memory
# The caller handles Ctrl-C, from the first import on; the worker stops at the pipe's end.
_START = (
  'import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); '
  'from tfds_rijks.pool import serve; serve()'
)


class WorkerError(RuntimeError):
  """The function failed for another reason than the input; has the worker's traceback."""


def default_processes() -> int:
  """One per core that this process may use."""
  return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def run(
  function: Callable[[Any], Any],
  items: Sequence[Any],
  *,
  what: str,
  unit: str = 'picture',
  processes: int | None = None,
) -> Iterator[Any]:
  """Yields `function(item)` for each item, in order, computed in `processes` worker processes.

  Args:
    function: a module-level function of an importable module; its items and results are pickled.
    items: each must pickle; the first element of a tuple, or the item, names it in messages.
    what: shown with the progress.
    processes: default: one per core; 1 runs in this process.

  A `UserError` (an `ImageError`, say) is yielded as the item's result; any other exception is
  raised here as `WorkerError`.
  """
  processes = processes or default_processes()
  progress = Progress(what, len(items), unit=unit)
  if processes == 1 or len(items) <= CHUNK:
    results: Iterator[Any] = (_call(function, item) for item in items)
  else:
    results = _parallel(function, items, processes)
  with contextlib.closing(results):  # type: ignore[type-var]
    for i, (kind, value) in enumerate(results, start=1):
      if kind == 'bug':
        raise WorkerError(f'{_name(items[i - 1])}: {value}')
      yield value
      progress.update(i)
  progress.close()


def _parallel(
  function: Callable[[Any], Any], items: Sequence[Any], processes: int
) -> Iterator[tuple[str, Any]]:
  chunks = [items[i : i + CHUNK] for i in range(0, len(items), CHUNK)]
  workers = [_Worker(function) for _ in range(min(processes, len(chunks)))]
  free: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
  for worker in workers:
    free.put(worker)

  def work(chunk: Sequence[Any]) -> list[tuple[str, Any]]:
    worker = free.get()
    try:
      return worker.call(chunk)
    finally:
      free.put(worker)

  threads = concurrent.futures.ThreadPoolExecutor(len(workers))
  waiting: deque[concurrent.futures.Future[list[tuple[str, Any]]]] = deque()
  try:
    todo = iter(chunks)
    while True:
      while len(waiting) < AHEAD * len(workers) and (chunk := next(todo, None)) is not None:
        waiting.append(threads.submit(work, chunk))
      if not waiting:
        return
      yield from waiting.popleft().result()
  finally:
    for future in waiting:
      future.cancel()
    for worker in workers:
      worker.stop()  # also ends a call in progress
    threads.shutdown()


class _Worker:
  """One process; `call` sends items and waits for the results."""

  def __init__(self, function: Callable[[Any], Any]):
    self.setup = pickle.dumps((list(sys.path), _module(function), function.__qualname__))
    self.stopped = False
    self.exit_code: int | None = None
    self.process = self._start()

  def _start(self) -> subprocess.Popen[bytes]:
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(p for p in sys.path if p)}
    # One process per core: threads of the linear algebra would wait for each other.
    environment |= {'OPENBLAS_NUM_THREADS': '1', 'OMP_NUM_THREADS': '1'}
    process = subprocess.Popen(
      [sys.executable, '-c', _START], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    _send(process.stdin, self.setup)
    self.greeted = False
    return process

  def call(self, chunk: Sequence[Any]) -> list[tuple[str, Any]]:
    answer = self._ask(chunk)
    if answer is not None:
      return answer
    # The process has died: try each item to find the cause.
    return [(self._ask([item]) or [self._dead(item)])[0] for item in chunk if not self.stopped]

  def _ask(self, chunk: Sequence[Any]) -> list[tuple[str, Any]] | None:
    """The worker's answer; None if it died (a new one is then ready)."""
    if not self.greeted and not self.stopped:
      self._greet()
    try:
      _send(self.process.stdin, pickle.dumps(list(chunk)))
      return pickle.loads(_receive(self.process.stdout))
    except (EOFError, BrokenPipeError):
      self._end()
      self.exit_code = self.process.returncode
      if not self.stopped:
        self.process = self._start()
      return None

  def _greet(self) -> None:
    """Waits until the worker has found its function, as failing to start is not an item's fault."""
    try:
      _receive(self.process.stdout)
    except EOFError:
      if not self.stopped:
        raise WorkerError(f'a worker could not start (exit code {self.process.wait()})') from None
    self.greeted = True

  def _dead(self, item: Any) -> tuple[str, Any]:
    return 'value', ImageError(
      _name(item), 'crashes the decoder', f'the worker ended with {self.exit_code}'
    )

  def stop(self) -> None:
    self.stopped = True
    self._end()

  def _end(self) -> None:
    self.process.kill()
    self.process.wait()
    for pipe in (self.process.stdin, self.process.stdout):
      with contextlib.suppress(OSError):  # unsent bytes for a dead process
        pipe.close()  # type: ignore[union-attr]


def serve() -> None:
  """The worker's side: answers pickled lists of items on stdin with lists of results on stdout."""
  requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), 'wb')
  os.dup2(2, 1)  # a library's prints must not mix with the answers
  path, module, name = pickle.loads(_receive(requests))
  sys.path[:] = path
  function: Any = importlib.import_module(module)
  for part in name.split('.'):
    function = getattr(function, part)
  _send(answers, b'')
  while True:
    try:
      chunk = pickle.loads(_receive(requests))
    except EOFError:
      return
    _send(answers, pickle.dumps([_call(function, item) for item in chunk]))


def _call(function: Callable[[Any], Any], item: Any) -> tuple[str, Any]:
  try:
    return 'value', function(item)
  except UserError as error:
    return 'value', error
  except Exception:
    return 'bug', traceback.format_exc()


def _module(function: Callable[[Any], Any]) -> str:
  """The importable name of a function's module, even of a command run by `python -m`."""
  if function.__module__ != '__main__':
    return function.__module__
  spec = getattr(sys.modules['__main__'], '__spec__', None)
  if spec is None:
    raise ValueError(f'{function.__qualname__} is in a script; move it to a module')
  return spec.name


def _name(item: Any) -> str:
  return str(item[0] if isinstance(item, tuple) and item else item)


def _send(pipe: BinaryIO | Any, data: bytes) -> None:
  pipe.write(struct.pack('<Q', len(data)))
  pipe.write(data)
  pipe.flush()


def _receive(pipe: BinaryIO | Any) -> bytes:
  return _exactly(pipe, struct.unpack('<Q', _exactly(pipe, 8))[0])


def _exactly(pipe: BinaryIO | Any, n: int) -> bytes:
  data = pipe.read(n)
  if len(data) < n:
    raise EOFError
  return data
