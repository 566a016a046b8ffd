"""Identifiers of classes, such as URIs of the AAT, ULAN or Wikidata, from a table of names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flaxart.tasks.task import Task
from tfds_rijks.collection import table
from tfds_rijks.collection.column_names import key
from tfds_rijks.errors import UserError
from tfds_rijks.formulas import restore
from tfds_rijks.labels import normalise

FILE = 'display_names.csv'  # of a workdir
CLASS, IDENTIFIER, FIELD = 'class', 'identifier', 'field'


def find(workdir: Path, given: Path | None) -> Path | None:
  """The table to use: the one that is `given`, else that of the run, if it has one."""
  if given is not None and not given.is_file():
    raise UserError(f'--display_names: {given} is not a file; give a table of class, identifier')
  of_run = workdir / FILE
  return given or (of_run if of_run.is_file() else None)


def read(path: Path, tasks: Sequence[Task]) -> dict[str, dict[str, str]]:
  """`{task: {class: identifier}}`, of a table with columns `class` and `identifier`.

  With a column `field` a row is for the class of that task, else for all classes of this name.
  Other columns, such as `shown as`, are for people. Raises `UserError` for two identifiers of one
  class.
  """
  content = table.read(path)
  by_key = {key(name): name for name in content.columns}
  if CLASS not in by_key or IDENTIFIER not in by_key:
    raise UserError(
      f'{path}: has the columns {", ".join(content.columns)}; expected class, shown as, identifier'
    )
  classes = {task.name: {normalise(name): name for name in task.classes} for task in tasks}
  found: dict[str, dict[str, str]] = {task.name: {} for task in tasks}
  fields = content.column(by_key[FIELD]) if FIELD in by_key else [''] * len(content.rows)
  columns = (content.column(by_key[name]) for name in (CLASS, IDENTIFIER))
  used = 0
  for line, field, name, identifier in zip(content.lines, fields, *columns, strict=True):
    if isinstance(name, list) or isinstance(identifier, list) or isinstance(field, list):
      raise UserError(f'{path}: line {line}: several values in a cell; expected one')
    name, identifier = normalise(restore(name)), restore(identifier).strip()
    these = [task for task in classes if name in classes[task] and field.strip() in ('', task)]
    used += bool(these)
    for task in these if identifier else ():
      other = found[task].setdefault(classes[task][name], identifier)
      if other != identifier:
        raise UserError(
          f'{path}: line {line}: {name!r} of {task} has the identifiers {other} and {identifier}; '
          'keep one of them'
        )
  if not used:
    raise UserError(
      f'{path}: none of its {len(content.rows):,} classes is a class of {", ".join(classes)}; '
      'is it the table of this run?'
    )
  return found
