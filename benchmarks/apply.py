"""How long `flaxart apply` takes for a large export in which every record was decided.

  python -m benchmarks.apply --rows=100000 --columns=54 --kind=csv --output=apply.json

invents an export with this many rows and columns, and a table of suggestions with one accepted
value for each row. The time is that of the command, from the start of Python to its end.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import openpyxl

from tfds_rijks.build_report import write_json
from tfds_rijks.command import Parser, run
from tfds_rijks.suggestions import Suggestion, write

WORDS = ('oil on canvas', 'Gift of the Society, 1907', 'H. 12.5 cm', '', 'Amsterdam; "Dam"', '1650')


def invent(folder: Path, *, rows: int, columns: int, ending: str) -> None:
  """`export` and `decisions.csv` of `rows` records; the last column is the field `type`."""
  names = ['id', *(f'column {i}' for i in range(columns - 2)), 'type']
  table = (
    [f'SK-{i}', *(WORDS[(i + k) % len(WORDS)] for k in range(columns - 2)), ''] for i in range(rows)
  )
  path = folder / f'export{ending}'
  if ending == '.xlsx':
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet('objects')
    for row in (names, *table):
      sheet.append(row)
    book.save(path)
  else:
    with path.open('w', encoding='utf-8-sig', newline='') as file:
      csv.writer(file).writerows([names, *table])
  made = {'reviewer': 'Ann', 'reviewed_at': '2026-11-28T12:00:00Z', 'generator': 'flaxart'}
  write(
    folder / 'decisions.csv',
    (
      Suggestion(
        record_id=f'SK-{i}',
        image=f'{i}.jpg',
        field='type',
        value=f'class {i % 50}',
        value_uri=f'http://vocab.example/{i % 50}',
        status='accepted',
        model_sha256='ab' * 32,
        **made,
      )
      for i in range(rows)
    ),
  )


def measure(*, rows: int, columns: int, ending: str) -> dict[str, Any]:
  """Seconds, CPU time and the peak of memory of one command."""
  with tempfile.TemporaryDirectory() as temporary:
    folder = Path(temporary)
    invent(folder, rows=rows, columns=columns, ending=ending)
    command = [
      *(sys.executable, '-m', 'flaxart.apply', f'--decisions={folder / "decisions.csv"}'),
      *(f'--table={folder / f"export{ending}"}', f'--output={folder / f"applied{ending}"}'),
    ]
    began = time.perf_counter()
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds = time.perf_counter() - began
    assert f'{rows:,} values in {rows:,} records' in said, said
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
      'kind': ending,
      'rows': rows,
      'columns': columns,
      'bytes': (folder / f'export{ending}').stat().st_size,
      'seconds': round(seconds, 2),
      'cpu_seconds': round(used.ru_utime + used.ru_stime, 2),
      'peak_bytes': used.ru_maxrss * 1024,
    }


def main() -> int:
  """The command."""
  parser = Parser(prog='python -m benchmarks.apply', description=__doc__)
  parser.add_argument('--rows', type=int, default=100_000)
  parser.add_argument('--columns', type=int, default=54)
  parser.add_argument('--kind', choices=('csv', 'xlsx'), default='csv')
  parser.add_argument('--output', required=True)
  args = parser.parse_args()
  head = subprocess.run(['git', 'rev-parse', 'HEAD'], capture_output=True, text=True, check=False)
  document = {
    'hardware': {'machine': platform.machine(), 'cores': os.cpu_count(), 'load': os.getloadavg()},
    'versions': {'python': platform.python_version(), 'openpyxl': version('openpyxl')},
    'commit': head.stdout.strip(),
    'results': [measure(rows=args.rows, columns=args.columns, ending=f'.{args.kind}')],
  }
  write_json(Path(args.output), document)
  print(json.dumps(document, indent=1))
  return 0


if __name__ == '__main__':
  run(main)
