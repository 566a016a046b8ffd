"""Where a new run's trunk comes from: another workdir, a weights file, ImageNet, or nowhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flax import nnx
from ml_collections import ConfigDict

from flaxart import checkpoint, workdirs
from flaxart.sharding import create_mesh
from flaxart.state import abstract_parts
from tfds_rijks.errors import UserError


def initial_trunk(config: ConfigDict) -> dict[str, Any] | None:
  """`{'params', 'batch_stats', 'about'}` of the trunk to start from; None for `scratch`.

  `params` and `batch_stats` are nested dictionaries of arrays below `trunk`; `about` says what they
  are (source and SHA-256 at least). Raises `UserError` if there is nothing to start from.
  """
  init = config.init
  if init == 'scratch':
    return None
  path = Path(init).expanduser()
  if init != 'imagenet' and path.is_dir():
    return trunk_of_run(path, config)
  raise UserError(
    f'config.init: {init!r} is neither scratch, imagenet, a weights file nor the workdir of a run'
  )


def trunk_of_run(workdir: Path, config: ConfigDict) -> dict[str, Any]:
  """The trunk of another run's best checkpoint; the networks must be the same."""
  other, tasks = workdirs.read_run(workdir)
  for field in ('name', 'width', 'shallow'):
    if other.model[field] != config.model[field]:
      raise UserError(
        f'config.init: {workdir} holds model.{field}={other.model[field]!r}, this run '
        f'has {config.model[field]!r}; use the same'
      )
  step = checkpoint.best_on_disk(workdir)
  _, params, batch_stats = abstract_parts(other, tasks, nnx.Param, nnx.BatchStat)
  wanted = {'params': {'trunk': nnx.to_pure_dict(params)['trunk']}}
  stats = nnx.to_pure_dict(batch_stats)
  if stats:
    wanted['batch_stats'] = {'trunk': stats['trunk']}
  tree = checkpoint.load_part(workdir, step, checkpoint.abstract(wanted, create_mesh()))
  source = {'source': f'run {workdir.name}, step {step}', 'model': other.model.name}
  results = workdir / 'results.json'
  if results.exists():
    was = json.loads(results.read_text(encoding='utf-8'))['provenance']
    source['trained_on'] = f'{was["dataset"]} {was["dataset_version"]}'
  params = tree['params']['trunk']
  return {
    'params': params,
    'batch_stats': tree.get('batch_stats', {}).get('trunk', {}),
    'about': {**source, 'sha256': checkpoint.sha256_of(params)},
  }
