"""The text of `flaxart train --help`."""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path

from absl import flags

from flaxart.config import default_config, flat
from flaxart.flags.config_files import config_files
from tfds_rijks import command, terminal

GROUPS = {
  'a new run': ('config', 'workdir', 'dry_run', 'processes'),
  'a run that was begun, by --workdir': ('fallback', 'remap_classes'),
  'a finished run, by --workdir': ('mode', 'split'),
}


def usage(about: str, values: flags.FlagValues) -> str:
  """The text of `--help`: flags in groups, config files, and every setting with its default."""
  parser = command.Parser(
    prog='python -m flaxart.main',
    usage='%(prog)s --config=NAME\n         [--workdir=FOLDER] [--config.SETTING=VALUE ...]',
    description=about.partition('\n\n')[2],  # without what the module is
    add_help=False,
  )
  for title, names in GROUPS.items():
    group = parser.add_argument_group(title)
    for name in names:
      nargs, metavar = (0, None) if values[name].boolean else (None, name.upper())
      group.add_argument(
        f'--{name}', action=_Shown, nargs=nargs, metavar=metavar, help=values[name].help
      )
  group = parser.add_argument_group('--config=NAME')
  for name, path in config_files().items():
    group.add_argument(name, action=_Shown, help=_first_line(path).replace('%', '%%'))
  columns = terminal.width(sys.stdout)
  sections: dict[str, list[str]] = {}
  for field, default in flat(default_config()).items():
    sections.setdefault(field.rpartition('.')[0], []).append(f'{field}={default}')
  title = '--config.SETTING=VALUE, with the defaults; flaxart/config.py says what each means:'
  lines = [terminal.folded(title, columns)]
  lines += [terminal.folded('  ' + ' '.join(fields), columns) for fields in sections.values()]
  return '\n'.join([parser.format_help(), *lines])


class _Shown(argparse.Action):
  """An option that is only shown."""

  def __call__(self, *_: object) -> None:
    raise NotImplementedError


def _first_line(path: Path) -> str:
  text = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or ''
  return ' '.join(text.partition('\n\n')[0].split())
