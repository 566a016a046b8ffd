"""`flaxart NAME ...`: one command for all modules.

`flaxart train --config=mtl` and `python -m flaxart.main --config=mtl` are the same.
"""

from __future__ import annotations

import difflib
import runpy
import sys

from tfds_rijks.command import run
from tfds_rijks.errors import UserError

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


def main() -> None:
  """Runs the module of the command in this process."""
  arguments = sys.argv[1:]
  if not arguments or arguments[0] in ('-h', '--help'):
    print(usage())
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
  like = difflib.get_close_matches(asked, [*COMMANDS, 'weights'], n=1)
  hint = f'did you mean {like[0]!r}? ' if like else ''
  return f'flaxart: found command {asked!r}; {hint}expected one of {", ".join(COMMANDS)}'


def usage() -> str:
  """The text of `flaxart --help`."""
  width = max(map(len, COMMANDS))
  lines = [f'  flaxart {name:{width}}  {about}' for name, (_, about) in COMMANDS.items()]
  return '\n'.join(
    ['usage: flaxart COMMAND [options]', '', *lines, '', 'flaxart COMMAND --help lists its options']
  )


def console() -> None:
  """The console script `flaxart`."""
  run(main)


if __name__ == '__main__':
  console()
