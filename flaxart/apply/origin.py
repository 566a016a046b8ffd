"""Which files a table was made from: a sidecar beside it, `F.json` of `F.csv`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import flaxart
from flaxart.prediction.output import sidecar_of
from tfds_rijks import strict_json
from tfds_rijks.errors import UserError


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


def check_unchanged(table: Path, decisions: Path) -> dict[str, str]:
  """Name and hash of the export; of the first one, if `table` is an output of `apply` itself.

  Raises `UserError` if the suggestions were made for another content of the export.
  """
  now = named(table)
  said = about(table)
  if _entry(said, 'output').get('sha256') == now['sha256'] and _entry(said, 'table'):
    now = _entry(said, 'table')
  then = _entry(about(decisions), 'table')
  if then and then['sha256'] != now['sha256']:
    raise UserError(
      f'{table}: has changed since the suggestions were made (SHA-256 {now["sha256"][:12]}; '
      f'{sidecar_of(decisions).name} expects {then["sha256"][:12]} of {then["name"]}); give that '
      'export, or --changed_table if the record numbers are still the same'
    )
  return now


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
  for there in (output, sidecar_of(output)):
    if there.exists() and 'applied' not in about(output):
      raise UserError(
        f'--output: {there} exists and was not written by flaxart apply; choose another name'
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
