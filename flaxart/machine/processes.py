"""Several processes as one run: finds their launcher, joins them and logs it.

JAX reads SLURM's, Open MPI's, Kubernetes's and the TPU machines' variables itself; what is added
here is strictness: incomplete variables of a launcher, or another count than requested, are refused
instead of training once per process.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import os
from collections.abc import Mapping
from typing import Any

import jax

from flaxart.machine.coordinator import START_S, split
from flaxart.machine.relay import Entrance, Relay
from tfds_rijks.errors import UserError

log = logging.getLogger('flaxart')

BY_HAND = ('JAX_COORDINATOR_ADDRESS', 'JAX_NUM_PROCESSES', 'JAX_PROCESS_ID')
SLURM = ('SLURM_JOB_ID', 'SLURM_STEP_NODELIST', 'SLURM_NTASKS', 'SLURM_PROCID', 'SLURM_LOCALID')
OPEN_MPI = ('OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_LOCAL_RANK')
TPU = ('TPU_WORKER_ID', 'TPU_WORKER_HOSTNAMES')


def launcher(env: Mapping[str, str]) -> str | None:
  """The launcher of this process: `by hand`, `SLURM`, `Open MPI`, `Kubernetes`, `TPU`, or None for
  a single process. Raises `UserError` if a launcher's variables are incomplete.
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
        f'SLURM: the job has {env["SLURM_NTASKS"]} tasks, but this process is not one of them; '
        'start it with srun, or give --processes=1 to use this process alone'
      )
    _complete(env, SLURM, 'started by srun')
    return 'SLURM'
  if len(env.get('TPU_WORKER_HOSTNAMES', '').split(',')) > 1:
    _complete(env, TPU, 'started on a TPU slice')
    return 'TPU'
  if 'KUBERNETES_SERVICE_HOST' in env and 'JOB_COMPLETION_INDEX' in env:
    if importlib.util.find_spec('kubernetes') is None:
      raise UserError(
        'Kubernetes: package kubernetes is not installed; pip install jax[k8s], or set '
        f'{", ".join(BY_HAND)} as launch/gke-jobset.yaml does'
      )
    return 'Kubernetes'
  if 'JAX_COORDINATOR_ADDRESS' in env:
    _complete(env, BY_HAND, 'started by hand')
  return None


@dataclasses.dataclass(frozen=True)
class Joined:
  """How this process reaches process 0: `address` (`HOST:PORT`), through `relay` if it has one."""

  address: str
  relay: Relay | None = None


def join(*, expected: int = 0, env: Mapping[str, str] = os.environ) -> Joined | None:
  """Makes this process part of the run, before anything else asks JAX for devices.

  `expected` is the number of processes requested (`--processes`); 0 takes what there is, 1 does not
  join. Returns None for a single process.
  """
  found = None if expected == 1 else launcher(env)
  way: Entrance | Relay | None = None
  address, reach, bind = '', None, None
  try:
    if found in ('by hand', 'SLURM', 'Open MPI'):
      address, number = _meeting_point(env)
      way = _meet(address, number, env)
      reach = bind = way.inner if isinstance(way, Entrance) else way.address
    if found == 'by hand':
      jax.distributed.initialize(
        reach,
        _number(env, 'JAX_NUM_PROCESSES'),
        _number(env, 'JAX_PROCESS_ID'),
        cluster_detection_method='deactivate',
        coordinator_bind_address=bind,
      )
    elif found == 'Open MPI':
      jax.distributed.initialize(
        reach,
        num_processes=_number(env, 'OMPI_COMM_WORLD_SIZE'),
        process_id=_number(env, 'OMPI_COMM_WORLD_RANK'),
        coordinator_bind_address=bind,
      )
    elif found is not None:
      jax.distributed.initialize(reach, coordinator_bind_address=bind)
  except (ValueError, RuntimeError) as error:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    raise UserError(
      f'{found}: the processes could not be joined ({first}); check that all were started '
      'and can reach the first one, or set JAX_COORDINATOR_ADDRESS=HOST:PORT'
    ) from error
  if expected and jax.process_count() != expected:
    raise UserError(
      f'--processes: requested {expected}, found {jax.process_count()} '
      f'({found or "no launcher"}); start them with srun, mpirun, a JobSet, launch/local.sh, '
      f'or set {", ".join(BY_HAND)}'
    )
  if found is not None:
    log.info(
      'process %d of %d (%s), %d of %d devices are local',
      jax.process_index(),
      jax.process_count(),
      found,
      jax.local_device_count(),
      jax.device_count(),
    )
  if jax.process_count() == 1:
    return None
  if not address:
    from jax._src import distributed

    address = str(distributed.global_state.coordinator_address)
  return Joined(address, way if isinstance(way, Relay) else None)


def client() -> Any:
  """The key-value client of `jax.distributed`; None for a single process."""
  if not jax.distributed.is_initialized():
    return None
  # Orbax takes it from here as well: JAX has no public name for it.
  from jax._src import distributed

  return distributed.global_state.client


def wait_for_all(what: str) -> None:
  """Waits until every process has reached this line; returns at once for a single process."""
  if jax.process_count() > 1:
    from jax.experimental import multihost_utils

    multihost_utils.sync_global_devices(what)


def from_first_process(value: Any) -> Any:
  """Process 0's value, an array or NumPy scalar, on every process."""
  if jax.process_count() == 1:
    return value
  from jax.experimental import multihost_utils

  return multihost_utils.broadcast_one_to_all(value)


def _meeting_point(env: Mapping[str, str]) -> tuple[str, int]:
  """`HOST:PORT` of process 0, and the number of this process, as JAX will find them."""
  from jax._src.clusters import ClusterEnv

  number = _number(env, 'JAX_PROCESS_ID') if 'JAX_PROCESS_ID' in env else None
  address, _, number, _ = ClusterEnv.auto_detect_unset_distributed_params(
    env.get('JAX_COORDINATOR_ADDRESS'), None, number, None, None, int(START_S)
  )
  if address is None or number is None:
    raise ValueError('no address of process 0')
  return address, number


def _meet(address: str, number: int, env: Mapping[str, str]) -> Entrance | Relay:
  """Opens what this process and process 0 reach each other through."""
  if number == 0:
    return Entrance(env.get('JAX_COORDINATOR_BIND_ADDRESS', f'[::]:{split(address)[1]}'))
  relay = Relay(address, number)
  relay.wait()
  return relay


def _number(env: Mapping[str, str], name: str) -> int:
  value = env.get(name, '0')
  if not value.isdigit():
    raise UserError(f'{name}: found {value!r}, expected a whole number')
  return int(value)


def _complete(env: Mapping[str, str], names: tuple[str, ...], how: str) -> None:
  missing = [name for name in names if name not in env]
  if missing:
    raise UserError(f'{how}: {", ".join(missing)} not set; all of {", ".join(names)} are needed')
