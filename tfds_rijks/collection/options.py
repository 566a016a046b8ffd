"""The options of the `collection` builder as `tfds_rijks.prepare` takes them."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
from pathlib import Path
from typing import Any

from tfds_rijks import build_report
from tfds_rijks.collection import kinds, records
from tfds_rijks.collection.collection_dataset_builder import Builder, Config
from tfds_rijks.collection.flags import Flags
from tfds_rijks.collection.records import Collection
from tfds_rijks.collection.table import NONE
from tfds_rijks.errors import UserError
from tfds_rijks.words import counted


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
    self.collection = records.read(manual_dir, self.flags)  # refuses missing tables
    self._check_pictures()
    self.options = self.flags.content() | {
      flag: _digest(getattr(self.flags, flag))
      for flag in ('aliases', 'decisions', 'distancing', 'nobody')
    }
    table = self.flags.metadata or NONE
    self.hidden = [] if table == NONE else [manual_dir / os.path.normpath(table)]
    self.problem = self.collection.problem or self._without_tasks()
    self.summary = _summary(self.collection, self.problem)

  def _check_pictures(self) -> None:
    """Raises `UserError` if the table names pictures and none of them exists."""
    listed = self.collection.records
    if listed and not any(record.path.is_file() for record in listed):
      raise UserError(
        f'{self.manual_dir}: none of the pictures in the table exists, such as {listed[0].image}; '
        'expected paths relative to this folder; correct them, or pair by object number with '
        '--match=stem'
      )

  @staticmethod
  def add_arguments(parser: argparse._ArgumentGroup) -> None:
    """See `tfds_rijks.options.Preparation`."""
    for field in dataclasses.fields(Flags):
      parser.add_argument(
        f'--{field.name}',
        type=next((kind for kind in (int, float) if kind.__name__ in str(field.type)), str),
        help=field.metadata['help'].replace('%', '%%'),
      )

  def place(self, data_dir: Path, *, dry_run: bool) -> None:
    """See `tfds_rijks.options.Preparation`; a collection has no other files."""
    if self.problem and not dry_run:
      raise UserError(self.problem)

  def pictures(self) -> list[Path]:
    """See `tfds_rijks.options.Preparation`."""
    return [record.path for record in self.collection.records if record.path.is_file()]

  def builder(self, data_dir: Path) -> Builder:
    """See `tfds_rijks.options.Preparation`."""
    config = Config(name=self.name, kinds=self.collection.kinds) if self.name else None
    builder = Builder(config=config, data_dir=str(data_dir), kinds=self.collection.kinds)
    builder.collection, builder.flags = self.collection, self.flags
    return builder

  def _without_tasks(self) -> str:
    """The problem if there is no task, or a requested one has no class; else ''."""
    least = self.flags.min_per_class
    left_out = [one for one in self.collection.columns if one.becomes == 'left out']
    self.collection.report['columns_left_out'] = [one.name for one in left_out]
    empty = [one.name for one in left_out if one.why != records.NOT_ASKED]
    if empty and self.flags.labels:
      return (
        f'--labels: {empty[0]} has no value on {least} or more '
        'pictures; lower --min_per_class or leave the column out'
      )
    if not {'label', 'labels', 'number'} & set(self.collection.kinds.values()):
      return (
        f'{self.manual_dir}: no column has a value on {least} or '
        'more pictures; lower --min_per_class, or add a column with labels'
      )
    return ''


def _summary(collection: Collection, problem: str) -> str:
  """What each column becomes, as a table, and notes on the cells."""
  rows = kinds.as_rows(collection.columns)
  lines = [build_report.table(rows, header=('column', 'becomes', 'why', 'other choice'))]
  for column, seen in collection.report['several_values'].items():
    lines.append(
      f'{column}: {counted(seen["cells"], "cell seems", "cells seem")} to hold several values, '
      f'such as {seen["example"]!r}; {seen["option"]} splits them'
    )
  if problem:
    lines.append(f'nothing to build: {problem}')
  return '\n'.join(lines)


def _digest(path: str | None) -> str | None:
  """The digest of a flag's file, whose content matters, not its name."""
  if path is None or path == 'none':
    return path
  return hashlib.sha256(Path(path).expanduser().read_bytes()).hexdigest()[:16]
