"""An export as CSV or TSV, written back byte for byte around the new cells."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from flaxart.apply.export import Edits
from tfds_rijks.delimited import Row, all_rows, decode, delimiter
from tfds_rijks.errors import UserError
from tfds_rijks.formulas import defuse, restore
from tfds_rijks.labels import normalise

ENDINGS = ('.csv', '.tsv', '.txt')
_MARKS = ((b'\xef\xbb\xbf', 'utf-8'), (b'\xff\xfe', 'utf-16-le'), (b'\xfe\xff', 'utf-16-be'))
_SAMPLE = 200  # rows that show how cells are quoted
_NUMBER = re.compile(r'[-+]?\d+(?:[.,]\d+)*')


class TextExport:
  """See `flaxart.apply.export.Export`."""

  def __init__(self, path: Path):
    self.path = path
    data = path.read_bytes()
    self._text, name = decode(data, path=path)
    marked = (one for one in _MARKS if data.startswith(one[0]))
    self._mark, self._encoding = next(marked, (b'', name))
    if self._mark + self._text.encode(self._encoding) != data:
      raise UserError(f'{path}: cannot be written back byte for byte; save it as UTF-8')
    self._delimiter = delimiter(self._text, path=path)
    header = next((row for row in all_rows(self._text, path=path) if _filled(row)), None)
    if header is None:
      raise UserError(f'{path}: the table is empty; expected a header and one row per record')
    self._header = header
    self.columns = [restore(normalise(name)) for name in header.cells]
    self._cell = re.compile(rf'("(?:[^"]|"")*"|[^{re.escape(self._delimiter)}\r\n]*)')
    self.lines = [row.line for row, place in self._rows() if place is not None]
    self._quotes_texts, self._quotes_empty = self._quoting()

  def cells(self, columns: Sequence[str]) -> dict[str, list[str]]:
    at = {name: self.columns.index(name) for name in columns}
    found: dict[str, list[str]] = {name: [] for name in columns}
    for row, place in self._rows():
      if place is not None:
        for name, i in at.items():
          found[name].append(restore(row.cells[i]))
    return found

  def check(self, text: str) -> None:
    try:
      text.encode(self._encoding)
    except UnicodeEncodeError as error:
      raise UserError(
        f'{self.path}: is {self._encoding}, which has no {text[error.start]!r} as in {text!r}; '
        'save the export as UTF-8'
      ) from None

  def edited(self, added: Sequence[str], edits: Edits) -> bytes:
    at = {name: self.columns.index(name) for name in self.columns}
    parts: list[str] = []
    for row, place in self._rows():
      if row is self._header or place is not None:
        new = edits.get(place, {}) if place is not None else {name: name for name in added}
        text = self._filled_in(row.text, {at[name]: new[name] for name in new if name in at})
        parts.append(self._extended(text, [new.get(name, '') for name in added]))
      else:
        parts.append(row.text)
    return self._mark + ''.join(parts).encode(self._encoding)

  def _rows(self) -> Iterator[tuple[Row, int | None]]:
    """All rows; records with their places, header and empty rows with None."""
    place = 0
    for row in all_rows(self._text, path=self.path):
      if row.line == self._header.line:
        yield self._header, None
      elif not _filled(row):
        yield row, None
      elif len(row.cells) != len(self._header.cells):
        raise UserError(
          f'{self.path}: line {row.line} has {len(row.cells)} cells, the header has '
          f'{len(self._header.cells)}; quote cells that contain the delimiter or a line end'
        )
      else:
        yield row, place
        place += 1

  def _quoting(self) -> tuple[bool, bool]:
    """Whether all texts are quoted, and whether empty cells are, as far as the first rows show."""
    sample = (row for row, place in self._rows() if place is not None)
    rows = [self._header.text, *(row.text for row in itertools.islice(sample, _SAMPLE))]
    found = [text[a:b] for text in rows for a, b in self._spans(text)]
    texts = [one for one in found if one and one != '""' and not _NUMBER.fullmatch(one)]
    empty = [one for one in found if one in ('', '""')]
    quotes_texts = bool(texts) and all(one.startswith('"') for one in texts)
    return quotes_texts, all(empty) if empty else quotes_texts

  def _spans(self, text: str) -> list[tuple[int, int]]:
    """Where the cells of a row are in its text."""
    spans, at = [], 0
    while True:
      cell = self._cell.match(text, at)
      assert cell is not None  # it may be empty
      spans.append(cell.span())
      if text[cell.end() : cell.end() + 1] != self._delimiter:
        return spans
      at = cell.end() + 1

  def _filled_in(self, text: str, new: dict[int, str]) -> str:
    """A row's text with other cells at the places `new`."""
    if new:
      spans = self._spans(text)
      for i in sorted(new, reverse=True):
        a, b = spans[i]
        text = text[:a] + self._as_cell(new[i]) + text[b:]
    return text

  def _extended(self, text: str, new: Sequence[str]) -> str:
    """A row's text with more cells before its line end."""
    end = next((end for end in ('\r\n', '\n', '\r') if text.endswith(end)), '')
    cells = ''.join(self._delimiter + self._as_cell(one) for one in new)
    return text.removesuffix(end) + cells + end

  def _as_cell(self, text: str) -> str:
    text = defuse(text)
    must = any(c in text for c in (self._delimiter, '"', '\r', '\n')) or text != text.strip()
    quoted = must or (self._quotes_texts if text else self._quotes_empty)
    return '"' + text.replace('"', '""') + '"' if quoted else text


def _filled(row: Row) -> bool:
  return any(cell.strip() for cell in row.cells)
