"""`flaxart NAME ...`: one command for all modules.

`flaxart train --config=mtl` and `python -m flaxart.main --config=mtl` are the same.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterable

from tfds_rijks.command import Parser, run
from tfds_rijks.errors import UserError
from tfds_rijks.words import did_you_mean, nearest

COMMANDS = {  # what a user types: the module, and what it does
  'train': ('flaxart.main', 'train, validate and test a network, or continue a run'),
  'prepare': ('tfds_rijks.prepare', 'build a dataset from pictures and a table'),
  'predict': ('flaxart.predict', 'name artist, material and type of the pictures in a folder'),
  'apply': ('flaxart.apply', "take accepted values back into the museum's own table"),
  'report': ('flaxart.report', 'make tables, figures and one page from finished runs'),
  'verify': ('flaxart.verify', 'check every file of every checkpoint of a run'),
  'weights convert': ('flaxart.weights.convert', 'convert ImageNet weights'),
  'weights download': ('flaxart.weights.download', 'fetch and convert ImageNet weights'),
}

HELP = ('-h', '--help', 'help')


def main() -> None:
  """Runs the module of the command in this process."""
  arguments = sys.argv[1:]
  if not arguments or arguments[0] in HELP:
    print(usage(COMMANDS))
    return
  if arguments[0] == 'weights' and (len(arguments) == 1 or arguments[1] in HELP):
    print(usage([name for name in COMMANDS if name.startswith('weights ')]))
    return
  for words in (2, 1):
    name = ' '.join(arguments[:words])
    if name in COMMANDS:
      sys.argv = [f'flaxart {name}', *arguments[words:]]
      runpy.run_module(COMMANDS[name][0], run_name='__main__', alter_sys=False)
      return
  raise UserError(unknown(arguments))


def unknown(arguments: list[str]) -> str:
  """The error for a command that does not exist, with the nearest one that does."""
  asked = ' '.join(arguments[:2] if arguments[0] == 'weights' else arguments[:1])
  hint = did_you_mean(repr(near) if (near := nearest(asked, [*COMMANDS, 'weights'])) else '')
  return f'flaxart: found command {asked!r}; {hint}expected one of {", ".join(COMMANDS)}'


def usage(names: Iterable[str]) -> str:
  """The text of `flaxart --help`, about some of the commands."""
  parser = Parser(
    prog='flaxart',
    usage='%(prog)s COMMAND [options]',
    epilog='flaxart COMMAND --help lists its options',
    add_help=False,
  )
  group = parser.add_argument_group('commands')
  for name in names:
    group.add_argument(f'flaxart {name}', help=COMMANDS[name][1])
  return parser.format_help().rstrip()


def console() -> None:
  """The console script `flaxart`."""
  run(main)


if __name__ == '__main__':
  console()
