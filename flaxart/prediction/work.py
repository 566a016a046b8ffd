"""The rows of a table still to be made, and making them: pictures in, answers out, as they come."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from flaxart.evaluation.answer import Answer, all_stored
from flaxart.net import Net
from flaxart.prediction.journal import Journal
from flaxart.prediction.object_ids import RecordNumbers
from flaxart.prediction.output import files_of
from flaxart.prediction.pace import Pace
from flaxart.prediction.pictures import find_pictures, objects_of, of_objects, predict_pictures
from tfds_rijks import terminal
from tfds_rijks.errors import UserError
from tfds_rijks.progress import Progress
from tfds_rijks.words import counted

Rows = list[tuple[int, Any]]  # their places, and the answers as JSON


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
    terminal.say(f'{where}: has a record number for {known:,} of {counted(len(paths), "picture")}')
    if not known:
      raise UserError(
        f'{where}: has a record number for none of {len(paths)} pictures, such as {paths[0]}; '
        'check --id_column, --image_column and --match'
      )
  objects = objects_of(paths, ids) if per_object else [[path] for path in paths]
  return Work(folder, objects, others, ids)


def ask(net: Net, work: Work, journal: Journal, *, batch_size: int) -> None:
  """Answers all rows that the journal does not have, and adds them to it."""
  objects, folder = len(work.objects), journal.path.parent
  if journal.found:
    kept = len(journal.found)
    terminal.say(f'{journal.path}: continues after {kept:,} of {counted(objects, "row")}')
  todo = [place for place in range(objects) if place not in journal.found]
  total = sum(len(work.objects[place]) for place in todo)
  pace = Pace(total)
  try:
    for rows, done in _batches(net, work, todo, batch_size=batch_size):
      journal.add(rows)
      if pace.known_at(done) and done < total:
        terminal.say(pace.estimate(total - done, rows, of=objects, folder=folder))
  except KeyboardInterrupt:
    kept = len(journal.found)
    terminal.say(f'{kept:,} of {counted(objects, "row")} are kept: the same command continues')
    raise


def estimate(net: Net, work: Work, done: Collection[int], *, batch_size: int, folder: Path) -> None:
  """Prints how long the rest would take, from some batches whose answers are dropped."""
  todo = [place for place in range(len(work.objects)) if place not in done]
  total = sum(len(work.objects[place]) for place in todo)
  pace = Pace(total)
  for rows, asked in _batches(net, work, todo, batch_size=batch_size):
    if pace.known_at(asked):
      terminal.say(pace.estimate(total, rows, of=len(work.objects), folder=folder))
      break


def _batches(
  net: Net, work: Work, todo: Sequence[int], *, batch_size: int
) -> Iterator[tuple[Rows, int]]:
  """The answers to the rows `todo`, batch by batch, and how many pictures are answered so far."""
  objects = [work.objects[place] for place in todo]
  pictures = [path for one in objects for path in one]
  total, done = len(work.pictures), 0
  progress = Progress('predicting', total, unit='img', start=total - len(pictures))

  def asked() -> Iterator[list[tuple[str, Answer]]]:
    nonlocal done
    for batch in predict_pictures(
      net, work.folder, pictures, batch_size=batch_size, progress=progress
    ):
      done += len(batch)
      yield batch

  for complete in of_objects(asked(), objects):
    answers = all_stored(net.tasks, net.calibration, [one for _, one in complete])
    places = [todo[i] for i, _ in complete]
    yield list(zip(places, answers, strict=True)), done
  progress.close()
