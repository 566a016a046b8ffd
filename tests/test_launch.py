"""The launchers, without a cluster: shell syntax, their commands, the JobSet's fields."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

LAUNCH = Path(__file__).parents[1] / 'launch'
SCRIPTS = [LAUNCH / name for name in ('local.sh', 'slurm.sbatch', 'tpu_vm.sh')]


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda p: p.name)
def test_shellcheck_finds_nothing(script):
  if shutil.which('shellcheck') is None:
    pytest.skip('needs shellcheck')
  done = subprocess.run(['shellcheck', script], capture_output=True, text=True)
  assert done.returncode == 0, done.stdout


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda p: p.name)
def test_scripts_can_be_executed(script):
  assert os.access(script, os.X_OK)


def programs(folder, **bodies):
  """A PATH on which these programs are shell scripts that print their arguments."""
  folder.mkdir()
  for name, body in bodies.items():
    (folder / name).write_text(f'#!/bin/bash\n{body}\n')
    (folder / name).chmod(0o755)
  return f'{folder}:{os.environ["PATH"]}'


def run(script, *args, **env):
  return subprocess.run(
    ['bash', script, *args],
    capture_output=True,
    text=True,
    timeout=60,
    env={**os.environ, **env},
  )


SAY = 'echo "$JAX_PROCESS_ID of $JAX_NUM_PROCESSES at $JAX_COORDINATOR_ADDRESS: $*"'


def test_local_starts_each_process_once_and_passes_its_flags_on(tmp_path):
  path = programs(tmp_path / 'bin', python=SAY)
  done = run(
    LAUNCH / 'local.sh',
    '3',
    '--config.tasks=a b',
    PATH=path,
    JAX_COORDINATOR_PORT='77',
    JAX_PLATFORMS='cpu',
  )
  assert done.returncode == 0
  assert sorted(done.stdout.splitlines()) == [
    f'{i} of 3 at 127.0.0.1:77: -m flaxart.main --processes=3 --config.tasks=a b' for i in range(3)
  ]


def test_local_ends_the_others_when_one_fails(tmp_path):
  fails = (
    'if [ "$JAX_PROCESS_ID" = 0 ]; then exit 2; fi; exec sleep 500'  # longer than the test may take
  )
  path = programs(tmp_path / 'bin', python=fails)
  done = run(LAUNCH / 'local.sh', '2', PATH=path, JAX_COORDINATOR_PORT='77', JAX_PLATFORMS='cpu')
  assert done.returncode == 2


def test_local_tells_that_a_run_can_continue_without_the_process_that_was_killed(tmp_path):
  body = 'if [ "$JAX_PROCESS_ID" = 0 ]; then kill -9 $$; fi; trap "" TERM; sleep 1; exit 75'
  path = programs(tmp_path / 'bin', python=body)
  done = run(LAUNCH / 'local.sh', '3', PATH=path, JAX_COORDINATOR_PORT='77', JAX_PLATFORMS='cpu')
  assert done.returncode == 75


def test_local_gives_each_process_a_gpu_and_refuses_more_processes_than_gpus(tmp_path):
  path = programs(
    tmp_path / 'bin',
    python='echo $JAX_LOCAL_DEVICE_IDS',
    **{'nvidia-smi': 'echo GPU 0; echo GPU 1'},
  )
  env = {'PATH': path, 'JAX_COORDINATOR_PORT': '77', 'JAX_PLATFORMS': ''}
  done = run(LAUNCH / 'local.sh', '2', **env)
  assert sorted(done.stdout.split()) == ['0', '1']
  done = run(LAUNCH / 'local.sh', '3', **env)
  assert done.returncode == 2 and 'requested 3 processes, found 2 GPUs' in done.stderr


TRAINER = """
import os, signal, sys, time
seen = []
for number in (signal.SIGINT, signal.SIGTERM):
  signal.signal(number, lambda number, frame: seen.append(number))
os.write(1, b'ready\\n')
while not seen:
  time.sleep(0.05)
time.sleep(0.5)
os.write(1, b'signals %d\\n' % len(seen))
sys.exit(75)
"""


def test_ctrl_c_on_local_reaches_each_process_once(tmp_path):
  (tmp_path / 'trainer.py').write_text(TRAINER)
  path = programs(tmp_path / 'bin', python=f'exec {sys.executable} {tmp_path / "trainer.py"}')
  env = {**os.environ, 'PATH': path, 'JAX_COORDINATOR_PORT': '77', 'JAX_PLATFORMS': 'cpu'}
  shell = subprocess.Popen(
    ['bash', LAUNCH / 'local.sh', '2'],
    stdout=subprocess.PIPE,
    text=True,
    env=env,
    start_new_session=True,
    # A signal that is ignored when bash starts cannot be trapped; a test in the background has one.
    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
  )
  assert [shell.stdout.readline() for _ in range(2)] == ['ready\n'] * 2
  os.killpg(shell.pid, signal.SIGINT)  # as a terminal does: to the whole foreground group
  said, _ = shell.communicate(timeout=30)
  assert said == 'signals 1\n' * 2 and shell.returncode == 75


@pytest.mark.parametrize('args', [(), ('--config=x',), ('0',)])
def test_local_prints_its_usage(args):
  done = run(LAUNCH / 'local.sh', *args)
  assert done.returncode == 2 and done.stderr.startswith('usage: launch/local.sh PROCESSES')


@pytest.mark.parametrize(('code', 'requeued'), [(0, False), (75, True), (2, False)])
def test_slurm_only_requeues_saved_runs(tmp_path, code, requeued):
  path = programs(tmp_path / 'bin', srun=f'echo "$@"; exit {code}', scontrol='echo "called: $@"')
  done = run(
    LAUNCH / 'slurm.sbatch', '--workdir=runs/a b', PATH=path, SLURM_NTASKS='8', SLURM_JOB_ID='57'
  )
  assert done.returncode == code
  assert 'python -m flaxart.main --processes=8 --workdir=runs/a b' in done.stdout
  assert ('called: requeue 57' in done.stdout) == requeued


def test_slurm_passes_the_warning_on_and_waits_for_the_save(tmp_path):
  saves = 'trap "sleep 1; echo saved; exit 75" TERM; echo ready; while :; do sleep 0.1; done'
  path = programs(tmp_path / 'bin', srun=saves, scontrol='echo "called: $@"')
  env = {**os.environ, 'PATH': path, 'SLURM_NTASKS': '8', 'SLURM_JOB_ID': '57'}
  job = subprocess.Popen(
    ['bash', LAUNCH / 'slurm.sbatch'], stdout=subprocess.PIPE, text=True, env=env
  )
  assert job.stdout.readline() == 'ready\n'
  job.terminate()
  said, _ = job.communicate(timeout=30)
  assert job.returncode == 75
  assert said.splitlines()[0] == 'saved' and said.splitlines()[-1] == 'called: requeue 57'


def test_slurm_asks_for_as_many_gpus_as_tasks():
  text = (LAUNCH / 'slurm.sbatch').read_text()
  options = dict(re.findall(r'^#SBATCH --([a-z-]+)(?:=(.*))?$', text, re.MULTILINE))
  assert options['gres'] == f'gpu:{options["ntasks-per-node"]}'
  assert 'requeue' in options and options['signal'].startswith('B:TERM@')
  assert 'gpus-per-task' not in options


def test_tpu_quotes_the_flags_for_the_remote_shell(tmp_path):
  path = programs(tmp_path / 'bin', gcloud='for a in "$@"; do echo "$a"; done')
  done = run(LAUNCH / 'tpu_vm.sh', '--config.tasks=a b', PATH=path, TPU='t', ZONE='z')
  command = done.stdout.splitlines()[-1].removeprefix('--command=')
  assert command.strip() == r'cd flaxart && python -m flaxart.main --config.tasks=a\ b'
  assert '--worker=all' in done.stdout and '--zone=z' in done.stdout
  assert run(LAUNCH / 'tpu_vm.sh', '--config=x', TPU='', ZONE='').returncode == 2


def test_the_jobset_has_what_its_schema_requires():
  jobset = yaml.safe_load((LAUNCH / 'gke-jobset.yaml').read_text())
  assert jobset['apiVersion'] == 'jobset.x-k8s.io/v1alpha2' and jobset['kind'] == 'JobSet'
  (replicated,) = jobset['spec']['replicatedJobs']
  assert {'name', 'template'} <= replicated.keys()
  job = replicated['template']['spec']
  # JAX needs an index a pod, and all pods at once.
  assert job['completionMode'] == 'Indexed' and job['parallelism'] == job['completions']
  pod = job['template']['spec']
  assert pod['restartPolicy'] in ('Never', 'OnFailure')
  (container,) = pod['containers']
  assert {'name', 'image', 'command'} <= container.keys()
  env = {entry['name']: entry for entry in container['env']}
  assert env['JAX_NUM_PROCESSES']['value'] == str(job['completions'])
  assert f'--processes={job["completions"]}' in container['args']
  host, port = env['JAX_COORDINATOR_ADDRESS']['value'].split(':')
  name = jobset['metadata']['name']
  # Pod 0 of job 0: JobSet's naming, in the subdomain that it creates under its own name.
  assert host == f'{name}-{replicated["name"]}-0-0.{pod["subdomain"]}' and pod['subdomain'] == name
  assert int(port) == container['ports'][0]['containerPort']
  index = env['JAX_PROCESS_ID']['valueFrom']['fieldRef']['fieldPath']
  assert index == "metadata.annotations['batch.kubernetes.io/job-completion-index']"
