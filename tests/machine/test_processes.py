"""Several processes are one run: found, joined, refused, and equal to one process."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from tiny_museum import tiny_config
from together import together
from trainer import ROOT, arrays, metric_lines, set_steps

from flaxart.config import to_json
from flaxart.machine import processes
from flaxart.machine.interrupt import EXIT_CODE
from flaxart.verify import verify
from tfds_rijks.errors import UserError

pytestmark = pytest.mark.processes
SLURM = {
  'SLURM_JOB_ID': '57', 'SLURM_STEP_NODELIST': 'node[001-002]', 'SLURM_NTASKS': '8',
  'SLURM_PROCID': '5', 'SLURM_LOCALID': '1',
}  # fmt: skip
BY_HAND = {'JAX_COORDINATOR_ADDRESS': 'h:1', 'JAX_NUM_PROCESSES': '2', 'JAX_PROCESS_ID': '0'}
OPEN_MPI = {
  'OMPI_COMM_WORLD_SIZE': '4',
  'OMPI_COMM_WORLD_RANK': '0',
  'OMPI_COMM_WORLD_LOCAL_RANK': '0',
}


@pytest.mark.parametrize(
  ('env', 'found'),
  [
    ({}, None),
    ({'TPU_WORKER_HOSTNAMES': 'localhost', 'TPU_WORKER_ID': '0'}, None),
    ({'TPU_WORKER_HOSTNAMES': 'a,b', 'TPU_WORKER_ID': '0'}, 'TPU'),
    (BY_HAND, 'by hand'),
    (SLURM, 'SLURM'),
    ({**SLURM, 'SLURM_NTASKS': '1'}, None),
    ({**SLURM, **BY_HAND}, 'by hand'),
    ({**SLURM, 'JAX_COORDINATOR_ADDRESS': 'h:1'}, 'SLURM'),
    (OPEN_MPI, 'Open MPI'),
    ({'KUBERNETES_SERVICE_HOST': '10.0.0.1'}, None),
  ],
)
def test_the_launcher_is_found_by_what_it_sets(env, found):
  assert processes.launcher(env) == found


@pytest.mark.parametrize(
  ('env', 'line'),
  [
    ({'JAX_PROCESS_ID': '0'}, 'JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES not set; all of'),
    ({'JAX_COORDINATOR_ADDRESS': 'h:1'}, 'JAX_NUM_PROCESSES, JAX_PROCESS_ID not set'),
    ({'SLURM_JOB_ID': '5', 'SLURM_NTASKS': '8'}, r'the job has 8 tasks, .*; start it with srun'),
    ({'OMPI_COMM_WORLD_SIZE': '4'}, 'OMPI_COMM_WORLD_RANK, OMPI_COMM_WORLD_LOCAL_RANK not set'),
    ({'TPU_WORKER_HOSTNAMES': 'a,b'}, 'TPU_WORKER_ID not set'),
    ({**BY_HAND, 'JAX_NUM_PROCESSES': 'two'}, "JAX_NUM_PROCESSES: found 'two', expected a whole"),
  ],
)
def test_an_incomplete_launcher_is_refused(env, line):
  with pytest.raises(UserError, match=line):
    processes.join(env=env)


def test_kubernetes_without_its_package_says_what_to_install(monkeypatch):
  monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
  env = {'KUBERNETES_SERVICE_HOST': '10.0.0.1', 'JOB_COMPLETION_INDEX': '0'}
  with pytest.raises(UserError, match=r'pip install jax\[k8s\], or set JAX_COORDINATOR_ADDRESS'):
    processes.launcher(env)


def test_another_number_of_processes_is_refused():
  with pytest.raises(UserError, match=r'--processes: requested 2, found 1 \(no launcher'):
    processes.join(expected=2, env={})
  processes.join(expected=1, env=SLURM)  # alone on purpose


def test_jax_reads_the_variables_that_slurm_sets(monkeypatch):
  from jax._src.clusters import ClusterEnv

  for name, value in SLURM.items():
    monkeypatch.setenv(name, value)
  found = ClusterEnv.auto_detect_unset_distributed_params(None, None, None, None, None, 10)
  assert found == ('node001:61497', 8, 5, [1])


def start(folder, run, *, count=1, **env):
  """Trains with `count` processes; returns exit code and output."""
  main = [f'--config={ROOT / "tests" / "double_precision.py"}:{folder}', f'--workdir={run}']
  line = [sys.executable, '-m', 'flaxart.main', *main]
  if count > 1:
    line = ['bash', str(ROOT / 'launch' / 'local.sh'), str(count), *main]
  env = {**os.environ, **{name: str(value) for name, value in env.items()}}
  done = subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
  return done.returncode, done.stderr


@pytest.fixture(scope='module')
def runs(tmp_path_factory, collection):
  """One run by one process, and the same begun by 1, continued by 2, finished by 3."""
  config = tiny_config(collection)
  config.tasks = 'artist,type,year'
  config.train.batch_size, config.eval.batch_size = 12, 5  # 128 and 16 records: neither divides
  config.optim.name, config.optim.learning_rate = 'sgd', 1e-3
  config.optim.clip_norm, config.augment.flip = 1.0, True
  set_steps(config, 40)  # over the end of the third epoch
  config.train.eval_every_epochs = config.train.epochs / 2
  found = {}
  for name, parts in {
    'straight': [{}],
    'moved': [
      {'STOP_AT': 8, 'STOP_PROCESS': 0},
      {'count': 2, 'STOP_AT': 21, 'STOP_PROCESS': 1},
      {'count': 3},
    ],
  }.items():
    folder = tmp_path_factory.mktemp(name)
    (folder / 'config.json').write_text(to_json(config))
    found[name] = folder, [start(folder, folder / 'run', **part) for part in parts]
  return found


def test_each_process_says_who_it_is_and_stops_with_the_others(runs):
  _, ((alone, _), (by_two, two), (by_three, three)) = runs['moved']
  assert (alone, by_two, by_three) == (EXIT_CODE, EXIT_CODE, 0), two + three
  for i in range(2):
    assert f'process {i} of 2 (by hand), 1 of 2 devices are local' in two
  assert 'process 2 of 3 (by hand), 1 of 3 devices are local' in three
  # The signal reached one of two: the other stopped after the same step, and saved once.
  steps = set(re.findall(r'stopped by .*, saved step (\d+) of 40', two))
  assert len(steps) == 1 and 22 <= int(*steps) < 40
  assert 'stopped by SIGTERM' in two and 'stopped by another process' in two
  assert f'continuing after step {steps.pop()} of 40' in three


def drawn(folder):
  """`{step: [records of the whole batch]}` over all processes that took part."""
  steps = {}
  for path in folder.glob('ids-*.jsonl'):
    for line in path.read_text().splitlines():
      step, process, records = json.loads(line)
      steps.setdefault(step, {})[process] = records
  # Process i of n takes every n-th example of a batch, from the i-th on.
  return {
    step: [parts[i][k] for k in range(len(parts[0])) for i in range(len(parts))]
    for step, parts in steps.items()
  }


def test_the_order_of_examples_is_the_same_for_any_number_of_processes(runs):
  straight, moved = (drawn(runs[name][0]) for name in ('straight', 'moved'))
  assert sorted(straight) == list(range(40))
  assert moved == straight


def test_parameters_are_the_same_for_any_number_of_processes(runs):
  (a, _), (b, _) = runs['straight'], runs['moved']
  a, b = (arrays(folder / 'run', 40) for folder in (a, b))
  assert a.keys() == b.keys() and len(a) > 20
  for name, values in a.items():
    np.testing.assert_allclose(b[name], values, rtol=1e-10, atol=1e-10, err_msg=name)
  assert any(values.dtype == np.float64 for values in a.values())


def test_the_documented_lines_load_a_checkpoint_of_three_devices_on_one(runs, tmp_path):
  text = (ROOT / 'docs' / 'reliability.md').read_text()
  (code,) = re.findall(r'```python\n(.*?)```', text, re.DOTALL)
  assert 'flaxart' not in code
  (tmp_path / 'read.py').write_text(code)
  folder = runs['moved'][0] / 'run' / 'checkpoints' / '40'
  line = [sys.executable, tmp_path / 'read.py', folder]
  done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=True)
  count = sum(
    v.size for k, v in arrays(runs['moved'][0] / 'run', 40).items() if k.startswith('[params]')
  )
  assert done.stdout == f'{count} parameters at step 40\n'


def test_every_record_is_counted_once_and_only_one_process_writes(runs):
  folders = {name: runs[name][0] / 'run' for name in runs}
  results = {n: json.loads((run / 'results.json').read_text()) for n, run in folders.items()}
  for split in ('val', 'test'):
    for task, scores in results['straight'][split].items():
      moved = results['moved'][split][task]
      assert moved.keys() == scores.keys() and moved['n'] == scores['n'] > 0
      for score, value in scores.items():
        if value is not None and not isinstance(value, dict):
          assert moved[score] == pytest.approx(value, rel=1e-5, abs=1e-9), (task, score)
  assert results['moved']['provenance']['hardware']['processes'] == 3
  lines = {n: [(x['step'], x['split']) for x in metric_lines(run)] for n, run in folders.items()}
  assert lines['moved'] == lines['straight']
  assert not any(verify(folders['moved']).values())


AGREE = """
import sys, jax
from flaxart.machine import agreement, processes
from tfds_rijks.command import run
def main():
  processes.join()
  facts = {'config.seed': 1, 'jax': '1'}
  if sys.argv[1] == '1':
    facts |= {'config.seed': 2, 'more': [None]}
  agreement.agree('settings', facts, wait_s=10)
  print('agreed')
run(main)
"""


@pytest.mark.parametrize('other', ['0 0', '1 0', '0 1 0'])
def test_a_process_that_differs_is_named_by_all(other):
  ends = together(*(['-c', AGREE, one] for one in other.split()))
  if not other.count('1'):
    assert {(out, code) for out, _, code in ends} == {('agreed\n', 0)}
    return
  seeds, more = ((2, 1), ([None], None)) if other.startswith('1') else ((1, 2), (None, [None]))
  line = (
    f'error: settings of the processes: config.seed is {seeds[0]} on process 0 and {seeds[1]} on '
    f'process 1, more is {more[0]} on process 0 and {more[1]} on process 1; start all of them with '
    'the same'
  )
  for _, said, code in ends:
    assert (code, said.splitlines()[-1]) == (2, line)


def test_another_batch_size_on_one_process_ends_all(tmp_path, collection):
  config = tiny_config(collection)
  lines = []
  for size in (8, 16):
    config.train.batch_size = size
    folder = tmp_path / str(size)
    folder.mkdir()
    (folder / 'config.json').write_text(to_json(config))
    file = f'{ROOT / "tests" / "double_precision.py"}:{folder}'
    lines.append(['-m', 'flaxart.main', f'--config={file}', f'--workdir={tmp_path / "run"}'])
  for _, said, code in together(*lines):
    assert code == 2, said
    assert 'config.train.batch_size is 8 on process 0 and 16 on process 1' in said
    assert 'Traceback' not in said and said.count('error: ') == 1
  assert not (tmp_path / 'run').exists()
