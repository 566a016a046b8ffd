"""The mesh of devices and how state and batches lie on it.

One axis, `data`: a batch is cut along it, the state is copied to every device. Under `jit` a step
sees the global batch, so BatchNorm's statistics are over all devices and one device gives the same
result as eight. Axis types are Auto: `jax.make_mesh` gives Explicit ones unless told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from tfds_rijks.errors import UserError


def create_mesh() -> Mesh:
  """All devices of all processes on one axis."""
  return jax.make_mesh((jax.device_count(),), ('data',), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
  """Every device holds the whole array."""
  return NamedSharding(mesh, PartitionSpec())


def over_batch(mesh: Mesh) -> NamedSharding:
  """The first axis is cut into equal parts, one a device."""
  return NamedSharding(mesh, PartitionSpec('data'))


def put_batch(batch: Mapping[str, Any], mesh: Mesh) -> dict[str, Any]:
  """A host batch (this process's part of the global batch) as arrays over the mesh."""
  sharding = over_batch(mesh)
  return jax.tree.map(
    lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), dict(batch)
  )


def check_batch_size(batch_size: int, *, field: str) -> None:
  """A batch that cannot be cut into equal parts is refused."""
  if batch_size % jax.device_count():
    raise UserError(
      f'config.{field}: {batch_size} cannot be divided among {jax.device_count()} '
      f'devices; choose a multiple of {jax.device_count()}'
    )
