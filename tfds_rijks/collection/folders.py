"""A folder per class, with or without a folder per split above: `train/cat/1.jpg`, `cat/1.jpg`."""

from __future__ import annotations

from pathlib import Path

from tfds_rijks.collection.table import Cell, Table
from tfds_rijks.errors import UserError
from tfds_rijks.listing import is_picture, name_of, walk
from tfds_rijks.words import counted

SPLITS = frozenset({'train', 'training', 'val', 'valid', 'validation', 'dev', 'test', 'testing'})


def read(folder: Path) -> Table:
  """The folder as a table with the columns image, label and, if there are splits, split."""
  pictures = [Path(name_of(path, folder=folder)) for path in walk(folder) if is_picture(path)]
  nested = [path for path in pictures if len(path.parts) > 1]
  if not nested:
    raise UserError(
      f'{folder}: has no metadata.csv and no pictures in subfolders; expected a '
      'table with a column image, or a folder per class'
    )
  if len(nested) < len(pictures):
    raise UserError(
      f'{folder}: {counted(len(pictures) - len(nested), "picture is", "pictures are")} beside the '
      f'folders (such as {next(p for p in pictures if len(p.parts) == 1)}); expected every picture '
      'in the folder of its class, or a metadata.csv'
    )
  tops = {path.parts[0] for path in nested}
  by_split = {top.casefold() for top in tops} <= SPLITS
  rows: list[list[Cell]] = []
  for path in nested:
    label = path.parts[1 if by_split else 0]
    if by_split and len(path.parts) < 3:
      raise UserError(f'{folder}: {path} is not in a class; expected {path.parts[0]}/CLASS/PICTURE')
    # A list: a folder's name is one class, whatever separates values in cells.
    rows.append([path.as_posix(), [label], *([path.parts[0]] if by_split else [])])
  columns = ['image', 'label', *(['split'] if by_split else [])]
  return Table(folder, columns, rows, list(range(1, len(rows) + 1)), 'folders')
