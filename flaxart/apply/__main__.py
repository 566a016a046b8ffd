"""`flaxart apply`: accepted values back into the museum's own table.

Writes a copy of the export with what people accepted or changed in new columns at its end: for a
field `type` the value in `type_suggested`, its identifier in `type_suggested_uri`, and who decided
it, when, and which program had suggested it. Everything else stays as it was, to the byte in CSV.
Rejected, unsure and undecided values are not written.

With --format it writes something else instead, without --table: undecided suggestions as tasks for
Label Studio (F.json, and its labelling configuration F.xml), decided values as W3C Web Annotations
in an IIIF annotation page, or a table of suggestions from an export of Label Studio.
"""

from __future__ import annotations

from pathlib import Path

from flaxart.apply.additions import Choices
from flaxart.apply.exchange import FORMATS, exchange
from flaxart.apply.to_table import apply
from tfds_rijks.command import Parser, run
from tfds_rijks.errors import UserError


def main() -> int:
  """Parses the command line and writes the table."""
  parser = Parser(prog='python -m flaxart.apply', description=__doc__)
  parser.add_argument(
    '--decisions',
    required=True,
    help='table of suggestions with decisions, or an export of Label Studio (.json)',
  )
  parser.add_argument('--table', help="the museum's export: .csv, .tsv, .txt or .xlsx")
  parser.add_argument('--output', required=True, help='the file to write, of the same kind')
  parser.add_argument(
    '--id_column', default='', help='with the record numbers (default: object_number or id)'
  )
  parser.add_argument('--sheet', default='', help='of a workbook (default: the first visible one)')
  parser.add_argument(
    '--multi_value_separator',
    default='',
    help=r"between several values in one cell (default: the export's own, else |); \n is a line "
    'end',
  )
  parser.add_argument(
    '--fill',
    action='store_true',
    help="write values into empty cells of the field's own column, not into a new column",
  )
  parser.add_argument(
    '--changed_table',
    action='store_true',
    help='accept an export that has changed since the suggestions were made',
  )
  parser.add_argument('--format', choices=FORMATS, help='write this instead of a table')
  parser.add_argument(
    '--images_url', default='', help='the address of the folder with the pictures, for --format'
  )
  args = parser.parse_args()
  decisions, output = Path(args.decisions), Path(args.output)
  choices = Choices(args.id_column, args.multi_value_separator.replace('\\n', '\n'), args.fill)
  if args.format:
    given = (args.table, args.sheet, args.changed_table, choices != Choices())
    if any(given):
      raise UserError(f'--format={args.format}: writes no table; leave the options of --table out')
    exchange(decisions, output, format=args.format, images_url=args.images_url)
    return 0
  if not args.table:
    raise UserError("--table: expected the museum's export, or --format for another kind of file")
  if args.images_url:
    raise UserError('--images_url: is for --format; leave it out')
  apply(
    decisions,
    Path(args.table),
    output,
    choices=choices,
    sheet=args.sheet,
    changed_table=args.changed_table,
  )
  return 0


if __name__ == '__main__':
  run(main)
