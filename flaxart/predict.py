"""`python -m flaxart.predict`: names for the pictures of a folder, as a table for a spreadsheet.

One row a picture (or an object, with --per=object), in the order of the paths. A picture that
cannot be read keeps its row, with a reason and empty names: never a neighbour's prediction.

T_1, T_2, T_3 are the likeliest names of task T with the network's plain probabilities. T_decision
is for a catalogue: the name whose calibrated probability passes the threshold stored with the
checkpoint (90 % right on the val split), empty where none does or where no threshold reached that.
"""

from __future__ import annotations

if __name__ == '__main__':  # before anything that takes time: the program may start once more
  from flaxart.machine import hugepages

  hugepages.restart()

import csv
import io
import json
import os
from collections.abc import Container, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import flaxart
from flaxart.logs.metric_writer import write_text
from flaxart.machine.spreadsheet import defuse
from flaxart.net import Net, load
from flaxart.prediction.object_ids import object_ids
from flaxart.tasks.task import REGRESSION, SIGMOID, Task
from tfds_rijks.command import Parser, run
from tfds_rijks.errors import UserError
from tfds_rijks.images import SUFFIXES, ImageError
from tfds_rijks.progress import Progress

TOP = 3  # names a task
SEPARATOR = '|'  # between several decisions, as tfds_rijks.prepare reads them back


def main() -> int:
  """Parses the command line, predicts, writes the table and its sidecar."""
  parser = Parser(prog='python -m flaxart.predict', description=__doc__)
  parser.add_argument('--workdir', required=True, help='folder of a finished run')
  parser.add_argument('--images', required=True, help='folder of pictures, nested as you like')
  parser.add_argument(
    '--output', required=True, help='the table to write, F.csv; F.json beside it says what made it'
  )
  parser.add_argument('--metadata', help='CSV that knows the record numbers of the pictures')
  parser.add_argument('--id_column', help='column of --metadata with the record number')
  parser.add_argument(
    '--per',
    choices=('picture', 'object'),
    default='picture',
    help='object: average the pictures that share a record number',
  )
  parser.add_argument('--batch_size', type=int, default=32)
  args = parser.parse_args()
  predict(
    Path(args.workdir),
    Path(args.images),
    Path(args.output),
    metadata=args.metadata,
    id_column=args.id_column,
    per=args.per,
    batch_size=args.batch_size,
  )
  return 0


def predict(
  workdir: Path,
  folder: Path,
  output: Path,
  *,
  metadata: str | None = None,
  id_column: str | None = None,
  per: str = 'picture',
  batch_size: int = 32,
) -> list[dict[str, str]]:
  """Writes the table to `output` and what made it to `output` with `.json`; returns the rows."""
  if batch_size < 1:
    raise UserError(f'--batch_size: found {batch_size}, expected 1 or more')
  if bool(metadata) != bool(id_column):
    raise UserError('--metadata and --id_column go together: the file, and its column of numbers')
  if per == 'object' and not metadata:
    raise UserError(
      '--per=object needs --metadata and --id_column: they say which pictures are one object'
    )
  check_output(output, metadata=metadata)
  paths, passed_over = find_pictures(folder)
  ids = object_ids(Path(metadata), id_column, paths) if metadata and id_column else {}
  if metadata:
    known = sum(bool(ids.get(path)) for path in paths)
    print(f'{metadata}: has a record number for {known} of {len(paths)} pictures')
  net = load(workdir)
  answers = predict_pictures(net, folder, paths, batch_size=batch_size)
  if per == 'object':
    answers = average_objects(answers, ids)
  rows = [row(net, path, ids.get(path, ''), answer) for path, answer in answers.items()]
  columns = ['image', 'id', 'status', 'reason', *(c for t in net.tasks for c in task_columns(t))]
  numbers = {f'{task.name}_1' for task in net.tasks if task.kind == REGRESSION}
  unread = sum(1 for r in rows if r['status'] != 'ok')
  about = {
    'written_by': f'flaxart {flaxart.__version__}',
    'model': net.about,
    'images': readable(str(folder)),
    'rows': len(rows),
    'unreadable': unread,
    'per': per,
    'calibration': net.calibration,
    'files_passed_over': passed_over,
    'classes': {t.name: len(t.classes) for t in net.tasks},
    'note': 'A prediction is a suggestion for a cataloguer. It is not an attribution and not '
    'an authentication.',
  }
  # First, because it tells whose the table is: `check_output`.
  write_text(sidecar_of(output), json.dumps(about, indent=1, ensure_ascii=False) + '\n')
  write_text(output, to_csv(rows, columns, numbers=numbers))
  print(
    f'{output}: {len(rows)} rows, {unread} of them unreadable; {passed_over} other files passed '
    'over'
  )
  return rows


def sidecar_of(output: Path) -> Path:
  """The file beside a table that says what made it."""
  return output.with_suffix('.json')


def check_output(output: Path, *, metadata: str | None) -> None:
  """Refuses an output that cannot be written, or that would take the place of another file."""
  sidecar, parent = sidecar_of(output), output.absolute().parent
  if not parent.is_dir():
    raise UserError(f'--output: the folder {parent} does not exist; create it')
  if output.is_dir() or output == sidecar:
    raise UserError(f'--output: {output} can be no table; give a file name that ends in .csv')
  if metadata and output.exists() and Path(metadata).exists() and output.samefile(metadata):
    raise UserError(f'--output: {output} is the file of --metadata; choose another name')
  if sidecar.exists() and 'written_by' not in _object(sidecar):
    raise UserError(
      f'--output: {sidecar.name} would stand beside the table, and is another file already; choose '
      'another name'
    )
  if output.exists() and not sidecar.exists():
    raise UserError(
      f'--output: {output} is there already, and no table of predictions (it would have '
      f'{sidecar.name} beside it); choose another name'
    )


def _object(path: Path) -> dict[str, Any]:
  """What a JSON file holds; empty if it is none, or no object."""
  try:
    found = json.loads(path.read_bytes())
  except (ValueError, IsADirectoryError):
    return {}
  return found if isinstance(found, dict) else {}


def readable(path: str) -> str:
  """A path as text: bytes of a name that are not UTF-8 as `\\xe9`."""
  return os.fsencode(path).decode(errors='backslashreplace')


def find_pictures(folder: Path) -> tuple[list[str], int]:
  """Relative paths of the pictures below `folder`, sorted, and how many other files there are.

  Links to folders are not followed: they can lead in circles.
  """
  if not folder.is_dir():
    raise UserError(f'--images: {folder} is no folder; give the folder that holds the pictures')
  paths, others = [], 0

  def closed(error: OSError) -> None:
    raise UserError(
      f'--images: {error.filename} cannot be opened ({error.strerror}); let it be read, or move it '
      'away'
    )

  for root, _, names in os.walk(folder, onerror=closed):
    for name in names:
      if Path(name).suffix.lower() in SUFFIXES:
        paths.append((Path(root) / name).relative_to(folder).as_posix())
      else:
        others += 1
  if not paths:
    raise UserError(
      f'--images: {folder} holds no picture ({", ".join(sorted(SUFFIXES))}) among {others} '
      'files; give the folder that holds the pictures'
    )
  return sorted(paths), others


Answer = dict[str, np.ndarray] | str  # probabilities per task, or the reason why there are none


def predict_pictures(
  net: Net, folder: Path, paths: list[str], *, batch_size: int
) -> dict[str, Answer]:
  """Probabilities of every readable picture, the reason for every other one, in the order given."""
  answers: dict[str, Answer] = {}
  progress = Progress('predicting', len(paths), unit='img')
  batch: dict[str, np.ndarray] = {}

  def flush() -> None:
    if not batch:
      return
    images = np.zeros((batch_size, net.image_size, net.image_size, 3), np.uint8)  # one shape only
    images[: len(batch)] = np.stack(list(batch.values()))
    probabilities = net(images)
    for i, path in enumerate(batch):
      answers[path] = {task: values[i] for task, values in probabilities.items()}
    batch.clear()

  for done, (path, picture) in enumerate(read_pictures(net, folder, paths), start=1):
    if isinstance(picture, str):
      answers[path] = picture
    else:
      batch[path] = picture
    if len(batch) == batch_size:
      flush()
    progress.update(done)
  flush()
  progress.close()
  return {path: answers[path] for path in paths}


def read_pictures(
  net: Net, folder: Path, paths: list[str]
) -> Iterator[tuple[str, np.ndarray | str]]:
  """Squares for the network, or reasons; decoded by threads a few hundred pictures ahead."""

  def read(path: str) -> np.ndarray | str:
    try:
      return net.square((folder / path).read_bytes(), name=path)
    except ImageError as error:
      return error.reason
    except OSError as error:
      return f'cannot be opened: {error.strerror}'

  with ThreadPoolExecutor(os.cpu_count()) as pool:
    for start in range(0, len(paths), 256):
      part = paths[start : start + 256]
      yield from zip(part, pool.map(read, part), strict=True)


def average_objects(answers: Mapping[str, Answer], ids: Mapping[str, str]) -> dict[str, Answer]:
  """One answer an object, under the path of its first picture: the mean over readable pictures.

  A picture without a record number stays an object of its own.
  """
  objects: dict[str, list[str]] = {}
  for path in answers:
    objects.setdefault(ids.get(path) or f'\0{path}', []).append(path)
  result: dict[str, Answer] = {}
  for paths in objects.values():
    good = [a for p in paths if not isinstance(a := answers[p], str)]
    result[paths[0]] = (
      {task: np.mean([a[task] for a in good], axis=0) for task in good[0]}
      if good
      else answers[paths[0]]
    )
  return result


def task_columns(task: Task) -> list[str]:
  """The columns of one task, in the order of the table."""
  ranks = [c for k in range(1, TOP + 1) for c in (f'{task.name}_{k}', f'{task.name}_{k}_p')]
  return [*ranks, f'{task.name}_decision']


def row(net: Net, path: str, record: str, answer: Answer) -> dict[str, str]:
  """One row of the table; what is unknown is empty."""
  cells = {'image': readable(path), 'id': record, 'status': 'ok', 'reason': ''}
  if isinstance(answer, str):
    return {**cells, 'status': 'unreadable', 'reason': answer}
  given = net.decide({name: np.asarray(values)[None] for name, values in answer.items()})
  for task in net.tasks:
    values = answer[task.name]
    if task.kind == REGRESSION:
      cells[f'{task.name}_1'] = f'{float(values):.1f}'
      continue
    for k, c in enumerate(np.argsort(-values, kind='stable')[:TOP], start=1):
      cells[f'{task.name}_{k}'] = task.classes[c]
      cells[f'{task.name}_{k}_p'] = f'{values[c]:.4f}'
    assert task.kind == SIGMOID or abs(values.sum() - 1) < 1e-3
    cells[f'{task.name}_decision'] = SEPARATOR.join(given[task.name][0])
  return cells


def to_csv(rows: list[dict[str, str]], columns: list[str], *, numbers: Container[str] = ()) -> str:
  """The table as text: a byte-order mark for spreadsheets, cells that would run defused, but for
  the columns `numbers`, which hold nothing else.
  """
  text = io.StringIO()
  text.write('\ufeff')
  table = csv.DictWriter(text, columns, restval='', lineterminator='\r\n')
  table.writeheader()
  table.writerows(
    {key: value if key in numbers else defuse(value) for key, value in cells.items()}
    for cells in rows
  )
  return text.getvalue()


if __name__ == '__main__':
  run(main)
