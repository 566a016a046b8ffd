"""All pictures of a build: read once in worker processes, checked, reduced, kept until written.

The splits depend on which pictures are equal, which is only known after reading all. So the reduced
pictures wait in one unnamed temporary file (gone with the process), not in memory.
"""

from __future__ import annotations

import math
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from tfds_rijks import copies, images, picture_file, pool
from tfds_rijks.errors import UserError
from tfds_rijks.images import ImageError

_LOOK = 8  # side of the tiny version for finding candidates for equal pictures
# Grey levels between the tiny versions of one picture, decoded in full and scaled: at most 3 seen.
_NEAR = 8


class Picture(NamedTuple):
  """A readable picture.

  `digest` is equal for equal pixels and '' if no other picture can be equal; `height` and `width`
  are those of the original, upright.
  """

  digest: str
  height: int
  width: int
  offset: int
  length: int


class _Task(NamedTuple):
  name: str
  path: str
  image_size: int | None
  max_pixels: int
  sketched: bool  # for likely copies


class _Seen(NamedTuple):
  digest: str  # '' after a scaled decode, whose pixels differ from the original's
  height: int
  width: int
  look: bytes
  notes: tuple[str, ...]
  sketch: bytes
  data: bytes  # what to store; empty for the file itself


class Shelf:
  """The readable pictures by name (`pictures`), the others by name (`errors`), and their bytes.

  `copies` are the likely copies among them, if searched for.
  """

  def __init__(self, paths: Mapping[str, str], file: IO[bytes] | None):
    self.pictures: dict[str, Picture] = {}
    self.errors: dict[str, ImageError] = {}
    self.notes: dict[str, list[str]] = defaultdict(list)  # tolerated flaw -> names
    self.copies = copies.Found()
    self._paths = paths
    self._file = file

  def data(self, name: str) -> bytes:
    """The encoded picture: as distributed, or reduced if the build asked for a size."""
    if self._file is None:
      return Path(self._paths[name]).read_bytes()
    picture = self.pictures[name]
    self._file.seek(picture.offset)
    return self._file.read(picture.length)

  def unreadable(self) -> dict[str, list[str]]:
    """Reason -> names of the pictures, the most frequent reason first."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for name, error in sorted(self.errors.items()):
      reasons[error.reason].append(name)
    return dict(sorted(reasons.items(), key=lambda item: -len(item[1])))


@dataclass(frozen=True)
class Reading:
  """How pictures are read.

  Attributes:
    image_size: short side in pixels to which larger pictures are reduced; None stores the files
    unchanged (they are still fully decoded, to find unreadable ones now). max_pixels: largest
    height times width of a picture. processes: that read; None: one per core. copies: which
    pictures count as copies besides equal ones.
  """

  image_size: int | None = None
  max_pixels: int = images.MAX_PIXELS
  processes: int | None = None
  copies: copies.Rule = 'equal'


def read_all(paths: Mapping[str, str | Path], reading: Reading, *, folder: str | Path) -> Shelf:
  """Reads, checks and reduces pictures.

  Args:
    paths: name (record id or relative path, for messages) -> file.
    folder: on the device of the dataset; holds temporary files.

  Pictures that cannot be read are in `errors` of the result; see `check_budget`.
  """
  sketched = reading.copies != 'equal'
  tasks = [
    _Task(name, str(path), reading.image_size, reading.max_pixels, sketched)
    for name, path in paths.items()
  ]
  file: IO[bytes] | None = None
  if reading.image_size is not None:
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (lives as long as the shelf)
  shelf = Shelf({task.name: task.path for task in tasks}, file)
  with tempfile.TemporaryDirectory(dir=folder) as scratch:
    sketches = Path(scratch) / 'sketches'
    with sketches.open('wb') as sketch_file:
      _read(tasks, shelf, file, sketch_file, processes=reading.processes)
    sources = [
      copies.Source(
        name, str(paths[name]), reading.max_pixels, picture.width / picture.height, picture.digest
      )
      for name, picture in shelf.pictures.items()
    ]
    shelf.copies = copies.find(
      sources, sketches, rule=reading.copies, scratch=Path(scratch), processes=reading.processes
    )
  return shelf


def _read(
  tasks: Sequence[_Task],
  shelf: Shelf,
  file: IO[bytes] | None,
  sketches: IO[bytes],
  *,
  processes: int | None,
) -> None:
  """Puts the pictures on the shelf, their bytes and sketches into files."""
  looks: dict[str, bytes] = {}
  offset = 0
  for task, seen in zip(
    tasks, pool.run(_see, tasks, what='reading pictures', processes=processes), strict=True
  ):
    if isinstance(seen, ImageError):
      shelf.errors[task.name] = seen
      continue
    if file is not None:
      file.write(seen.data)
    sketches.write(seen.sketch)
    shelf.pictures[task.name] = Picture(
      seen.digest, seen.height, seen.width, offset, len(seen.data)
    )
    looks[task.name] = seen.look
    for note in seen.notes:
      shelf.notes[note].append(task.name)
    offset += len(seen.data)
  candidates = _candidates(shelf.pictures, looks)
  again = [task for task in tasks if task.name in candidates]
  found = pool.run(_digest, again, what='comparing pictures', processes=processes)
  for task, digest in zip(again, found, strict=True):
    if isinstance(digest, str):
      shelf.pictures[task.name] = shelf.pictures[task.name]._replace(digest=digest)


def sample_size(paths: Sequence[Path], *, image_size: int | None, max_pixels: int) -> int:
  """Bytes that a build would store for these pictures; takes as long as the build."""
  total = 0
  for path in paths:
    try:
      seen = _see(_Task(str(path), str(path), image_size, max_pixels, True))
    except ImageError:
      continue  # the build counts it
    total += len(seen.data) or path.stat().st_size
  return total


def _load(name: str, path: str) -> bytes:
  try:
    return picture_file.load(Path(path), name=name)
  except OSError as error:
    reason = 'no such file' if isinstance(error, FileNotFoundError) else 'file cannot be opened'
    raise ImageError(name, reason, error.strerror or '') from error


def _see(task: _Task) -> _Seen:
  data = _load(task.name, task.path)
  image, notes = images.read(
    data, name=task.name, short_side=task.image_size, max_pixels=task.max_pixels
  )
  size = images.jpeg_size(data) or image.shape[:2]
  digest = images.pixel_digest(image) if size == image.shape[:2] else ''
  look = images.look(image, data, side=_LOOK)
  stored = b''
  if task.image_size is not None:
    image = images.reduce(image, task.image_size)
    if max(image.shape) > images.LONGEST_JPEG:
      raise ImageError(task.name, 'too long and narrow', f'{size[1]} x {size[0]}')
    stored = images.store(image, data=data, image_size=task.image_size, flawed=bool(notes))
  sketch = copies.sketch(image) if task.sketched else b''
  height, width = size
  return _Seen(digest, height, width, look, notes, sketch, stored)


def _digest(task: _Task) -> str:
  data = _load(task.name, task.path)
  return images.pixel_digest(images.decode(data, name=task.name, max_pixels=task.max_pixels))


def _candidates(pictures: Mapping[str, Picture], looks: Mapping[str, bytes]) -> set[str]:
  """Pictures decoded at a fraction that may equal another, and must be decoded in full.

  Equal originals have equal size. Two JPEGs with the same coefficients look exactly alike after
  the same scaled decode; the same pixels from another format look nearly alike.
  """
  by_size: dict[tuple[int, int], list[str]] = defaultdict(list)
  for name, picture in pictures.items():
    by_size[picture.height, picture.width].append(name)
  wanted: set[str] = set()
  for names in by_size.values():
    scaled = [name for name in names if not pictures[name].digest]
    alike: dict[bytes, list[str]] = defaultdict(list)
    for name in scaled:
      alike[looks[name]].append(name)
    for group in alike.values():
      if len(group) > 1:
        wanted.update(group)
    full = [looks[name] for name in names if pictures[name].digest]
    if scaled and full:
      ours = np.frombuffer(b''.join(looks[name] for name in scaled), np.uint8)
      ours = ours.reshape(len(scaled), -1).astype(np.int16)
      for look in set(full):
        far = np.abs(ours - np.frombuffer(look, np.uint8)).max(axis=1)
        wanted.update(scaled[i] for i in np.flatnonzero(far <= _NEAR))
  return wanted


def allowed(budget: str | int | None, total: int) -> int:
  """How many of `total` pictures may be unreadable: a number, a share such as '2%', or the default.

  The default is 1 % or 20, whichever is larger.
  """
  if budget is None or budget == '':
    return max(20, total // 100)
  text = str(budget).strip()
  try:
    value = float(text.removesuffix('%'))
    if not 0 <= value < math.inf or (not text.endswith('%') and value != int(value)):
      raise ValueError
  except ValueError:
    raise UserError(
      f'--max_unreadable: found {budget!r}; expected a number such as 20 or a share such as 2%'
    ) from None
  return int(total * value / 100) if text.endswith('%') else int(value)


def check_budget(
  errors: Mapping[str, ImageError] | Iterable[ImageError],
  *,
  total: int,
  budget: str | int | None,
  where: str,
) -> None:
  """Raises `UserError` if more pictures are unreadable than the budget allows."""
  found: Sequence[ImageError] = [*(errors.values() if isinstance(errors, Mapping) else errors)]
  most = allowed(budget, total)
  if len(found) > most:
    reasons = ', '.join(
      f'{n} {reason}' for reason, n in Counter(error.reason for error in found).most_common(4)
    )
    raise UserError(
      f'{where}: {len(found)} of {total} pictures are unreadable ({reasons}; first: '
      f'{found[0].name}); expected at most {most}; repair them or raise '
      '--max_unreadable'
    )
