"""Which files a table was made from: a sidecar beside it, `F.json` of `F.csv`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flaxart
from flaxart.prediction.output import MADE_BY, sidecar_of
from tfds_rijks import strict_json
from tfds_rijks.collection import table
from tfds_rijks.errors import UserError
from tfds_rijks.suggestions import Suggestion

LARGEST = 1 << 20  # bytes of a sidecar


def about(path: Path) -> dict[str, Any]:
  """What the sidecar of a table says; empty if it has none."""
  sidecar = sidecar_of(path)
  if sidecar == path or not sidecar.is_file():
    return {}
  try:
    found = strict_json.read(sidecar)
  except (ValueError, OSError):
    return {}
  return found if isinstance(found, dict) else {}


def named(path: Path) -> dict[str, str]:
  """Name and hash of a file, as sidecars have them."""
  return hashed(path.name, path.read_bytes())


def hashed(name: str, data: bytes) -> dict[str, str]:
  """The same of a file's content."""
  return {'name': name, 'sha256': hashlib.sha256(data).hexdigest()}


def check_unchanged(export: Path, decisions: Path, rows: Sequence[Suggestion]) -> dict[str, str]:
  """Name and hash of the export; of the first one, if `export` is an output of `apply` itself.

  Raises `UserError` if the suggestions were made for another content of the export.
  """
  now = named(export)
  said = about(export)
  if _entry(said, 'output').get('sha256') == now['sha256'] and _entry(said, 'table'):
    now = _entry(said, 'table')
  then = suggested_for(decisions, rows)
  if then and then['sha256'] != now['sha256']:
    raise UserError(
      f'{export}: has changed since the suggestions were made (SHA-256 {now["sha256"][:12]}; they '
      f'are for {then["sha256"][:12]} of {then["name"]}); give that export, or --changed_table if '
      'the record numbers are still the same'
    )
  return now


def suggested_for(decisions: Path, rows: Sequence[Suggestion]) -> dict[str, str]:
  """Name and hash of the export for which `predict` made the suggestions; empty if not known.

  In the sidecar of the decisions, in a workbook's sheet about itself, or in the sidecar beside them
  of the prediction that has these rows: people save their decisions under another name.
  """
  if found := _entry(about(decisions), 'table'):
    return found
  if found := _of_workbook(decisions):
    return found
  made = {(row.model_sha256, row.generated_at) for row in rows if row.model_sha256}
  for sidecar in sorted(decisions.absolute().parent.glob('*.json')):
    said = about(sidecar.with_suffix('.csv')) if sidecar.stat().st_size < LARGEST else {}
    if (said.get('model_sha256'), said.get('generated_at')) in made:
      return _entry(said, 'table')
  return {}


def _of_workbook(path: Path) -> dict[str, str]:
  """The export that the sheet about a workbook of suggestions names."""
  if path.suffix.lower() != '.xlsx':
    return {}
  try:
    content = table.read(path, sheet=MADE_BY)
  except UserError:  # it has none
    return {}
  facts = {str(row[0]): str(row[1]) for row in content.rows if len(row) == 2}
  found = {name: facts.get(f'table.{name}', '') for name in ('name', 'sha256')}
  return found if found['sha256'] else {}


def check_output(output: Path, *, inputs: list[Path]) -> None:
  """Raises `UserError` for an output that is an input or another file's sidecar, or that would
  replace a file which `apply` did not write.
  """
  if not output.absolute().parent.is_dir():
    raise UserError(f'--output: the folder {output.absolute().parent} does not exist; create it')
  for path in inputs:
    for mine in (output, sidecar_of(output)):
      for theirs in (path, sidecar_of(path)):
        if mine.absolute() == theirs.absolute() or (
          mine.exists() and theirs.exists() and mine.samefile(theirs)
        ):
          raise UserError(
            f'--output={output}: would replace {theirs}, which belongs to the input; choose '
            'another name'
          )
  if output.is_dir():
    raise UserError(f'--output={output}: is a folder; give the name of a file')
  said = about(output)
  for there in (output, sidecar_of(output)):
    if there.exists() and 'applied' not in said:
      raise UserError(
        f'--output: {there} exists and was not written by flaxart apply; choose another name'
      )
  if output.exists() and _entry(said, 'output').get('sha256') != named(output)['sha256']:
    raise UserError(
      f'--output: {output} has been edited since flaxart apply wrote it; choose another name'
    )


def sidecar(facts: dict[str, Any]) -> str:
  """The text of a sidecar."""
  return strict_json.text({'written_by': f'flaxart {flaxart.__version__}', 'applied': facts})


def _entry(found: dict[str, Any], key: str) -> dict[str, str]:
  """An entry with name and hash, of a sidecar of `predict` or `apply`; empty if it has none."""
  within = found.get('applied', found)
  entry = within.get(key) if isinstance(within, dict) else None
  if not isinstance(entry, dict) or not {'name', 'sha256'} <= entry.keys():
    return {}
  return {name: str(value) for name, value in entry.items()}
