"""The source of a new run's trunk: another workdir, a weights file, ImageNet, or none."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from flax import nnx
from ml_collections import ConfigDict

from flaxart.machine.log import log
from flaxart.machine.sharding import create_mesh
from flaxart.models import card_of
from flaxart.models.preprocess import Preprocess
from flaxart.network import state_tree
from flaxart.network.classifier import InitialTrunk, TrunkArrays, TrunkSpec
from flaxart.network.image_size import other_pictures, with_image_size
from flaxart.network.state import abstract_parts
from flaxart.settings import read_trained
from flaxart.weights.find import find_imagenet
from flaxart.weights.load import read_trunk
from flaxart.workdir import checkpoint, manifest, run_folder
from flaxart.workdir.beside_trainer import of_best
from flaxart.workdir.stored_results import FILE, read_results
from tfds_rijks.errors import UserError
from tfds_rijks.progress import working


def initial_trunk(config: ConfigDict, workdir: Path) -> InitialTrunk:
  """The trunk that `config.init` names; without arrays for a run that has checkpoints.

  Raises `UserError` if there is nothing to start from, or it is another network.
  """
  if manifest.steps_in(workdir / manifest.FOLDER):
    stored = run_folder.read_trunk_json(workdir)
    return InitialTrunk(TrunkSpec.from_json(stored['spec']), stored['about'])
  with working(f'reading the trunk of config.init={config.init}'):
    start = named_trunk(config)
  if config.data.pixels == 'zero_one':
    size = with_image_size(config, start.about).data.image_size
    pixels = Preprocess(size, scale=(1 / 255,) * 3)
    start = dataclasses.replace(start, spec=dataclasses.replace(start.spec, preprocess=pixels))
  return start


def named_trunk(config: ConfigDict) -> InitialTrunk:
  """The trunk of `config.init`: scratch, another run, ImageNet or a weights file."""
  if config.init == 'scratch':
    return InitialTrunk(TrunkSpec(card_of(config.model.name).variants[0]))
  path = Path(config.init).expanduser()
  if config.init != 'imagenet' and path.is_dir():
    return trunk_of_run(path, config)
  if config.init != 'imagenet' and not path.exists():
    raise UserError(
      f'config.init: {config.init!r} is not scratch, imagenet, a weights file or '
      'the workdir of a run'
    )
  if config.model.width != 1 or config.model.shallow:
    raise UserError(
      f'config.init: {config.init!r} holds the whole network; found model.width='
      f'{config.model.width} and model.shallow={config.model.shallow}, expected 1 and False'
    )
  path = find_imagenet(config.model.name) if config.init == 'imagenet' else path
  trunk, weights = read_trunk(path, model=config.model.name)
  own = weights.preprocess
  say_other_pictures(config, own)
  kinds = (nnx.Param, nnx.BatchStat)
  return InitialTrunk(
    TrunkSpec(weights.variant, own),
    {**weights.about, 'image_size': own.size},
    TrunkArrays(*(nnx.to_pure_dict(nnx.state(trunk, kind)) for kind in kinds)),
  )


def trunk_of_run(workdir: Path, config: ConfigDict) -> InitialTrunk:
  """The trunk of another run's best checkpoint; the networks must be the same."""
  other, tasks = run_folder.read_run(workdir)
  for field in ('name', 'width', 'shallow'):
    if other.model[field] != config.model[field]:
      raise UserError(
        f'config.init: {workdir} holds model.{field}={other.model[field]!r}, this run '
        f'has {config.model[field]!r}; use the same'
      )
  spec = TrunkSpec.from_json(run_folder.read_trunk_json(workdir)['spec'])
  _, params, batch_stats = abstract_parts(
    other, read_trained(other), tasks, spec, nnx.Param, nnx.BatchStat
  )
  wanted = {'params': {'trunk': nnx.to_pure_dict(params)['trunk']}}
  stats = nnx.to_pure_dict(batch_stats)
  if stats:
    wanted['batch_stats'] = {'trunk': stats['trunk']}
  arrays = state_tree.abstract(wanted, create_mesh())
  step, tree = of_best(workdir, lambda step: checkpoint.load_part(workdir, step, arrays))
  about = {
    'source': f'run {workdir.name}, step {step}',
    'model': other.model.name,
    'image_size': other.data.image_size,
  }
  say_other_pictures(config, Preprocess(other.data.image_size, fit=other.data.fit))
  if (workdir / FILE).exists():
    was = read_results(workdir)['provenance']
    about['trained_on'] = f'{was["dataset"]} {was["dataset_version"]}'
  about['sha256'] = state_tree.sha256_of(tree['params']['trunk'])
  stats = tree['batch_stats']['trunk'] if stats else {}
  return InitialTrunk(spec, about, TrunkArrays(tree['params']['trunk'], stats))


def say_other_pictures(config: ConfigDict, own: Preprocess) -> None:
  """Logs if this run's pictures differ from those its weights were trained on."""
  line = other_pictures(config, own)
  if line:
    log.info('config.init=%s: %s', config.init, line)
