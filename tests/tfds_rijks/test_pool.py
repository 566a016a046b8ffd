"""Many files, several processes: order, bounded memory, and workers that die."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pool_work
import pytest

from tfds_rijks import pool
from tfds_rijks.images import ImageError


@pytest.mark.parametrize('processes', [1, 2])
def test_results_come_in_the_order_of_the_items(processes):
  found = list(pool.run(pool_work.slow, range(40), what='x', processes=processes))
  assert found == list(range(40))


def test_refused_items_and_dying_workers_cost_one_result_each():
  found = list(pool.run(pool_work.square, range(60), what='x', processes=2))
  assert [value for i, value in enumerate(found) if i not in (13, 17)] == [
    i * i for i in range(60) if i not in (13, 17)
  ]
  assert isinstance(found[13], ImageError)
  assert found[13].reason == 'truncated'
  assert isinstance(found[17], ImageError)
  assert str(found[17]).startswith('17: crashes the decoder (the worker ended with -9)')


@pytest.mark.parametrize('processes', [1, 2])
def test_a_bug_is_raised_with_its_item_and_traceback(processes):
  with pytest.raises(pool.WorkerError, match=r'(?s)^50: .*KeyError: .a bug'):
    list(pool.run(pool_work.fail, range(100), what='x', processes=processes))


def test_workers_import_neither_jax_nor_flaxart():
  import jax  # the caller has it, as flaxart.main does

  assert jax is not None
  assert list(pool.run(pool_work.modules, range(20), what='x', processes=2)) == [[]] * 20


def test_a_worker_that_cannot_start_is_not_an_items_fault(monkeypatch):
  monkeypatch.setattr(pool_work.slow, '__module__', 'no_such_module')
  with pytest.raises(pool.WorkerError, match='could not start'):
    list(pool.run(pool_work.slow, range(20), what='x', processes=2))


def test_a_function_of_a_script_is_refused(monkeypatch):
  monkeypatch.setattr(pool_work.slow, '__module__', '__main__')
  monkeypatch.setattr(sys.modules['__main__'], '__spec__', None)
  with pytest.raises(ValueError, match='slow is in a script'):
    list(pool.run(pool_work.slow, range(20), what='x', processes=2))


def test_large_results_stream():
  total = 0
  for i, data in enumerate(pool.run(pool_work.big, range(120), what='x', processes=2)):
    assert data[:1] == bytes([i % 256])
    total += len(data)
  assert total == 360_000_000


def test_leaving_early_ends_the_workers():
  results = pool.run(pool_work.slow, range(400), what='x', processes=2)
  assert next(results) == 0
  workers = _children()
  assert len(workers) == 2
  results.close()
  assert not _children() & workers


def _children() -> set[str]:
  tasks = Path('/proc/self/task').glob('*/children')
  return {
    pid
    for path in tasks
    for pid in _bytes(path).decode().split()
    if b'tfds_rijks.pool' in _bytes(Path(f'/proc/{pid}/cmdline'))
  }


def _bytes(path: Path) -> bytes:
  """The content of a file in /proc; empty for a thread or process that has ended."""
  try:
    return path.read_bytes()
  except (FileNotFoundError, ProcessLookupError):
    return b''


def test_a_script_without_main_guard_can_use_it(tmp_path):
  script = tmp_path / 'script.py'
  script.write_text(
    f'import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n'
    'import pool_work\nfrom tfds_rijks import pool\n'
    'print(sum(pool.run(pool_work.slow, range(20), what="x", processes=2)))\n'
  )
  done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
  assert done.stdout == '190\n'
