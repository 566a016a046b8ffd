"""Several processes as one run: find who started them, join them, say so in one line.

JAX reads SLURM's, Open MPI's, Kubernetes's and the TPU machines' variables itself; what is added
here is that nothing is guessed: a launcher whose variables are incomplete, or a count that differs
from the one asked for, is refused instead of training once per process, each on its own.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Mapping
from typing import Any

import jax

from tfds_rijks.errors import UserError

log = logging.getLogger('flaxart')

BY_HAND = ('JAX_COORDINATOR_ADDRESS', 'JAX_NUM_PROCESSES', 'JAX_PROCESS_ID')
SLURM = ('SLURM_JOB_ID', 'SLURM_STEP_NODELIST', 'SLURM_NTASKS', 'SLURM_PROCID', 'SLURM_LOCALID')
OPEN_MPI = ('OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_LOCAL_RANK')
TPU = ('TPU_WORKER_ID', 'TPU_WORKER_HOSTNAMES')


def launcher(env: Mapping[str, str]) -> str | None:
  """Who started this process as one of several: `by hand`, `SLURM`, `Open MPI`, `Kubernetes`,
  `TPU`, or None for a process on its own.

  Raises `UserError` for a launcher that is there in part.
  """
  if 'JAX_NUM_PROCESSES' in env or 'JAX_PROCESS_ID' in env:
    _complete(env, BY_HAND, 'started by hand')
    return 'by hand'
  if _number(env, 'OMPI_COMM_WORLD_SIZE') > 1:
    _complete(env, OPEN_MPI, 'started by Open MPI')
    return 'Open MPI'
  if 'SLURM_JOB_ID' in env and _number(env, 'SLURM_NTASKS') > 1:
    if 'SLURM_STEP_NODELIST' not in env:
      raise UserError(
        f'SLURM: the job has {env["SLURM_NTASKS"]} tasks and this process is none of them; start '
        'it with srun, or give --processes=1 to use this process alone'
      )
    _complete(env, SLURM, 'started by srun')
    return 'SLURM'
  if len(env.get('TPU_WORKER_HOSTNAMES', '').split(',')) > 1:
    _complete(env, TPU, 'started on a TPU slice')
    return 'TPU'
  if 'KUBERNETES_SERVICE_HOST' in env and 'JOB_COMPLETION_INDEX' in env:
    if importlib.util.find_spec('kubernetes') is None:
      raise UserError(
        f'Kubernetes: package kubernetes is not installed; pip install jax[k8s], or set '
        f'{", ".join(BY_HAND)} as launch/gke-jobset.yaml does'
      )
    return 'Kubernetes'
  if 'JAX_COORDINATOR_ADDRESS' in env:
    _complete(env, BY_HAND, 'started by hand')
  return None


def join(*, expected: int = 0, env: Mapping[str, str] = os.environ) -> None:
  """Makes this process one of the run's, before anything else asks JAX for devices.

  `expected` is the number of processes asked for (`--processes`); 0 takes what is there, 1 joins
  nobody.
  """
  found = None if expected == 1 else launcher(env)
  try:
    if found == 'by hand':
      jax.distributed.initialize(
        env['JAX_COORDINATOR_ADDRESS'],
        _number(env, 'JAX_NUM_PROCESSES'),
        _number(env, 'JAX_PROCESS_ID'),
        cluster_detection_method='deactivate',
      )
    elif found == 'Open MPI':  # the address is JAX's to find, or JAX_COORDINATOR_ADDRESS
      jax.distributed.initialize(
        num_processes=_number(env, 'OMPI_COMM_WORLD_SIZE'),
        process_id=_number(env, 'OMPI_COMM_WORLD_RANK'),
      )
    elif found is not None:
      jax.distributed.initialize()
  except (ValueError, RuntimeError) as error:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    raise UserError(
      f'{found}: the processes could not be joined ({first}); check that all of them were started '
      'and reach the first one, or set JAX_COORDINATOR_ADDRESS=HOST:PORT'
    ) from error
  if expected and jax.process_count() != expected:
    raise UserError(
      f'--processes: {expected} were asked for, {jax.process_count()} are there '
      f'({found or "no launcher found"}); start them with srun, mpirun, a JobSet, launch/local.sh, '
      f'or set {", ".join(BY_HAND)}'
    )
  if found is not None:
    log.info(
      'process %d of %d (%s), %d of %d devices are here',
      jax.process_index(),
      jax.process_count(),
      found,
      jax.local_device_count(),
      jax.device_count(),
    )


def client() -> Any:
  """The key-value client that `jax.distributed` keeps; None for a process on its own."""
  if not jax.distributed.is_initialized():
    return None
  # Orbax takes it from here too: JAX has no public name for it.
  from jax._src import distributed

  return distributed.global_state.client


def wait_for_all(what: str) -> None:
  """Returns when every process has come to this line; at once for a process on its own."""
  if jax.process_count() > 1:
    from jax.experimental import multihost_utils

    multihost_utils.sync_global_devices(what)


def from_first_process(value: Any) -> Any:
  """What process 0 has, on every process: an array or NumPy scalar."""
  if jax.process_count() == 1:
    return value
  from jax.experimental import multihost_utils

  return multihost_utils.broadcast_one_to_all(value)


def _number(env: Mapping[str, str], name: str) -> int:
  value = env.get(name, '0')
  if not value.isdigit():
    raise UserError(f'{name}: found {value!r}, expected a whole number')
  return int(value)


def _complete(env: Mapping[str, str], names: tuple[str, ...], how: str) -> None:
  missing = [name for name in names if name not in env]
  if missing:
    raise UserError(f'{how}: {", ".join(missing)} not set; all of {", ".join(names)} are needed')
