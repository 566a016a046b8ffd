"""What a mistyped flag, setting or config file may mean."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict

from flaxart.config import default_config, flat
from flaxart.config_format import said_now
from flaxart.flags.config_files import config_files
from tfds_rijks.errors import UserError
from tfds_rijks.words import did_you_mean, nearest

# What absl says about a value, and what everything else here says.
_ABSL = {
  'could not convert string to float': 'expected a number',
  'invalid literal for int()': 'expected a whole number',
  'Non-boolean': 'expected True or False',
  'is not a non-negative integer': 'expected 0 or more',
}
SECTIONS = ('train', 'optim', 'model', 'data')  # a name may be in several; likelier first


def with_config_file(argument: str) -> str:
  """`--config=mtl:ARGUMENTS` with the path of that file; any other argument unchanged."""
  if not argument.startswith('--config='):
    return argument
  name, colon, rest = argument.removeprefix('--config=').partition(':')
  return f'--config={config_file(name)}{colon}{rest}'


def config_file(name: str) -> Path:
  """A config file by path, or one of flaxart's own by name: `mtl` is `configs/mtl.py`."""
  if Path(name).is_file():
    return Path(name)
  ours = config_files()
  if name in ours:
    return ours[name]
  raise UserError(
    f'--config: {name} {"is a folder" if Path(name).is_dir() else "does not exist"}; '
    f'{did_you_mean(nearest(Path(name).stem, ours))}give a file, or one of {", ".join(ours)}'
  )


def unknown_setting(argv: Iterable[str]) -> str | None:
  """The error for the first `--config.a.b` that is not a setting; None if all are.

  A flag that is not one of ours may be a setting without its `config.`.
  """
  config = default_config()
  for argument in argv:
    flag = argument.partition('=')[0].lstrip('-')
    if not argument.startswith('--config.'):
      ours = flag in flags.FLAGS or flag.removeprefix('no') in flags.FLAGS
      if argument.startswith('--') and not ours and (like := _meant(flag, config)):
        return f'--{flag}: no such flag; did you mean --config.{like}?'
      continue
    there: object = config
    path = flag.split('.')
    for depth, name in enumerate(path[1:], start=1):
      if not isinstance(there, ConfigDict) or name not in there:
        names = sorted(there) if isinstance(there, ConfigDict) else []
        if now := said_now('.'.join(path[1:])):
          return f'--{flag}: no such setting; {now}'
        like = _meant('.'.join(path[1:]), config)
        return (
          f'--{flag}: no such setting; {did_you_mean(like and f"config.{like}")}'
          f'{".".join(path[:depth])} has {", ".join(names) or "no parts"}'
        )
      there = there[name]
  return None


def _meant(wrong: str, config: ConfigDict) -> str:
  """The setting that a wrong name may mean, such as `optim.learning_rate` for `optim.lr`; or ''."""
  section, _, name = wrong.lower().replace('-', '_').rpartition('.')
  known = sorted(flat(config), key=lambda field: _place(field, section))
  last = {field: field.rpartition('.')[2] for field in known}
  initials = {field: ''.join(word[:1] for word in last[field].split('_')) for field in known}
  for names in (last, initials if len(name) > 1 else {}):
    if found := [field for field in names if names[field] == name]:
      return found[0]
  like = get_close_matches(name, last.values(), n=1)
  return next((field for field in known if like and last[field] == like[0]), '')


def _place(field: str, section: str) -> int:
  """Names in the same section come first, then those of training."""
  own = field.rpartition('.')[0]
  return 0 if own == section else 1 + SECTIONS.index(own) if own in SECTIONS else 9


def explanation(error: BaseException) -> str:
  """The cause of an error in brief; for a failing config file, the error inside it."""
  value = re.match(r'flag (--(?!config=)[\w.]+)=(.*?): (.*)', str(error))  # absl's wording
  if value and isinstance(error, flags.IllegalFlagValueError):
    why = next((ours for theirs, ours in _ABSL.items() if theirs in value[3]), value[3])
    why = why.replace('value should be one of <', 'expected ').replace('|', ' or ').rstrip('>')
    return f'{value[1]}: found {value[2]!r}, {why}'
  unknown = re.match(r'.?Key "(\w+)" does not exist', str(error))  # ConfigDict's wording
  if unknown and (now := said_now(unknown[1])):
    return f'the config file sets {unknown[1]}, which is not a setting; {now}'
  if isinstance(error, OSError):  # "failed loading": the cause is further down
    while error.__cause__ or error.__context__:
      error = error.__cause__ or error.__context__ or error
  before, traceback, after = str(error).replace(r'\n', '\n').partition('Traceback (most recent')
  text = ' '.join((before + after.strip().splitlines()[-1] if traceback else before).split())
  return f'{type(error).__name__}: {text[:300]}'
