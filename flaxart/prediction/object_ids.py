"""Matches pictures and records of a museum by the rules of `tfds_rijks.prepare`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from tfds_rijks.collection import matching, table
from tfds_rijks.collection.column_names import Names
from tfds_rijks.errors import UserError
from tfds_rijks.labels import normalise


@dataclasses.dataclass(frozen=True)
class RecordNumbers:
  """The source of record numbers: a column of a table, or the pictures themselves.

  Attributes: `metadata` a table of any kind that `tfds_rijks.prepare` reads, `sheet` of a workbook;
  `id_column` and `image_column` of it; `match` how a picture finds its row (by default `path` if
  the table names files, else `stem`). Without a table the number is in the file name (`stem`) or
  in a field inside the file (`iptc:...`, `xmp:...`).
  """

  metadata: str | None = None
  id_column: str | None = None
  match: str | None = None
  image_column: str | None = None
  sheet: str | None = None

  def __bool__(self) -> bool:
    return bool(self.metadata or self.match)

  def check(self) -> None:
    """Raises `UserError` for options that do not go together."""
    if bool(self.metadata) != bool(self.id_column):
      raise UserError('--metadata and --id_column go together: the file, and its column of numbers')
    if self.match:
      matching.embedded_field(self.match)  # raises for an unknown rule
    for flag, given in (
      ('match', self.match if self.match == matching.PATH else ''),
      ('image_column', self.image_column),
      ('sheet', self.sheet),
    ):
      if given and not self.metadata:
        raise UserError(f'--{flag}={given} needs --metadata: the table with the numbers')

  def of(self, paths: Sequence[str], *, folder: Path) -> dict[str, str]:
    """`{picture: record number as text}`; ambiguous pictures are left out.

    Numbers stay text, leading zeros included; `paths` are relative to `folder`.
    """
    if self.metadata and self.id_column:
      return self._of_table(Path(self.metadata), paths, folder=folder)
    return matching.without_table(paths, self.match or matching.STEM, folder=folder)

  def _of_table(self, file: Path, paths: Sequence[str], *, folder: Path) -> dict[str, str]:
    if not file.is_file():
      raise UserError(f'--metadata: {file} is not a file; give the table with the numbers')
    try:
      content = table.restored(table.read(file, sheet=self.sheet or ''))
    except OSError as error:
      raise UserError(
        f'--metadata: {file} cannot be read ({error.strerror}); give the table with the numbers'
      ) from None
    names_files = bool(Names(content).image(self.image_column))
    match = self.match or (matching.PATH if names_files else matching.STEM)
    by = matching.rule(content, match, id_column=self.id_column, image_column=self.image_column)
    table.without_errors(content, [by.id_column])
    table.check_ids(content, by.id_column)
    rows = matching.rows_of(content, paths, by, folder=folder)
    numbers = [_text(cell) for cell in content.column(by.id_column)]
    meant = {path: {numbers[i] for i in found} for path, found in rows.items()}
    return {path: next(iter(found)) for path, found in meant.items() if len(found) == 1}


def _text(cell: table.Cell) -> str:
  return normalise(cell if isinstance(cell, str) else ' '.join(cell))
