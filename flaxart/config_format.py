"""What the fields of an earlier `config.json` are called now, and which of them are gone.

A name that was given up is not used again for something else: that is why the table needs no format
number to be read by.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from typing import Any


@dataclasses.dataclass(frozen=True)
class Moved:
  """The field stands under `now`; of its values, those in `without` are gone."""

  now: str
  without: tuple[object, ...] = ()


@dataclasses.dataclass(frozen=True)
class Removed:
  """The field is gone. A run that left it at `default` loses nothing by it."""

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
  """What became of the setting `name`, with or without its section; None if there never was one."""
  for old, entry in OLD_FIELDS.items():
    if name in (old, old.rpartition('.')[2]) and entry != Moved(old):
      return (
        f'it is now config.{entry.now}' if isinstance(entry, Moved) else 'it is gone: leave it out'
      )
  return None


def up_to_date(stored: dict[str, Any]) -> tuple[dict[str, Any], dict[str, object]]:
  """A stored config with the fields of today, and `{old field: value}` of what no field says now.

  What is left out has its default then: enough to load and evaluate the run, not to train it on.
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
  """The part of a config that a field like `optim.name` stands in, and its name there."""
  *path, name = field.split('.')
  return functools.reduce(lambda section, part: section.setdefault(part, {}), path, tree), name
