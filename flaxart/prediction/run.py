"""From a folder of pictures to a table of suggestions: asked, kept in a journal, written."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flaxart
from flaxart.evaluation import answer, val_answers
from flaxart.evaluation.answer import TOP, Row
from flaxart.machine.files import write_text
from flaxart.net import Net, load
from flaxart.prediction import display_names, files, journal, summary, table, work
from flaxart.prediction.object_ids import RecordNumbers
from flaxart.prediction.output import CONTENT, check_rows, journal_of, sidecar_of
from flaxart.prediction.request import DEFAULT, NO_NUMBERS, Options, Request
from flaxart.prediction.work import Work
from flaxart.workdir import manifest
from tfds_rijks import strict_json, terminal
from tfds_rijks.seal import sha256
from tfds_rijks.words import counted


def predict(
  workdir: Path,
  images: Path,
  output: Path,
  *,
  numbers: RecordNumbers = NO_NUMBERS,
  options: Options = DEFAULT,
  dry_run: bool = False,
) -> list[dict[str, table.Cell]]:
  """Writes the table to `output` and its provenance to `output` with `.json`; returns its rows.

  A prediction that was stopped continues. `dry_run` estimates, and writes nothing.
  """
  workdir, images, output = (path.expanduser() for path in (workdir, images, output))
  request = Request(workdir, images, output, numbers, options)
  request.check()
  todo = work.find(images, numbers, output, per_object=options.per == 'object')
  settings = request.settings  # with hashes of the tables as they are now
  net = load(workdir)
  if options.precision is not None:
    net.calibration = val_answers.at_precision(
      workdir, net.calibration, options.precision, step=net.about['step']
    )
  uris = display_names.read(request.names, net.tasks) if request.names else {}
  check_rows(output, _most_rows(net, todo, options.form))
  header: dict[str, Any] = {
    'journal': journal.FORMAT,
    'began': datetime.datetime.now(datetime.UTC).strftime('%Y-%m-%dT%H:%M:%SZ'),
    'model_sha256': _model_sha256(workdir, net),
    'calibration_sha256': hashlib.sha256(strict_json.text(net.calibration).encode()).hexdigest(),
    'images': table.readable(str(images.resolve())),
    'options': settings,
    'pictures': [[table.readable(path), todo.ids.get(path, '')] for path in todo.pictures],
  }
  if dry_run:
    done = journal.peek(journal_of(output), header)
    folder = output.absolute().parent
    work.estimate(net, todo, done, batch_size=options.batch_size, folder=folder)
    terminal.say(
      f'dry run: nothing was written; {len(done):,} of {counted(len(todo.objects), "row")} are done'
    )
    return []
  with journal.Journal(journal_of(output), header) as book:
    work.ask(net, todo, book, batch_size=options.batch_size)
    rows = _rows(net, todo, book.found)
    origin = table.Origin(_version(), header['model_sha256'], book.began, uris)
    made = _write(net, rows, request, origin, passed_over=len(todo.others))
    book.remove()
  return made


def _rows(net: Net, todo: Work, found: Mapping[int, Any]) -> list[Row]:
  """All rows, those of files that are not pictures among them, by their paths."""
  rows = [
    answer.row(net.tasks, table.readable(one[0]), todo.ids.get(one[0], ''), found[place])
    for place, one in enumerate(todo.objects)
  ]
  rows += [
    Row(table.readable(path), '', 'passed over', why, {}, {}) for path, why in todo.others.items()
  ]
  return sorted(rows, key=lambda row: row.image)


def _write(
  net: Net, rows: list[Row], request: Request, origin: table.Origin, *, passed_over: int
) -> list[dict[str, table.Cell]]:
  """Writes sidecar and table, and prints what they hold."""
  output, options = request.output, request.options
  if options.form == 'long':
    columns = table.long_columns()
    cells = [one for row in rows for one in table.long(row, net.calibration, origin)]
  else:
    columns, cells = table.wide_columns(net.tasks), [table.wide(row) for row in rows]
  counts = summary.count(net.tasks, net.calibration, rows)
  unreadable = sum(row.status == 'unreadable' for row in rows)
  without = sum(
    row.status != 'passed over' and not row.numbers and not any(row.names.values()) for row in rows
  )
  about = {
    'written_by': _version(),
    'output': output.name,
    'form': options.form,
    'model': net.about,
    'model_sha256': origin.model_sha256,
    'generated_at': origin.generated_at,
    'images': table.readable(str(request.images)),
    'rows': len(cells),
    'unreadable': unreadable,
    'per': options.per,
    'table': request.export,
    'options': request.settings,
    'probabilities': summary.probabilities(net.tasks, net.calibration),
    'calibration': net.calibration,
    'decisions': {name: one.as_json() for name, one in counts.items()},
    'files_passed_over': passed_over,
    'pictures_without_suggestion': without,
    'classes': {task.name: len(task.classes) for task in net.tasks},
    'note': summary.NOTE,
  }
  # First, because it marks the table as ours: `output.check_output`.
  write_text(sidecar_of(output), strict_json.text(about))
  files.write(output, columns, cells, dialect=options.dialect, about=about)
  # So that nobody's decisions in it are replaced by another prediction.
  write_text(sidecar_of(output), strict_json.text({**about, CONTENT: sha256(output)}))
  terminal.say(
    f'{output}: {counted(len(cells), "row")}; {counted(unreadable, "picture")} unreadable, '
    f'{counted(passed_over, "file")} passed over'
  )
  if options.form == 'long' and without:
    terminal.say(f'{counted(without, "picture")} without a suggestion: in the wide form only')
  for one in counts.values():
    terminal.say(one.sentence)
  return cells


def _most_rows(net: Net, todo: Work, form: str) -> int:
  """The most rows that the table can have."""
  if form == 'wide':
    return len(todo.objects) + len(todo.others)
  return len(todo.objects) * sum(1 if task.answers_number else TOP for task in net.tasks)


def _model_sha256(workdir: Path, net: Net) -> str:
  """The hash of the checkpoint's manifest, which has the hash of each of its files."""
  path = workdir / manifest.FOLDER / str(net.about['step']) / manifest.FILE
  return sha256(path) if path.exists() else ''


def _version() -> str:
  return f'flaxart {flaxart.__version__}'
