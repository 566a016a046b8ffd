"""What is asked of `flaxart predict`, checked before anything is read."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

from flaxart.prediction import display_names
from flaxart.prediction.object_ids import RecordNumbers
from flaxart.prediction.output import Dialect, check_output
from tfds_rijks.errors import UserError
from tfds_rijks.seal import sha256

NO_NUMBERS = RecordNumbers()
PLAIN = Dialect()


@dataclasses.dataclass(frozen=True)
class Options:
  """`per` picture or object; `form` wide or long; `precision` that decisions aim at, by default the
  run's; `names` a table of identifiers; `dialect` of a CSV.
  """

  per: str = 'picture'
  form: str = 'wide'
  precision: float | None = None
  names: Path | None = None
  dialect: Dialect = PLAIN
  batch_size: int = 32


DEFAULT = Options()


@dataclasses.dataclass(frozen=True)
class Request:
  """A run, a folder of pictures, and the table to write about them."""

  workdir: Path
  images: Path
  output: Path
  numbers: RecordNumbers
  options: Options

  def check(self) -> None:
    """Raises `UserError` for options that mean nothing or do not go together, and for an output
    that cannot be written.
    """
    options = self.options
    if options.batch_size < 1:
      raise UserError(f'--batch_size: found {options.batch_size}, expected 1 or more')
    if options.precision is not None and not 0 < options.precision <= 1:
      raise UserError(
        f'--precision: found {options.precision:g}, expected a fraction above 0 and at most 1, '
        'such as 0.8'
      )
    self.numbers.check()
    if options.per == 'object' and not self.numbers:
      raise UserError(
        '--per=object needs --metadata and --id_column, or --match, to know which pictures '
        'are one object'
      )
    check_output(self.output, metadata=self.numbers.metadata)
    if options.dialect != PLAIN and self.output.suffix.lower() != '.csv':
      raise UserError(
        f'--output: {self.output.name} stores numbers as numbers; --locale, --delimiter and '
        '--decimal are for .csv'
      )

  @functools.cached_property  # these three: read once, before the work
  def names(self) -> Path | None:
    """The table of identifiers: that of the options, else that of the run, if it has one."""
    return display_names.find(self.workdir, self.options.names)

  @functools.cached_property
  def export(self) -> dict[str, str] | None:
    """Name and hash of the table with the record numbers, to recognise it again."""
    if not self.numbers.metadata:
      return None
    path = Path(self.numbers.metadata)
    return {'name': path.name, 'sha256': sha256(path)}

  @functools.cached_property
  def settings(self) -> dict[str, str | None]:
    """All options that the answers and the table depend on, by their names on the command line."""
    options, names, export = self.options, self.names, self.export
    return {
      'per': options.per,
      'form': options.form,
      'precision': None if options.precision is None else f'{options.precision:g}',
      'display_names': f'{names.name} (SHA-256 {sha256(names)[:12]})' if names else None,
      'metadata': f'{export["name"]} (SHA-256 {export["sha256"][:12]})' if export else None,
      'id_column': self.numbers.id_column,
      'image_column': self.numbers.image_column,
      'match': self.numbers.match,
      'sheet': self.numbers.sheet,
      'delimiter': repr(options.dialect.delimiter),
      'decimal': repr(options.dialect.decimal),
    }
