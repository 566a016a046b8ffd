"""`python -m tfds_rijks.rijksmuseum.synthetic --output=D [--objects=N] [--seed=S] [--copies=N]`."""

from __future__ import annotations

from tfds_rijks import terminal
from tfds_rijks.command import Parser, run
from tfds_rijks.rijksmuseum.synthetic.museum import draw_museum


def main() -> None:
  parser = Parser(prog='python -m tfds_rijks.rijksmuseum.synthetic', description=__doc__)
  parser.add_argument('--output', required=True, help='folder to write: jpg2/, xml2/, rijksgt.mat')
  parser.add_argument('--objects', type=int, default=1200, help='number of records (default 1200)')
  parser.add_argument('--seed', type=int, default=0, help='another seed is another museum')
  parser.add_argument('--copies', type=int, default=0, help='additional copied records (default 0)')
  args = parser.parse_args()
  folder = draw_museum(args.output, objects=args.objects, seed=args.seed, copies=args.copies)
  terminal.say(
    f'{folder}: {args.objects:,} objects in jpg2/ and xml2/, ground truth in rijksgt.mat'
  )


if __name__ == '__main__':
  run(main)
