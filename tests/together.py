"""Commands as the processes of one run, on this host."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

from trainer import ROOT


def free_address():
  """A `HOST:PORT` that nobody listens at."""
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    return f'127.0.0.1:{free.getsockname()[1]}'


def start(lines, *, address=None, late=-1, late_s=90):
  """Starts Python with each of these arguments, process `late` after the others."""
  address = address or free_address()
  processes = {}
  for i in sorted(range(len(lines)), key=lambda i: i == late):
    if i == late:
      time.sleep(late_s)
    env = {**os.environ, 'JAX_COORDINATOR_ADDRESS': address, 'JAX_PROCESS_ID': str(i)}
    env['JAX_NUM_PROCESSES'] = str(len(lines))
    pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True}
    processes[i] = subprocess.Popen([sys.executable, *lines[i]], cwd=ROOT, env=env, **pipes)
  return [processes[i] for i in range(len(lines))]


def together(*lines, **options):
  """Output, messages and exit code of each process."""
  processes = start(lines, **options)
  return [(*process.communicate(timeout=120), process.returncode) for process in processes]
