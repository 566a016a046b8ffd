"""Decisions to and from other programs, as JSON files, and as a table of suggestions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flaxart.apply import label_studio, origin, web_annotations
from flaxart.apply.decided import check_consistent
from flaxart.machine.files import write_text, write_together
from flaxart.prediction.output import sidecar_of
from tfds_rijks import strict_json, suggestions, terminal
from tfds_rijks.errors import UserError
from tfds_rijks.suggestions import DECIDED, Suggestion

LABEL_STUDIO, WEB_ANNOTATIONS, DECISIONS = 'label-studio', 'web-annotations', 'decisions'
FORMATS = {LABEL_STUDIO: '.json', WEB_ANNOTATIONS: '.json', DECISIONS: '.csv'}  # and their ending


def read_decisions(path: Path) -> list[Suggestion]:
  """The rows of a table of suggestions, or of an export of Label Studio (.json)."""
  return label_studio.read(path) if path.suffix.lower() == '.json' else suggestions.read(path)


def exchange(decisions: Path, output: Path, *, format: str, images_url: str = '') -> None:
  """Writes `output` in one of `FORMATS`. Raises `UserError` for bad input."""
  decisions, output = decisions.expanduser(), output.expanduser()
  if output.suffix.lower() != FORMATS[format]:
    raise UserError(f'--output={output}: expected a name that ends in {FORMATS[format]}')
  if (format == DECISIONS) == bool(images_url):
    raise UserError(
      f'--format={format} {"does not use" if images_url else "needs"} --images_url, the address of '
      'the folder with the pictures'
    )
  rows = read_decisions(decisions)
  if format == DECISIONS:
    origin.check_output(output, inputs=[decisions])
    data = suggestions.as_csv(rows)
    facts = {'decisions': origin.named(decisions), 'output': origin.hashed(output.name, data)}
    write_together({sidecar_of(output): origin.sidecar(facts).encode(), output: data})
    terminal.say(
      f'{output}: {len(rows):,} rows, {sum(r.status in DECIDED for r in rows):,} decided'
    )
  elif format == LABEL_STUDIO:
    _check_json(output, decisions, label_studio.is_ours)
    tasks = label_studio.tasks(rows, images_url=images_url)
    page = output.with_suffix('.xml')
    content, labelling = strict_json.text(tasks), label_studio.page(rows)
    write_together({output: content.encode(), page: labelling.encode()})
    terminal.say(f'{output}: {len(tasks):,} tasks; {page}: the labelling configuration for them')
  else:
    _check_json(output, decisions, web_annotations.is_ours)
    check_consistent(rows, path=decisions)
    made = web_annotations.annotation_page(
      rows, images_url=images_url, name=output.name, path=decisions
    )
    write_text(output, strict_json.text(made))
    terminal.say(f'{output}: {len(made["items"]):,} annotations')


def _check_json(output: Path, decisions: Path, is_ours: Callable[[Any], bool]) -> None:
  """Raises `UserError` for an output that would replace the input or a file of another kind."""
  if not output.absolute().parent.is_dir():
    raise UserError(f'--output: the folder {output.absolute().parent} does not exist; create it')
  theirs = [path for path in (decisions, sidecar_of(decisions)) if path.exists()]
  for path in (output, output.with_suffix('.xml')):
    if path.exists() and any(path.samefile(other) for other in theirs):
      raise UserError(f'--output={output}: would replace {path}, which belongs to the input')
  try:
    ours = not output.exists() or is_ours(strict_json.read(output))
  except (ValueError, OSError):
    ours = False
  if not ours or (output.with_suffix('.xml').exists() and not output.exists()):
    raise UserError(
      f'--output: {output} (or a file .xml beside it) exists and was not written by flaxart apply; '
      'choose another name'
    )
