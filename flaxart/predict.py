"""`python -m flaxart.predict`: names for the pictures in a folder, as a table for a spreadsheet.

One row per picture (or object, with --per=object), in the order of the paths. A picture that cannot
be read keeps its row, with a reason and empty names. A file that is not a picture also has a row,
with the status `passed over`.

T_1, T_2, T_3 are the likeliest names of task T with the network's plain probabilities. T_decision
is for a catalogue: the name whose calibrated probability passes the threshold stored with the
checkpoint (90 % right on the val split), empty if none does or if no threshold reached that.
"""

from __future__ import annotations

if __name__ == '__main__':  # before anything that takes time, as it may restart the program
  from flaxart.machine import hugepages

  hugepages.restart()

from pathlib import Path
from typing import Any

import flaxart
from flaxart.machine.files import write_text
from flaxart.net import load
from flaxart.prediction.object_ids import RecordNumbers
from flaxart.prediction.pictures import average_objects, find_pictures, predict_pictures
from flaxart.prediction.table import passed_over_row, readable, row, task_columns, to_csv
from tfds_rijks import strict_json
from tfds_rijks.command import Parser, run
from tfds_rijks.errors import UserError

NO_NUMBERS = RecordNumbers()


def main() -> int:
  """Parses the command line, predicts, writes the table and its sidecar."""
  parser = Parser(prog='python -m flaxart.predict', description=__doc__)
  parser.add_argument('--workdir', required=True, help='folder of a finished run')
  parser.add_argument('--images', required=True, help='folder of pictures, also nested')
  parser.add_argument(
    '--output', required=True, help='the table to write, F.csv; F.json beside it has its provenance'
  )
  parser.add_argument('--metadata', help='table with the record numbers of the pictures')
  parser.add_argument('--id_column', help='column of --metadata with the record number')
  parser.add_argument(
    '--match',
    help='path: a column of --metadata names the files; stem: file names contain the '
    'number; iptc:ObjectName, xmp:dc:identifier and the like: a field inside the files does '
    '(default: path if there is a column image, else stem)',
  )
  parser.add_argument('--image_column', help='column of --metadata with the file names')
  parser.add_argument('--sheet', help='of a workbook (default: the first visible one)')
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
    numbers=RecordNumbers(args.metadata, args.id_column, args.match, args.image_column, args.sheet),
    per=args.per,
    batch_size=args.batch_size,
  )
  return 0


def predict(
  workdir: Path,
  folder: Path,
  output: Path,
  *,
  numbers: RecordNumbers = NO_NUMBERS,
  per: str = 'picture',
  batch_size: int = 32,
) -> list[dict[str, str]]:
  """Writes the table to `output` and its provenance to `output` with `.json`; returns the rows."""
  if batch_size < 1:
    raise UserError(f'--batch_size: found {batch_size}, expected 1 or more')
  numbers.check()
  if per == 'object' and not numbers:
    raise UserError(
      '--per=object needs --metadata and --id_column, or --match, to know which pictures '
      'are one object'
    )
  check_output(output, metadata=numbers.metadata)
  paths, passed_over = find_pictures(folder)
  ids = numbers.of(paths, folder=folder) if numbers else {}
  if numbers:
    known = sum(bool(ids.get(path)) for path in paths)
    where = numbers.metadata or numbers.match
    print(f'{where}: has a record number for {known} of {len(paths)} pictures')
    if not known:
      raise UserError(
        f'{where}: has a record number for none of {len(paths)} pictures, such as {paths[0]}; '
        'check --id_column, --image_column and --match'
      )
  net = load(workdir)
  answers = predict_pictures(net, folder, paths, batch_size=batch_size)
  if per == 'object':
    answers = average_objects(answers, ids)
  rows = [row(net, path, ids.get(path, ''), answer) for path, answer in answers.items()]
  rows += [passed_over_row(path, why) for path, why in passed_over.items()]
  rows.sort(key=lambda cells: cells['image'])
  columns = ['image', 'id', 'status', 'reason', *(c for t in net.tasks for c in task_columns(t))]
  plain = {f'{task.name}_1' for task in net.tasks if task.answers_number}
  unread = sum(1 for r in rows if r['status'] == 'unreadable')
  about = {
    'written_by': f'flaxart {flaxart.__version__}',
    'model': net.about,
    'images': readable(str(folder)),
    'rows': len(rows),
    'unreadable': unread,
    'per': per,
    'calibration': net.calibration,
    'files_passed_over': len(passed_over),
    'classes': {t.name: len(t.classes) for t in net.tasks},
    'note': 'A prediction is a suggestion for a cataloguer. It is not an attribution and not '
    'an authentication.',
  }
  # First, because it marks the table as ours: `check_output`.
  write_text(sidecar_of(output), strict_json.text(about))
  write_text(output, to_csv(rows, columns, numbers=plain))
  print(f'{output}: {len(rows)} rows, {unread} of them unreadable, {len(passed_over)} not pictures')
  return rows


def sidecar_of(output: Path) -> Path:
  """The file beside a table with its provenance."""
  return output.with_suffix('.json')


def check_output(output: Path, *, metadata: str | None) -> None:
  """Raises `UserError` for an output that cannot be written, or would replace another file."""
  sidecar, parent = sidecar_of(output), output.absolute().parent
  if not parent.is_dir():
    raise UserError(f'--output: the folder {parent} does not exist; create it')
  if output.is_dir() or output == sidecar:
    raise UserError(f'--output: {output} is not a table; give a file name that ends in .csv')
  if metadata and output.exists() and Path(metadata).exists() and output.samefile(metadata):
    raise UserError(f'--output: {output} is the file of --metadata; choose another name')
  if sidecar.exists() and 'written_by' not in _object(sidecar):
    raise UserError(
      f'--output: {sidecar.name}, which goes beside the table, is another file already; '
      'choose another name'
    )
  if output.exists() and not sidecar.exists():
    raise UserError(
      f'--output: {output} exists and is not a table of predictions (without '
      f'{sidecar.name} beside it); choose another name'
    )


def _object(path: Path) -> dict[str, Any]:
  """The object in a JSON file; empty if there is none."""
  try:
    found = strict_json.read(path)
  except (ValueError, OSError):
    return {}
  return found if isinstance(found, dict) else {}


if __name__ == '__main__':
  run(main)
