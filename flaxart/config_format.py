"""Renamed and removed fields of earlier `config.json` files.

A name that was dropped is never reused for something else, so the table needs no format numbers.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from typing import Any


@dataclasses.dataclass(frozen=True)
class Moved:
  """The field is now called `now`; its values in `without` are gone."""

  now: str
  without: tuple[object, ...] = ()


@dataclasses.dataclass(frozen=True)
class Removed:
  """The field is gone. A run that left it at `default` loses nothing."""

  default: object


OLD_FIELDS: dict[str, Moved | Removed] = {
  'head_devices': Removed(default=1),
  'optim.label_smoothing': Moved('loss.label_smoothing'),
  'train.class_weight_cap': Moved('loss.class_weight_cap'),
  'train.class_weights': Moved('loss.class_weights'),
  'train.logit_adjustment': Moved('loss.logit_adjustment'),
  'train.on_nonfinite': Moved('train.on_nonfinite', without=('rollback',)),
  'train.task_weights': Moved('loss.task_weights'),
}


def said_now(name: str) -> str | None:
  """What became of the setting `name`, with or without its section; None if it never existed."""
  for old, entry in OLD_FIELDS.items():
    if name in (old, old.rpartition('.')[2]) and entry != Moved(old):
      return (
        f'it is now config.{entry.now}' if isinstance(entry, Moved) else 'it is gone: remove it'
      )
  return None


def up_to_date(stored: dict[str, Any]) -> tuple[dict[str, Any], dict[str, object]]:
  """Returns a stored config with today's fields, and `{old field: value}` of those that are gone.
  Missing fields get their defaults: enough to load and evaluate the run, not to continue it.
  """
  tree, lost = copy.deepcopy(stored), {}
  for old, entry in OLD_FIELDS.items():
    section, name = _section(tree, old)
    if name not in section:
      continue
    value = section.pop(name)
    if isinstance(entry, Removed):
      gone = value != entry.default
    elif not (gone := value in entry.without):
      section, name = _section(tree, entry.now)
      section[name] = value
    if gone:
      lost[old] = value
  return {key: value for key, value in tree.items() if value != {}}, lost


def _section(tree: dict[str, Any], field: str) -> tuple[dict[str, Any], str]:
  """The section of a config that holds a field like `optim.name`, and its name there."""
  *path, name = field.split('.')
  return functools.reduce(lambda section, part: section.setdefault(part, {}), path, tree), name
