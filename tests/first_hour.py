"""Plays a newcomer's first hour in a terminal and checks what a person sees.

    python tests/first_hour.py --columns=60 [--demo] [--picture=docs/first_hour.svg]

From the help to names for new pictures: each command is the one that the step before it printed. No
line may be wider than the terminal, and no silence longer than five seconds. With `--demo` the
README's first command comes before it (two minutes).
"""

from __future__ import annotations

import argparse
import dataclasses
import fcntl
import html
import os
import pty
import re
import select
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unicodedata
from pathlib import Path

from tiny_museum import draw_collection

from tfds_rijks import terminal

ROOT = Path(__file__).parents[1]
SILENCE = 5.0  # seconds
ESCAPES = re.compile(r'\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07')
FLAXART = f'{shlex.quote(sys.executable)} -m flaxart'


@dataclasses.dataclass
class Seen:
  """What a command showed: all it wrote, the longest pause before some of it, and its exit code."""

  command: str
  text: str
  pause: float
  before: str  # the line on the screen during that pause
  code: int

  def lines(self) -> list[str]:
    """Everything that stood in one line of the screen, overwritten ones included."""
    return re.split(r'[\r\n]+', ESCAPES.sub('', self.text))

  def left(self) -> list[str]:
    """The lines that remained on the screen."""
    rows = ESCAPES.sub('', self.text).replace('\r\n', '\n').split('\n')
    return [row.rsplit('\r', 1)[-1].rstrip() for row in rows]


def width(line: str) -> int:
  """Columns that a line takes."""
  return sum(
    0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in 'WF' else 1
    for c in line.expandtabs()
  )


def play(command: str, *, columns: int, folder: Path, site: Path = ROOT) -> Seen:
  """Runs a shell command with flaxart of `site` in a terminal with this many columns."""
  ours, its = pty.openpty()
  fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack('HHHH', 40, columns, 0, 0))
  env = {name: value for name, value in os.environ.items() if name not in ('COLUMNS', 'NO_COLOR')}
  env |= {'TERM': 'xterm-256color', 'PYTHONPATH': str(site)}
  process = subprocess.Popen(
    ['bash', '-c', command], cwd=folder, env=env, stdin=its, stdout=its, stderr=its
  )
  os.close(its)
  parts: list[bytes] = []
  last, longest, before = time.monotonic(), 0.0, ''
  while True:
    ready = select.select([ours], [], [], 0.2)[0]
    if not ready and process.poll() is not None:
      break
    if ready:
      try:
        data = os.read(ours, 65536)
      except OSError:  # the terminal's other end is closed
        break
      if not data:
        break
      if time.monotonic() - last > longest:
        longest = time.monotonic() - last
        before = b''.join(parts[-20:]).decode(errors='replace')[-200:]
      last = time.monotonic()
      parts.append(data)
  os.close(ours)
  text = b''.join(parts).decode(errors='replace')
  return Seen(command, text, longest, before, process.wait())


def problems(seen: Seen, *, columns: int) -> list[str]:
  """What a person would have stumbled over."""
  found = [
    f'{width(line)} columns: {line}' for line in seen.lines() if width(line.rstrip()) > columns
  ]
  if seen.pause > SILENCE:
    found.append(f'{seen.pause:.1f} s of silence after {seen.before!r}')
  if seen.code:
    found.append(f'exit code {seen.code}: {seen.text[-500:]}')
  if 'Warning' in seen.text or 'WARNING' in seen.text or 'Traceback' in seen.text:
    found.append(f'a warning: {seen.text[-500:]}')
  return [f'{seen.command[:60]}: {one}' for one in found]


def commands(lines: list[str], word: str) -> list[str]:
  """The commands `... flaxart WORD ...` among lines on a screen, whole where they are folded."""
  text = re.sub(r' ?\\\n\s*', ' ', '\n'.join(lines))
  return [line.strip() for line in text.splitlines() if re.search(rf'flaxart {word} ', line)]


def hour(folder: Path, *, columns: int, demo: bool = False, site: Path = ROOT) -> list[Seen]:
  """All steps; the last ones as the training printed them."""
  source = draw_collection(folder / "scans of the museum's")
  (folder / 'NEW_PICTURES').mkdir()  # as the printed command calls it
  for path in sorted(source.glob('*.png'))[:12]:
    shutil.copy(path, folder / 'NEW_PICTURES')
  steps: list[Seen] = []

  def step(command: str) -> Seen:
    steps.append(play(command, columns=columns, folder=folder, site=site))
    return steps[-1]

  step(f'{FLAXART} --help')
  for name in ('prepare', 'train', 'predict', 'report'):
    step(f'{FLAXART} {name} --help')
  if demo:
    step(f'{FLAXART} train --config=demo')
  step(
    f'{FLAXART} prepare --dataset=collection --manual_dir={shlex.quote(str(source))} '
    '--data_dir=prepared'
  )
  size = '--config.data.image_size=32 --config.model.width=0.125 --config.model.shallow'
  trained = step(
    f"{FLAXART} train --config=mtl --config.init=scratch --workdir='runs/my first, é' "
    '--config.data.dataset=collection --config.data.data_dir=prepared '
    f'--config.tasks=artist,type --config.train.epochs=2 --config.model.name=vgg19 {size}'
  )
  for word in ('predict', 'report'):
    (command,) = commands(trained.left(), word)
    step(command)
  return steps


def drawn(steps: list[Seen], file: Path, *, folder: str, columns: int) -> None:
  """Writes the terminal as an SVG picture, in which `folder` is called `~/museum`."""
  rows: list[str] = []
  for seen in steps:
    shown = seen.command.replace(f'{shlex.quote(sys.executable)} -m flaxart', 'flaxart')
    rows += ['', *terminal.folded(f'$ {shown}', columns).split('\n'), *seen.left()]
  lines = [
    f'<text x="12" y="{24 + 17 * i}" xml:space="preserve">{html.escape(row)}</text>'
    for i, row in enumerate('\n'.join(rows).strip().replace(folder, '~/museum').split('\n'))
  ]
  size = f'width="{24 + round(8.45 * columns)}" height="{28 + 17 * len(lines)}"'
  style = 'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14" fill="#e6e6e6"'
  ground = '<rect width="100%" height="100%" rx="8" fill="#1e1e2e"/>'
  body = '\n'.join(lines)
  head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
  file.write_text(
    '\n'.join([head, ground, f'<g {style}>', body, '</g>', '</svg>', '']), encoding='utf-8'
  )


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--columns', type=int, default=80)
  parser.add_argument('--demo', action='store_true', help='run the demo as well')
  parser.add_argument('--picture', type=Path, help='draw the terminal as SVG')
  args = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    steps = hour(Path(folder), columns=args.columns, demo=args.demo)
    if args.picture:
      drawn(steps[-3:], args.picture, folder=folder, columns=args.columns)
  found = [line for seen in steps for line in problems(seen, columns=args.columns)]
  for seen in steps:
    print(f'{seen.pause:5.1f} s longest pause, exit code {seen.code}: {seen.command[:90]}')
  print('\n'.join(found) or 'nothing to stumble over')
  return 1 if found else 0


if __name__ == '__main__':
  sys.exit(main())
