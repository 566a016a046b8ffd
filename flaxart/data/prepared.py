"""Prepares the dataset of a config if it does not exist yet, so that one command is enough."""

from __future__ import annotations

import contextlib
import copy
import io
from pathlib import Path

from ml_collections import ConfigDict

from flaxart.data.source import find, open_dataset
from flaxart.machine.log import log

SAMPLE = 150  # objects drawn to measure on
STAND_IN = 'rijksmuseum/multitask'


def is_missing(config: ConfigDict) -> bool:
  """Whether the dataset is not prepared, and `config.data` says from what to prepare it."""
  data = config.data
  return bool(data.manual_dir) and find(data.dataset, data.data_dir) is None


def prepare_if_missing(config: ConfigDict) -> None:
  """Draws the synthetic museum and prepares the dataset if `config.data` asks for it."""
  data = config.data
  if not data.manual_dir:
    return  # prepared by its own command, or opening it says what to do
  from tfds_rijks.prepare import prepare

  manual_dir = Path(data.manual_dir).expanduser()
  if data.synthetic_objects:
    from tfds_rijks.rijksmuseum.synthetic import draw_museum

    # A museum drawn with the same arguments is reused.
    draw_museum(manual_dir, objects=data.synthetic_objects, seed=0)
  prepare(data.dataset, manual_dir=manual_dir, data_dir=Path(data.data_dir).expanduser())


def stand_in(config: ConfigDict, folder: Path) -> ConfigDict:
  """Settings that measure as many steps as the run will have, on drawn objects.

  They are prepared in the temporary `folder`. Prints what preparing the missing data would take.
  """
  from tfds_rijks import listing
  from tfds_rijks.prepare import prepare
  from tfds_rijks.rijksmuseum.synthetic import draw_museum

  data = config.data
  drawn = draw_museum(folder / 'source', objects=SAMPLE)
  if data.synthetic_objects:
    number = data.synthetic_objects
    log.info('%s: %s objects would be drawn there', data.manual_dir, f'{number:,}')
  else:
    source = Path(data.manual_dir).expanduser()
    prepare(data.dataset, manual_dir=source, data_dir=data.data_dir, dry_run=True)
    number = sum(map(listing.is_picture, listing.walk(source)))
  config = copy.deepcopy(config)
  config.data.dataset, config.data.data_dir = STAND_IN, str(folder / 'prepared')
  config.data.manual_dir = ''
  config.tasks, config.loss.task_weights = 'type', ''
  with contextlib.redirect_stdout(io.StringIO()):  # whose report is of no interest
    prepare(STAND_IN, manual_dir=drawn, data_dir=config.data.data_dir)
  # A protocol leaves objects out, a collection keeps what can be read.
  kept = SAMPLE
  if not data.dataset.startswith('rijksmuseum'):
    kept = sum(
      map(len, open_dataset(STAND_IN, data_dir=config.data.data_dir, tasks=[]).splits.values())
    )
  config.train.epochs *= number / kept
  log.info(
    '%s: not prepared yet; measuring on %d drawn objects in place of %s',
    data.dataset,
    SAMPLE,
    f'{number:,}',
  )
  return config
