"""What only a compiler for TPUs can say. It does not need one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

V5E = {
  'TPU_SKIP_MDS_QUERY': '1',
  'TPU_ACCELERATOR_TYPE': 'v5litepod-4',
  'TPU_WORKER_HOSTNAMES': 'localhost',
  'TPU_WORKER_ID': '0',
  'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',
}


@pytest.mark.libtpu
def test_a_batch_from_the_device_cache_needs_no_copy_of_all_pictures():
  pytest.importorskip('libtpu', reason='needs extra `tpu`')
  line = [sys.executable, '-m', 'tests.machine.on_a_tpu']
  # Without our flags, which are only known to CPUs.
  env = os.environ | V5E | {'XLA_FLAGS': ''}
  done = subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True)
  assert not done.returncode, done.stderr
  temporaries = json.loads(done.stdout.splitlines()[-1])
  assert temporaries['rows'] <= 2 * temporaries['a batch']
  assert temporaries['three channels'] >= temporaries['all']  # what it is for
