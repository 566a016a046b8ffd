"""The rows of a table still to be made, and making them: pictures in, answers out, as they come."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from flaxart.evaluation.answer import all_stored
from flaxart.net import Net
from flaxart.prediction.journal import Journal
from flaxart.prediction.object_ids import RecordNumbers
from flaxart.prediction.output import files_of
from flaxart.prediction.pictures import find_pictures, objects_of, of_objects, predict_pictures
from tfds_rijks.errors import UserError
from tfds_rijks.progress import Progress, duration

Rows = list[tuple[int, Any]]  # their places, and the answers as JSON
MEASURED = 3  # batches
OF_ROW = 80  # bytes of a row beside its answers


@dataclasses.dataclass(frozen=True)
class Work:
  """The rows to make: `objects` are the pictures of each, by its place; `others` the files that are
  passed over, and why; `ids` the record numbers known.
  """

  folder: Path
  objects: list[list[str]]
  others: dict[str, str]
  ids: dict[str, str]

  @property
  def pictures(self) -> list[str]:
    """All of them, in the order in which they are asked."""
    return [path for one in self.objects for path in one]


def find(folder: Path, numbers: RecordNumbers, output: Path, *, per_object: bool) -> Work:
  """What is in the folder, and its record numbers; raises `UserError` for none of either."""
  paths, others = find_pictures(folder)
  for file in map(Path.resolve, files_of(output)):
    if file.is_relative_to(folder.resolve()):
      others.pop(file.relative_to(folder.resolve()).as_posix(), None)
  ids = numbers.of(paths, folder=folder) if numbers else {}
  if numbers:
    known = sum(bool(ids.get(path)) for path in paths)
    where = numbers.metadata or f'--match={numbers.match}'
    print(f'{where}: has a record number for {known} of {len(paths)} pictures')
    if not known:
      raise UserError(
        f'{where}: has a record number for none of {len(paths)} pictures, such as {paths[0]}; '
        'check --id_column, --image_column and --match'
      )
  objects = objects_of(paths, ids) if per_object else [[path] for path in paths]
  return Work(folder, objects, others, ids)


def ask(net: Net, work: Work, journal: Journal, *, batch_size: int) -> None:
  """Answers all rows that the journal does not have, and adds them to it."""
  kept = len(journal.found)
  if kept:
    print(f'{journal.path}: continues after {kept:,} of {len(work.objects):,} rows')
  todo = [place for place in range(len(work.objects)) if place not in journal.found]
  try:
    for k, (rows, seconds) in enumerate(_batches(net, work, todo, batch_size=batch_size)):
      journal.add(rows)
      if k == 1:
        left = sum(len(work.objects[place]) for place in todo) - 2 * batch_size
        print(_estimate(left, seconds, rows, work=work, folder=journal.path.parent), flush=True)
  except KeyboardInterrupt:
    kept = len(journal.found)
    print(f'{kept:,} of {len(work.objects):,} rows are kept; the same command continues')
    raise


def estimate(net: Net, work: Work, done: Collection[int], *, batch_size: int, folder: Path) -> None:
  """Prints how long the rest would take, from a few batches whose answers are dropped."""
  todo = [place for place in range(len(work.objects)) if place not in done]
  left, few = 0, []
  for place in todo:
    if left < MEASURED * batch_size:
      few.append(place)
    left += len(work.objects[place])
  for k, (rows, seconds) in enumerate(_batches(net, work, few, batch_size=batch_size)):
    if k == 1 or left <= batch_size:
      print(_estimate(left, seconds, rows, work=work, folder=folder))
      break


def _batches(
  net: Net, work: Work, todo: Sequence[int], *, batch_size: int
) -> Iterator[tuple[Rows, float]]:
  """The answers to the rows `todo`, and the seconds since the last batch of them."""
  objects = [work.objects[place] for place in todo]
  pictures = [path for one in objects for path in one]
  total = len(work.pictures)
  progress = Progress('predicting', total, unit='img', start=total - len(pictures))
  before = time.monotonic()
  asked = predict_pictures(net, work.folder, pictures, batch_size=batch_size, progress=progress)
  for complete in of_objects(asked, objects):
    seconds, before = time.monotonic() - before, time.monotonic()
    answers = all_stored(net.tasks, net.calibration, [one for _, one in complete])
    places = [todo[i] for i, _ in complete]
    yield list(zip(places, answers, strict=True)), seconds / batch_size
  progress.close()


def _estimate(left: int, seconds: float, rows: Rows, *, work: Work, folder: Path) -> str:
  """In words, from the seconds for each picture and the rows of one batch."""
  size = len(json.dumps([answer for _, answer in rows])) / max(1, len(rows)) + OF_ROW
  megabytes = 2 * size * len(work.objects) / 1e6  # the journal, and the table made from it
  free = shutil.disk_usage(folder).free / 1e9
  return (
    f'estimate: {max(0, left):,} pictures, about {duration(left * seconds)} '
    f'({1 / max(seconds, 1e-9):,.1f} pictures/s); about {megabytes:,.1f} MB for the table and its '
    f'journal, {free:,.1f} GB free in {folder}'
  )
