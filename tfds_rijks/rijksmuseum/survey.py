"""Reads the records of the museum, and groups parts of one object."""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tfds_rijks import splits
from tfds_rijks.errors import UserError
from tfds_rijks.pictures import Picture
from tfds_rijks.progress import track
from tfds_rijks.rijksmuseum import archive, groundtruth, oai
from tfds_rijks.rijksmuseum import layout as layouts
from tfds_rijks.rijksmuseum.groups import base_number

UNPACKED = 'rijksmuseum_unpacked'  # folder of data_dir that holds what archives held


@dataclass
class Records:
  """The readable XML files, and the reasons for the others."""

  by_stem: dict[str, oai.Record] = field(default_factory=dict)
  refused: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
  repaired: Counter[str] = field(default_factory=Counter)
  other_number: list[str] = field(default_factory=list)  # the XML is about another object number


def find(manual_dir: Path, *, into: Path, unpack: bool = True) -> layouts.Layout:
  """The museum in `manual_dir`; archives are unpacked below `into`.

  Raises:
    UserError: neither folders nor archives, a refused archive, or one not unpacked yet if `unpack`
      is False.
  """
  try:
    return layouts.find(manual_dir)
  except layouts.NoFolderError:
    packed = archive.archives(manual_dir)
    if not packed:
      raise
  for one in packed if not unpack else []:
    if not archive.place(one, into=into).is_dir():
      raise UserError(
        f'{one}: is an archive, which --dry_run does not unpack; unpack it first, or leave '
        '--dry_run out'
      )
  beside = (*manual_dir.glob(layouts.GROUND_TRUTH), *manual_dir.glob(f'*/{layouts.GROUND_TRUTH}'))
  truth = next((path for path in beside if path.is_file()), None)
  archive.clear_left_behind(into)
  folders = [archive.unpacked(one, into=into, truth=truth) for one in packed]
  found = layouts.find(manual_dir, also=folders)
  _check_rows(found, packed)
  return found


def _check_rows(found: layouts.Layout, packed: Sequence[Path]) -> None:
  """Raises `UserError` if unpacked archives hold other stems than the ground truth has rows."""
  if (truth := found.ground_truth) is None:
    return
  try:
    rows = _rows(truth, truth.stat().st_mtime_ns)
  except UserError:
    return  # not known then; a config that needs it says what is wrong
  if rows != len(found.stems):
    raise UserError(
      f'{", ".join(map(str, packed))}: {len(found.pictures):,} pictures and '
      f'{len(found.records):,} records of {len(found.stems):,} stems, but {truth} has '
      f'{rows:,} rows; copy or download the incomplete one again, or take away a '
      f'{layouts.GROUND_TRUTH} that is not theirs'
    )


@functools.lru_cache(maxsize=1)
def _rows(truth: Path, changed: int) -> int:
  """Rows of the ground truth, read once for one state of the file."""
  del changed
  return groundtruth.count(truth)


def read_records(layout: layouts.Layout, stems: Iterable[str]) -> Records:
  """Reads the XML of `stems`; a refused file leaves its object without labels."""
  records = Records()
  wanted = [stem for stem in stems if stem in layout.records]
  for stem in track(wanted, 'reading records', len(wanted), unit='records'):
    path = layout.records[stem]
    try:
      if path.stat().st_size > oai.MAX_BYTES:  # before reading it all
        raise oai.RecordError(path.name, 'XML is too large')
      record = oai.read(path.read_bytes(), name=path.name)
    except oai.RecordError as error:
      records.refused[error.reason].append(stem)
      continue
    records.by_stem[stem] = record
    records.repaired.update(record.repairs)
    if record.object_number and record.object_number != layouts.object_number(stem):
      records.other_number.append(stem)
  return records


def groups(pictures: Mapping[str, Picture], seed_of: Mapping[str, str]) -> dict[str, str]:
  """Stem to group: parts of one object number, and objects with an equal picture, are one group.

  So are likely copies: `seed_of` as in `copies.Found`. A group is named by its (smallest) object
  number without parts, so that a new part moves nothing.
  """
  keys: dict[str, list[str]] = defaultdict(list)
  for stem, picture in pictures.items():
    ties = [picture.digest] if picture.digest else []
    ties += [f'copy:{seed_of[stem]}'] if stem in seed_of else []
    keys[base_number(layouts.object_number(stem))] += ties
  named = splits.merge(keys)
  return {stem: named[base_number(layouts.object_number(stem))] for stem in pictures}
