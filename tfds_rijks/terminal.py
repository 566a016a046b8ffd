"""What fits a terminal: its width, text folded at words or shortened, tables."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shlex
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any

WIDTH = 80  # where output is not a terminal
_TEXT = 20  # least columns for a text that is folded inside a table


def width(file: Any) -> int:
  """The columns of the terminal that `file` writes to; COLUMNS says otherwise, as in a shell."""
  said = os.environ.get('COLUMNS', '')
  if said.isdecimal() and int(said):
    return int(said)
  try:
    return os.get_terminal_size(file.fileno()).columns or WIDTH
  except (AttributeError, OSError, ValueError):
    return WIDTH


def is_terminal(file: Any) -> bool:
  """Whether somebody watches: a file that was closed before the start is None."""
  return file is not None and not file.closed and file.isatty()


def say(text: str) -> None:
  """Prints for a reader: folded at words on a terminal."""
  print(for_reader(text, sys.stdout), flush=True)


def for_reader(text: str, file: Any) -> str:
  """Text folded at words for a terminal, unchanged for anything else."""
  return folded(text, width(file)) if is_terminal(file) else text


def cells(text: str) -> int:
  """Columns that a text takes: two for a Chinese character, none for a combining accent."""
  return sum(
    0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in 'WF') for c in text
  )


def shortened(text: str, columns: int, *, ellipsis: str = '…') -> str:
  """The text, cut so that it takes at most `columns`."""
  if cells(text) <= columns:
    return text
  while text and cells(text) + cells(ellipsis) > columns:
    text = text[:-1]
  return text.rstrip() + ellipsis


def folded(text: str, columns: int) -> str:
  """The text with lines broken at spaces, and indented where they continue.

  Words stay whole even if they are too long: half a path is of no use to anybody. A line that
  begins with `python` is a command, and stays one for a shell.
  """
  lines = re.sub(r' *\\\n *', ' ', text).split('\n')
  return '\n'.join(part for line in lines for part in _broken(line, columns))


def _broken(line: str, columns: int, *, hang: int = 2) -> list[str]:
  if cells(line) <= columns:
    return [line]
  if ends := re.fullmatch(r'(.*\S:) (python .*)', line):  # with a command, which gets its own line
    return [*_broken(ends[1], columns), *_broken(f'  {ends[2]}', columns)]
  words, end = line.split(), ''
  now = ' ' * (len(line) - len(line.lstrip()))
  beyond = len(now) + hang
  entry = re.match(r' *\S+ {2,}(?=\S)', line) if hang else None
  if words[:1] == ['python']:
    with contextlib.suppress(ValueError):  # a quote without its end
      words, end = [*map(quoted, shlex.split(line))], ' \\'
  elif entry and len(entry[0]) <= columns // 2:  # a name, and a text beside it
    now, words, beyond = entry[0][:-1], line[entry.end() :].split(), len(entry[0])
  lines = []
  for word in words:
    more = f'{now} {word}' if now.strip() else now + word
    if cells(more + end) > columns and now.strip():
      lines.append(now + end)
      more = ' ' * beyond + word
    now = more
  return [*lines, now]


def quoted(word: str) -> str:
  """A word of a command for a shell: `--workdir='my runs/a'`, not `'--workdir=my runs/a'`."""
  flag, equals, value = word.partition('=')
  return f'{flag}={shlex.quote(value)}' if equals and flag.startswith('--') else shlex.quote(word)


def table(
  header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[bool], columns: int
) -> str:
  """Aligned columns under a rule; `right`: which are aligned to the right.

  A table that is too wide folds long texts, or continues below, where each part begins with the
  first column again.
  """
  body = [[str(cell) for cell in row] for row in rows]
  widths = [max(map(cells, column)) for column in zip(header, *body, strict=True)]
  rooms = [columns, *[columns - widths[0] - 2] * (len(widths) - 1)]  # each beside the first
  beside_all = columns - sum(widths[:-1]) - 2 * (len(widths) - 1)
  if beside_all >= _TEXT:
    rooms[-1] = beside_all
  for i, room in enumerate(rooms):
    if widths[i] > room >= _TEXT and not right[i]:
      widths[i] = room
  parts, part = [], [0]
  for i in range(1, len(widths)):
    if len(part) > 1 and sum(widths[j] for j in [*part, i]) + 2 * len(part) > columns:
      parts.append(part)
      part = [0]
    part.append(i)
  return '\n\n'.join(
    _aligned(
      [
        line
        for row in [list(header), *body]
        for line in _in_lines([row[i] for i in chosen], [widths[i] for i in chosen])
      ],
      [widths[i] for i in chosen],
      [right[i] for i in chosen],
    )
    for chosen in [*parts, part]
  )


def _in_lines(row: list[str], widths: list[int]) -> list[list[str]]:
  """The row with its cells folded: further rows have what did not fit, and empty cells."""
  folded_cells = [_broken(cell, room, hang=0) for cell, room in zip(row, widths, strict=True)]
  return [list(line) for line in itertools.zip_longest(*folded_cells, fillvalue='')]


def _aligned(rows: list[list[str]], widths: list[int], right: list[bool]) -> str:
  lines = []
  for row in rows:
    padded = []
    for cell, columns, to_the_right in zip(row, widths, right, strict=True):
      space = ' ' * (columns - cells(cell))
      padded.append(space + cell if to_the_right else cell + space)
    lines.append('  '.join(padded).rstrip())
  return '\n'.join([lines[0], '-' * max(map(cells, lines)), *lines[1:]])
