"""`flaxart predict`: names for the pictures in a folder, as a table for a spreadsheet.

One row per picture (or object, with --per=object), in the order of the paths. A picture that cannot
be read keeps its row, with a reason and empty names. A file that is not a picture also has a row,
with the status `passed over`. With --form=long there is one row per suggestion instead, for review.

T_1, T_2, T_3 are the likeliest names of task T, T_1_p their calibrated probabilities. T_decision is
for a catalogue: the name whose probability passes the threshold stored with the checkpoint (90 %
right on the val split, or --precision), empty if none does or if no threshold reached that.

Answers are kept in a journal beside the table, which is made from it at the end: after any stop the
same command continues.
"""

from __future__ import annotations

if __name__ == '__main__':  # before anything that takes time, as it may restart the program
  from flaxart.machine import hugepages

  hugepages.restart()

from pathlib import Path

from flaxart.prediction.object_ids import RecordNumbers
from flaxart.prediction.output import SUFFIXES, Dialect
from flaxart.prediction.request import Options
from flaxart.prediction.run import predict
from flaxart.prediction.table import FORMS
from tfds_rijks.command import Parser, run


def main() -> int:
  """Parses the command line, predicts, writes the table and its sidecar."""
  parser = Parser(prog='python -m flaxart.predict', description=__doc__)
  parser.add_argument('--workdir', type=_path, required=True, help='folder of a finished run')
  parser.add_argument('--images', type=_path, required=True, help='folder of pictures, also nested')
  parser.add_argument(
    '--output',
    type=_path,
    required=True,
    help=f'the table to write ({", ".join(SUFFIXES)}); F.json beside it has its provenance',
  )
  parser.add_argument(
    '--form', choices=FORMS, default='wide', help='long: one row per suggestion, to be decided'
  )
  parser.add_argument(
    '--precision',
    type=float,
    help='share of the decided names that should be right, such as 0.8 (default: as trained, 0.9)',
  )
  parser.add_argument(
    '--metadata', type=_path, help='table with the record numbers of the pictures'
  )
  parser.add_argument('--id_column', help='column of --metadata with the record number')
  parser.add_argument(
    '--match',
    help='path: a column of --metadata names the files; stem: file names contain the '
    'number; iptc:ObjectName, xmp:dc:identifier and the like: a field inside the files does '
    '(default: path if there is a column image, else stem). Without --metadata, stem and fields '
    'give the numbers of scans that have no row yet',
  )
  parser.add_argument('--image_column', help='column of --metadata with the file names')
  parser.add_argument('--sheet', help='of a workbook (default: the first visible one)')
  parser.add_argument(
    '--per',
    choices=('picture', 'object'),
    default='picture',
    help='object: average the pictures that share a record number',
  )
  parser.add_argument(
    '--display_names',
    type=_path,
    help='table with the columns class and identifier, for value_uri of the long form '
    '(default: display_names.csv of the workdir, if there is one)',
  )
  parser.add_argument('--locale', help='of the spreadsheet that will open a CSV, such as nl or de')
  parser.add_argument('--delimiter', help='between the cells of a CSV (default: a comma); or tab')
  parser.add_argument('--decimal', help='decimal sign of a CSV (default: a point)')
  parser.add_argument('--batch_size', type=int, default=32, help='pictures at a time (default: 32)')
  parser.add_argument('--dry_run', action='store_true', help='estimate; write nothing')
  args = parser.parse_args()
  metadata = str(args.metadata) if args.metadata else None
  predict(
    args.workdir,
    args.images,
    args.output,
    numbers=RecordNumbers(metadata, args.id_column, args.match, args.image_column, args.sheet),
    options=Options(
      args.per,
      args.form,
      args.precision,
      args.display_names,
      Dialect.of(args.locale, args.delimiter, args.decimal),
      args.batch_size,
    ),
    dry_run=args.dry_run,
  )
  return 0


def _path(text: str) -> Path:
  return Path(text).expanduser()


if __name__ == '__main__':
  run(main)
