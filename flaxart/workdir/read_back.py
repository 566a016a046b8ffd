"""Checks that everything given to Orbax can be read again, before a save is sealed.

A manifest covers whatever files exist. Arrays that Orbax wrote but failed to merge (for example in
a folder whose name it took for a pattern) would be sealed, and lost.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import tensorstore
from orbax.checkpoint import v1 as ocp


def missing_arrays(folder: Path) -> list[str]:
  """Arrays of a checkpoint, as `item: name`, that its metadata names but its database lacks.

  Reads only indices, not the arrays: milliseconds.
  """
  described = ocp.checkpointables_metadata(folder).metadata
  return [
    f'{item}: {name}'
    for item in sorted(path.parent.name for path in folder.glob('*/_METADATA'))
    for name in _missing(folder / item, described.get(item))
  ]


def _missing(item: Path, described: Any) -> list[str]:
  if described is None:  # Orbax found no arrays
    return ['all arrays']
  base = {'driver': 'file', 'path': f'{item}/'}
  database = tensorstore.KvStore.open({'driver': 'ocdbt', 'base': base}).result()
  keys = {key.decode() for key in database.list().result()}
  chunks = {key.rpartition('/c/')[0] or key.removesuffix('/c') for key in keys}
  leaves = jax.tree_util.tree_leaves_with_path(described)
  names = [jax.tree_util.keystr(path, simple=True, separator='.') for path, _ in leaves]
  return [name for name in names if f'{name}/zarr.json' not in keys or name not in chunks]
