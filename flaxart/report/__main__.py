"""`python -m flaxart.report --runs='runs/figure1/*' --output=O`: tables, figures and a page.

Writes figure1.png, figure1.svg, figure2.png, figure2.svg, tables.csv, tables.json and report.html.
"""

from __future__ import annotations

from pathlib import Path

from flaxart.machine.files import write_bytes
from flaxart.report.figures.figure1 import draw_figure1
from flaxart.report.figures.figure2 import draw_figure2
from flaxart.report.figures.plotting import pyplot
from flaxart.report.html.page import page
from flaxart.report.numbers.compare import differences
from flaxart.report.numbers.experiments import sections
from flaxart.report.numbers.runs import read_runs
from flaxart.report.tables import csv_text, json_text, score
from tfds_rijks import terminal
from tfds_rijks.command import Parser, run
from tfds_rijks.errors import UserError
from tfds_rijks.progress import working


def main() -> int:
  """Reads the command line, writes the report, prints its path."""
  parser = Parser(prog='python -m flaxart.report', description=__doc__)
  parser.add_argument('--runs', required=True, help="pattern of workdirs, such as 'runs/figure1/*'")
  parser.add_argument('--output', required=True, help='folder for the report')
  parser.add_argument(
    '--published',
    choices=('auto', 'yes', 'no'),
    default='auto',
    help="draw the paper's curves behind ours; auto: if the data are the whole challenge",
  )
  parser.add_argument(
    '--samples', type=int, default=6, help='right and wrong pictures for each task (default 6)'
  )
  parser.add_argument(
    '--public',
    action='store_true',
    help='leave out pictures that are not CC0 or in the public domain',
  )
  args = parser.parse_args()
  if args.samples < 0:
    raise UserError(f'--samples: found {args.samples}, expected 0 or more')
  output = Path(args.output).expanduser()
  for path in (output, *output.parents):
    if path.exists() and not path.is_dir():
      raise UserError(f'--output: {path} is a file; give a folder')
  report(
    args.runs,
    output,
    show_published=args.published,
    samples=args.samples,
    public=args.public,
  )
  terminal.say(f'{output / "report.html"}: written, with figures and tables beside it')
  return 0


def report(
  pattern: str,
  output: Path,
  *,
  show_published: str = 'auto',
  samples: int = 6,
  public: bool = False,
) -> None:
  """Writes the report on the runs that match `pattern` into the folder `output`.

  Raises:
    UserError: nothing matches, or Matplotlib is missing.
  """
  pyplot()  # before any work
  runs, left_out = read_runs(pattern)
  found = sections(runs)
  scored = [score(section, differences(section)) for section in found]
  with working('drawing figures'):
    figures = {
      'figure1': draw_figure1(found, show_published=show_published),
      'figure2': draw_figure2(found, show_published=show_published),
    }
  text = page(
    scored, left_out, figures, show_published=show_published, samples=samples, public=public
  )
  output.mkdir(parents=True, exist_ok=True)
  for name, files in figures.items():
    for kind in ('png', 'svg'):
      path = output / f'{name}.{kind}'
      if files:
        write_bytes(path, files[kind])
      else:  # of an earlier report, which would pass for one of these runs
        path.unlink(missing_ok=True)
  write_bytes(output / 'tables.csv', csv_text(scored).encode('utf-8-sig'))
  write_bytes(output / 'tables.json', json_text(scored, left_out).encode())
  write_bytes(output / 'report.html', text.encode())


if __name__ == '__main__':
  run(main)
