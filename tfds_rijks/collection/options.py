"""The options of the `collection` builder as `tfds_rijks.prepare` takes them."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
from pathlib import Path
from typing import Any

from tfds_rijks import labels
from tfds_rijks.collection import records
from tfds_rijks.collection.collection_dataset_builder import Builder, Config
from tfds_rijks.collection.flags import Flags, names
from tfds_rijks.collection.table import NONE
from tfds_rijks.errors import UserError


class Preparation:
  """See `tfds_rijks.options.Preparation`."""

  KEPT = ()

  def __init__(self, config: str, manual_dir: Path, **options: Any):
    known = {field.name for field in dataclasses.fields(Flags)}
    if unknown := set(options) - known:
      raise UserError(
        f'{", ".join(sorted(unknown))}: not an option of collection; its options are '
        f'{", ".join(sorted(known))}'
      )
    if config and not config.replace('-', '_').isidentifier():
      raise UserError(
        f'--dataset=collection/{config}: expected a name of letters, digits and _ after collection/'
      )
    self.flags = Flags(**options)
    self.name, self.manual_dir = config, manual_dir
    self.dataset = f'collection/{config}' if config else 'collection'
    self.image_size = self.flags.image_size
    self.max_pixels, self.processes = self.flags.max_pixels, self.flags.processes
    self.collection = records.read(manual_dir, self.flags)  # refuses files that are not there
    self.options = self.flags.content() | {
      flag: _digest(getattr(self.flags, flag)) for flag in ('aliases', 'distancing')
    }
    table = self.flags.metadata or NONE
    self.hidden = [] if table == NONE else [manual_dir / os.path.normpath(table)]
    self._leave_out()

  @staticmethod
  def add_arguments(parser: argparse._ArgumentGroup) -> None:
    """See `tfds_rijks.options.Preparation`."""
    for field in dataclasses.fields(Flags):
      parser.add_argument(
        f'--{field.name}',
        type=int if 'int' in str(field.type) else str,
        help=field.metadata['help'].replace('%', '%%'),
      )

  def place(self, data_dir: Path, *, dry_run: bool) -> None:
    """See `tfds_rijks.options.Preparation`; a build of a collection leaves nothing else."""

  def pictures(self) -> list[Path]:
    """See `tfds_rijks.options.Preparation`."""
    return [record.path for record in self.collection.records if record.path.is_file()]

  def builder(self, data_dir: Path) -> Builder:
    """See `tfds_rijks.options.Preparation`."""
    config = Config(name=self.name, kinds=self.collection.kinds) if self.name else None
    builder = Builder(config=config, data_dir=str(data_dir), kinds=self.collection.kinds)
    builder.collection, builder.flags = self.collection, self.flags
    return builder

  def _leave_out(self) -> None:
    """Drops columns without a class (titles, notes); one that was asked for must have some."""
    kinds = self.collection.kinds
    found = self.collection.records
    empty = [
      feature
      for feature, kind in kinds.items()
      if kind != 'number'
      and not labels.vocabulary(
        [record.labels[feature] for record in found], min_per_class=self.flags.min_per_class
      ).names
    ]
    if empty and names(self.flags.labels):
      raise UserError(
        f'--labels: {empty[0]} has no value on {self.flags.min_per_class} or more '
        'pictures; lower --min_per_class or leave the column out'
      )
    for feature in empty:
      del kinds[feature]
    self.collection.report['columns_left_out'] = empty
    if not kinds:
      raise UserError(
        f'{self.manual_dir}: no column has a value on {self.flags.min_per_class} or '
        'more pictures; lower --min_per_class, or add a column with labels'
      )


def _digest(path: str | None) -> str | None:
  """Of a file given by a flag: its content decides, not its name."""
  if path is None or path == 'none':
    return path
  return hashlib.sha256(Path(path).expanduser().read_bytes()).hexdigest()[:16]
