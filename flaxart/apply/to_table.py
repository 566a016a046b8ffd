"""The museum's table with decided values: checks, writes, and says what it did."""

from __future__ import annotations

from pathlib import Path

from flaxart.apply import origin
from flaxart.apply.additions import Additions, Choices, additions
from flaxart.apply.decided import by_record
from flaxart.apply.exchange import read_decisions
from flaxart.apply.export import Export
from flaxart.apply.text_export import ENDINGS, TextExport
from flaxart.apply.workbook_export import ENDING, WorkbookExport
from flaxart.machine.files import write_together
from flaxart.prediction.output import sidecar_of
from tfds_rijks import suggestions, terminal
from tfds_rijks.errors import UserError
from tfds_rijks.words import counted

AS_SHOWN = Choices()
LISTED = 100  # cells with another value, in the sidecar


def apply(
  decisions: Path,
  table: Path,
  output: Path,
  *,
  choices: Choices = AS_SHOWN,
  sheet: str = '',
  changed_table: bool = False,
) -> Additions:
  """Writes `output` and its sidecar; returns what was added. Raises `UserError` for bad input."""
  decisions, table, output = (path.expanduser() for path in (decisions, table, output))
  rows = read_decisions(decisions)
  if not table.is_file():
    raise UserError(f"--table: {table} is not a file; give the museum's export")
  origin.check_output(output, inputs=[decisions, table])
  if output.suffix.lower() != table.suffix.lower():
    raise UserError(
      f'--output={output}: expected a file of the same kind as the export, {table.suffix}'
    )
  first = origin.named(table) if changed_table else origin.check_unchanged(table, decisions, rows)
  export = read_export(table, sheet=sheet)
  found = additions(export, by_record(rows, path=decisions), choices)
  data = export.edited(found.added, found.edits)
  facts = {
    'decisions': origin.named(decisions),
    'table': first,
    'columns': found.added,
    'values': found.written,
    'already_there': found.same,
    'kept': len(found.kept),
    'first_kept': found.kept[:LISTED],
    'output': origin.hashed(output.name, data),
  }
  # The sidecar first, because it marks the table as ours.
  write_together({sidecar_of(output): origin.sidecar(facts).encode(), output: data})
  terminal.say(
    f'{output}: {counted(found.written, "value")} in {counted(len(found.edits), "record")} of '
    f'{table.name}'
  )
  if found.same:
    terminal.say(f'{counted(found.same, "value was", "values were")} there already')
  if found.kept:
    terminal.say(
      f'{counted(len(found.kept), "cell has", "cells have")} another value, which stays; first: '
      f'{found.kept[0]}'
    )
  left = {
    status: count
    for status in suggestions.STATUSES
    if status not in suggestions.DECIDED and (count := sum(row.status == status for row in rows))
  }
  if left:
    terminal.say(f'not written: {", ".join(f"{n:,} {status}" for status, n in left.items())}')
  return found


def read_export(path: Path, *, sheet: str = '') -> Export:
  """The export, by its ending."""
  ending = path.suffix.lower()
  if ending == ENDING:
    return WorkbookExport(path, sheet=sheet)
  if ending not in ENDINGS:
    raise UserError(
      f'--table={path}: expected {", ".join((*ENDINGS, ENDING))}; save the export as one of them'
    )
  if sheet:
    raise UserError(f'--sheet={sheet}: {path} has no sheets; leave the option out')
  return TextExport(path)
