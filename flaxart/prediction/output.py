"""The files of a table: itself, its provenance beside it, and its journal while it is made."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfds_rijks import strict_json
from tfds_rijks.errors import UserError
from tfds_rijks.seal import sha256

SUFFIXES = ('.csv', '.xlsx', '.parquet')
CONTENT = 'output_sha256'  # in the sidecar: of the table as it was written
MADE_BY = 'made by'  # a workbook's sheet with the provenance
MOST_ROWS = (1 << 20) - 1  # of a workbook's sheet, below its header
# Where a decimal comma is usual, cells are divided by semicolons.
_COMMA = (';', ',')
LOCALES = {
  **dict.fromkeys(('en', 'en-GB', 'en-US', 'ja', 'ko', 'th', 'zh'), (',', '.')),
  **dict.fromkeys(('bg', 'ca', 'cs', 'da', 'de', 'el', 'es', 'et', 'fi', 'fr', 'hr', 'hu'), _COMMA),
  **dict.fromkeys(('id', 'is', 'it', 'lt', 'lv', 'nb', 'nl', 'nn', 'no', 'pl', 'pt', 'ro'), _COMMA),
  **dict.fromkeys(('ru', 'sk', 'sl', 'sr', 'sv', 'tr', 'uk', 'vi'), _COMMA),
  **dict.fromkeys(('de-CH', 'it-CH', 'es-MX'), (';', '.')),
}
_DELIMITERS = {',': ',', ';': ';', '|': '|', '\t': '\t', '\\t': '\t', 'tab': '\t'}


@dataclasses.dataclass(frozen=True)
class Dialect:
  """How a CSV divides cells and writes numbers."""

  delimiter: str = ','
  decimal: str = '.'

  @classmethod
  def of(cls, locale: str | None, delimiter: str | None, decimal: str | None) -> Dialect:
    """The dialect of a language, such as `nl` or `nl_NL.UTF-8`, or of single options."""
    usual = _usual(locale) if locale else (',', '.')
    if delimiter is not None and delimiter not in _DELIMITERS:
      raise UserError(f'--delimiter={delimiter}: expected a comma, a semicolon, | or tab')
    if decimal not in (None, '.', ','):
      raise UserError(f'--decimal={decimal}: expected a point or a comma')
    found = cls(_DELIMITERS[delimiter] if delimiter else usual[0], decimal or usual[1])
    if found.delimiter == found.decimal:
      raise UserError("--decimal=',': cells are divided by commas as well; add --delimiter=';'")
    return found


def _usual(locale: str) -> tuple[str, str]:
  name = locale.partition('.')[0].replace('_', '-')
  language = name.partition('-')[0]
  found = {key.casefold(): value for key, value in LOCALES.items()}
  usual = found.get(name.casefold()) or found.get(language.casefold())
  if usual is None:
    raise UserError(
      f'--locale={locale}: is not known; expected one of {", ".join(sorted(LOCALES))}, or give '
      '--delimiter and --decimal'
    )
  return usual


def sidecar_of(output: Path) -> Path:
  """The file beside a table with its provenance."""
  return output.with_suffix('.json')


def journal_of(output: Path) -> Path:
  """The file beside a table that is not finished; see `journal`."""
  return output.with_name(f'{output.name}.journal')


def files_of(output: Path) -> Iterator[Path]:
  """All three."""
  yield from (output, sidecar_of(output), journal_of(output))


def check_output(output: Path, *, metadata: str | None = None) -> None:
  """Raises `UserError` for an output that cannot be written, or would replace another file."""
  sidecar, parent = sidecar_of(output), output.absolute().parent
  if not parent.is_dir():
    raise UserError(f'--output: the folder {parent} does not exist; create it')
  if not os.access(parent, os.W_OK):
    raise UserError(f'--output: the folder {parent} cannot be written to; choose another')
  if output.is_dir() or output.suffix.lower() not in SUFFIXES:
    raise UserError(
      f'--output: {output} is not a table; give a file name that ends in {", ".join(SUFFIXES)}'
    )
  if metadata and output.exists() and Path(metadata).exists() and output.samefile(metadata):
    raise UserError(f'--output: {output} is the file of --metadata; choose another name')
  of_sidecar = _object(sidecar)
  if sidecar.exists() and 'written_by' not in of_sidecar:
    raise UserError(
      f'--output: {sidecar.name}, which goes beside the table, is another file already; '
      'choose another name'
    )
  other = of_sidecar.get('output', output.name)
  if other != output.name and isinstance(other, str) and (parent / Path(other).name).exists():
    raise UserError(
      f'--output: {sidecar.name}, which goes beside the table, is that of {other}; choose another '
      'name'
    )
  if output.exists() and not sidecar.exists():
    raise UserError(
      f'--output: {output} exists and is not a table of predictions (without '
      f'{sidecar.name} beside it); choose another name'
    )
  if 'applied' in of_sidecar:
    raise UserError(f'--output: {output} was written by flaxart apply; choose another name')
  written = of_sidecar.get(CONTENT)
  if output.exists() and other == output.name and written not in (None, sha256(output)):
    raise UserError(
      f'--output: {output} has been edited since flaxart predict wrote it, perhaps with decisions; '
      'choose another name, or remove it'
    )
  if output.suffix.lower() == '.parquet' and importlib.util.find_spec('pyarrow') is None:
    raise UserError(
      f"--output: {output.name} needs pyarrow; pip install 'flaxart[parquet]', or choose .csv"
    )


def check_rows(output: Path, rows: int) -> None:
  """Raises `UserError` if a workbook may be too small for this many rows."""
  if output.suffix.lower() == '.xlsx' and rows > MOST_ROWS:
    raise UserError(
      f'--output: {output.name} may need {rows:,} rows, a workbook has {MOST_ROWS:,}; choose .csv '
      'or .parquet'
    )


def _object(path: Path) -> dict[str, Any]:
  """The object in a JSON file; empty if there is none."""
  try:
    found = strict_json.read(path)
  except (ValueError, OSError):
    return {}
  return found if isinstance(found, dict) else {}
