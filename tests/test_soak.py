"""Ten thousand steps, with saving and evaluating: memory and open files do not grow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from trainer import ROOT, command, metric_lines, set_steps

pytestmark = [
  pytest.mark.slow,
  pytest.mark.timeout(3600),
  pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc'),
]
STEPS = 10_000


def test_memory_and_open_files_do_not_grow(slim, tmp_path):
  slim.optim.clip_norm = 1.0
  set_steps(slim, STEPS)
  slim.train.eval_every_epochs = slim.train.epochs / 40
  slim.checkpoint.every_steps = 100
  slim.log.every_steps, slim.log.tensorboard = 20, True
  run, samples = tmp_path / 'run', []
  trainer = subprocess.Popen(command(slim, run, tmp_path), cwd=ROOT, stderr=subprocess.DEVNULL)
  process = Path('/proc') / str(trainer.pid)
  while trainer.poll() is None:
    lines = metric_lines(run)
    try:
      pages = int((process / 'statm').read_text().split()[1])
      files = len(list((process / 'fd').iterdir()))
      threads = len(list((process / 'task').iterdir()))
    except (FileNotFoundError, ProcessLookupError):
      break  # it has just ended
    if lines:
      rss = pages * os.sysconf('SC_PAGE_SIZE') / 1e6
      samples.append((lines[-1]['step'], rss, files, threads))
    time.sleep(0.5)
  assert trainer.wait() == 0
  assert json.loads((run / 'results.json').read_text())['train']['steps'] == STEPS

  table = np.array(samples)
  step = table[:, 0]
  early = table[(step > 0.1 * STEPS) & (step < 0.3 * STEPS)]
  late = table[(step > 0.8 * STEPS) & (step < STEPS)]
  assert len(early) > 10 and len(late) > 10
  print(
    f'{STEPS} steps, from the second tenth to the last fifth: '
    f'memory {np.median(early[:, 1]):.0f} to {np.median(late[:, 1]):.0f} MB (at most '
    f'{table[:, 1].max():.0f}), open files {early[:, 2].max():.0f} to {late[:, 2].max():.0f}, '
    f'threads {early[:, 3].max():.0f} to {late[:, 3].max():.0f}'
  )
  assert np.median(late[:, 1]) < np.median(early[:, 1]) + 40  # MB
  assert late[:, 2].max() <= early[:, 2].max() + 3
  assert late[:, 3].max() <= early[:, 3].max() + 3
