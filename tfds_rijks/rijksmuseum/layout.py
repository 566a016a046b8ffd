"""Finds pictures, records and ground truth in the folder that holds the challenge, paired by
stem."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfds_rijks.errors import UserError
from tfds_rijks.listing import name_of

PICTURE_FOLDERS, RECORD_FOLDERS = ('jpg2', 'jpg'), ('xml2', 'xml')
PICTURE_ENDINGS, RECORD_ENDINGS = ('.jpg', '.jpeg'), ('.xml',)
GROUND_TRUTH = 'rijksgt.mat'
DRAWN = 'synthetic.json'  # beside them: the museum is invented, drawn by `synthetic`


class NoFolderError(UserError):
  """The folder of pictures or of records is missing."""


@dataclass(frozen=True)
class Layout:
  """The files on disk.

  `stems` are those of pictures and records together, sorted: the row order of `rijksgt.mat`.
  """

  pictures: Mapping[str, Path]
  records: Mapping[str, Path]
  ground_truth: Path | None
  stems: Sequence[str]
  other_files: Sequence[str]  # neither picture nor record, or a second file of a stem
  drawn: bool = False  # not a museum, but invented objects

  @property
  def without_record(self) -> list[str]:
    return [stem for stem in self.stems if stem not in self.records]

  @property
  def without_picture(self) -> list[str]:
    return [stem for stem in self.stems if stem not in self.pictures]


def find(folder: Path, *, also: Sequence[Path] = ()) -> Layout:
  """Lists `folder`, the folders inside it, and those `also` named (unpacked archives).

  Raises:
    NoFolderError: it has no pictures or no records (perhaps archives).
    UserError: no such folder.
  """
  if not folder.is_dir():
    raise UserError(
      f'{folder}: no such folder; --manual_dir is the folder with jpg2/, xml2/ and rijksgt.mat'
    )
  tops = [folder, *also]
  roots = [*tops, *(child for top in tops for child in sorted(top.iterdir()) if child.is_dir())]
  roots += [top.parent for top in also]  # `jpg2.zip` with the pictures at its top level
  pictures = _folder(roots, PICTURE_FOLDERS, PICTURE_ENDINGS)
  records = _folder(roots, RECORD_FOLDERS, RECORD_ENDINGS)
  for found, names in ((pictures, PICTURE_FOLDERS), (records, RECORD_FOLDERS)):
    if found is None:
      there = sorted(path.name for path in folder.iterdir())
      shown = ', '.join(there[:8]) or 'nothing'
      raise NoFolderError(
        f'{folder}: holds {shown}; expected a folder {" or ".join(names)} with files in it '
        '(as zip or tar, or unpacked)'
      )
  assert pictures is not None and records is not None
  other: list[str] = []
  picture_files = _files(pictures, PICTURE_ENDINGS, other)
  record_files = _files(records, RECORD_ENDINGS, other)
  truth = next((root / GROUND_TRUTH for root in roots if (root / GROUND_TRUTH).is_file()), None)
  return Layout(
    pictures=picture_files,
    records=record_files,
    ground_truth=truth,
    stems=sorted(picture_files.keys() | record_files.keys()),
    other_files=sorted(other),
    drawn=any((root / DRAWN).is_file() for root in roots),
  )


def object_number(stem: str) -> str:
  """`0000004_RP-P-1992-35` -> `RP-P-1992-35`: the part after the running number."""
  head, underscore, tail = stem.partition('_')
  return tail if underscore and head.isdigit() and tail else stem


def _folder(roots: Sequence[Path], names: Sequence[str], endings: tuple[str, ...]) -> Path | None:
  """The first folder of one of `names` that holds files of the kind; also finds `jpg2/jpg2`."""
  for root in roots:
    for name in names:
      for folder in (root / name, root / name / name):
        if folder.is_dir() and any(
          entry.name.lower().endswith(endings) for entry in os.scandir(folder)
        ):
          return folder
  return None


def _files(folder: Path, endings: tuple[str, ...], other: list[str]) -> dict[str, Path]:
  """Stem to path; other files are appended to `other`."""
  found: dict[str, Path] = {}
  with os.scandir(folder) as entries:
    for entry in sorted(entries, key=lambda entry: entry.name):
      stem, dot, ending = entry.name.rpartition('.')
      if entry.name.startswith('.'):  # `._x.jpg` of macOS archives
        continue
      if dot and f'.{ending.lower()}' in endings and entry.is_file() and stem not in found:
        name_of(Path(entry.path), folder=folder)  # refuses names that a dataset cannot hold
        found[stem] = Path(entry.path)
      else:
        name = os.fsencode(entry.name).decode(errors='backslashreplace')
        other.append(f'{folder.name}/{name}')
  return found
