"""`python -m benchmarks.pictures`: rewrites the table of docs/pictures.md.

Every kind of picture in `kinds` is decoded and compared with the samples that were written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from benchmarks.pictures.kinds import DEPTHS, Kind, all_kinds, found

DOCS = Path(__file__).parents[2] / 'docs/pictures.md'
BEGIN, END = '<!-- table: begin -->\n', '<!-- table: end -->\n'


def table(kinds: Sequence[Kind]) -> str:
  """Formats x depths: `read` if every way of writing it gives the right pixels."""
  cells: dict[tuple[str, str], dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
  for kind in kinds:
    said = 'wrong' if found(kind) else 'refused' if kind.wanted is None else 'read'
    cells[kind.format, kind.what][kind.bits].add(said)
  lines = [
    '| format | samples | ' + ' | '.join(map(str, DEPTHS)) + ' |',
    '| --- | --- |' + ' --- |' * len(DEPTHS),
  ]
  for (name, what), by_bits in cells.items():
    row = [', '.join(sorted(by_bits[bits])) if bits in by_bits else '' for bits in DEPTHS]
    lines.append(f'| {name} | {what} | ' + ' | '.join(row) + ' |')
  return '\n'.join(lines) + '\n'


def main() -> None:
  """Replaces the table."""
  before, rest = DOCS.read_text(encoding='utf-8').split(BEGIN)
  kinds = all_kinds()
  text = f'{before}{BEGIN}{table(kinds)}{END}{rest.split(END)[1]}'
  DOCS.write_text(text, encoding='utf-8')
  print(f'{DOCS}: {len(kinds):,} files')


if __name__ == '__main__':
  main()
