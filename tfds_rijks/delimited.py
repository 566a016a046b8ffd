"""Text tables: commas, semicolons, tabs or pipes, in any encoding that museum software writes."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tfds_rijks.errors import UserError
from tfds_rijks.table_size import MAX_BYTES, Growing

DELIMITERS = ',;\t|'
# From the byte order mark; without one, a table that is not UTF-8 is Windows-1252.
_MARKS = ((b'\xef\xbb\xbf', 'utf-8-sig'), (b'\xff\xfe', 'utf-16'), (b'\xfe\xff', 'utf-16'))
_ACCENTED = re.compile(r'[^\x00-\x7f\ufffd]')
_SEPARATOR = re.compile(r'sep=([,;\t|])\r?\n')  # a first line that Excel understands
# What is left of a UTF-8 character whose end was cut off, and a half of UTF-16 encoded like a whole
# one; no text in Windows-1252 has them: `André` cut after its first byte ends in a lower-case r and
# Ã, `€` in â‚, a curly quote in â€.
_HALF = re.compile(
  rb'(?<=[a-z])[\xc2\xc3](?![\x80-\xffA-Za-z])|\xe2[\x80\x82](?![\x80-\xbf])|\xf0\x9f'
  rb'|\xed[\xa0-\xbf][\x80-\xbf]'
)
_LINE = re.compile(r'[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z')
_SAMPLE = 1 << 20  # characters from which the delimiter is detected
_SAMPLE_ROWS = 50


def decode(data: bytes, *, path: Path) -> tuple[str, str]:
  """Bytes -> (text, encoding): by mark, else UTF-8, else Windows-1252."""
  encoding = next((name for mark, name in _MARKS if data.startswith(mark)), '')
  if not encoding:
    # UTF-16 without a mark: plain letters have a zero byte, always on the same side.
    even, odd = data[:4096:2].count(0), data[1:4096:2].count(0)
    if max(even, odd) > len(data[:4096]) // 4:
      encoding = 'utf-16-le' if odd > even else 'utf-16-be'
  try:
    return data.decode(encoding or 'utf-8'), encoding or 'utf-8'
  except UnicodeDecodeError as error:
    if encoding:
      line = data[: error.start].decode(encoding).count('\n') + 1
      raise UserError(
        f'{path}: line {line}: broken {encoding} at byte {error.start:,}, half a character; '
        'correct that line, or save the table as UTF-8'
      ) from None
    _refuse_half_characters(data, error, path=path)
  try:
    return data.decode('cp1252'), 'cp1252'
  except UnicodeDecodeError as error:
    raise UserError(
      f'{path}: line {_line(data, error.start)}: neither UTF-8 nor Windows-1252 '
      f'(byte {error.start:,}); save the table as UTF-8'
    ) from None


def _refuse_half_characters(data: bytes, first: UnicodeDecodeError, *, path: Path) -> None:
  """Raises `UserError` if `data`, which is not UTF-8, is UTF-8 with a broken character rather than
  Windows-1252; `first` is the error at the first place that is not UTF-8.
  """
  guessed = data.decode(errors='replace')
  if len(_ACCENTED.findall(guessed)) >= guessed.count('\ufffd'):
    raise UserError(
      f'{path}: line {_line(data, first.start)} is not UTF-8 like '
      f'the rest ({data[first.start : first.end]!r}); correct that line, or save the table as '
      'UTF-8'
    )
  half = _HALF.search(data)
  # At the very end, after nothing but ASCII, it may be either.
  found = half.start() if half else first.start if first.end == len(data) else None
  if found is not None and (half or 'unexpected end' in first.reason):
    raise UserError(
      f'{path}: line {_line(data, found)} has half a character ({data[found : found + 2]!r}), as '
      'if a longer text was cut; correct that line, or save the table as UTF-8'
    )


def _line(data: bytes, at: int) -> int:
  return data.count(b'\n', 0, at) + 1


class Row(NamedTuple):
  """A row with its line and its own text, line end included: the rows' texts make the whole."""

  line: int
  cells: list[str]
  text: str


def rows(text: str, *, path: Path) -> Iterator[tuple[int, list[str]]]:
  """(line, cells) of each row that is not empty; raises `UserError` for unpaired quotes.

  The delimiter is that of `sep=`, a tab in a `.tsv`, else the one that fits the first rows best.
  """
  size = Growing(path)
  for row in all_rows(text, path=path):
    if any(cell.strip() for cell in row.cells):
      size.add(row.cells)
      yield row.line, row.cells


def all_rows(text: str, *, path: Path) -> Iterator[Row]:
  """As `rows`, but every row: an empty one, and a line `sep=`, have no cells."""
  if '\0' in text:
    raise UserError(f'{path}: holds zero bytes, expected text; is it really a table?')
  said = _SEPARATOR.match(text)
  if said:
    yield Row(1, [], said[0])
    text = text[said.end() :]
  begun: list[str] = []  # lines of the row that is being read
  reader = _reader(text, said[1] if said else delimiter(text, path=path), begun)
  before = line = 1 + bool(said)
  try:
    for cells in reader:
      yield Row(line, cells, ''.join(begun))
      begun.clear()
      line = before + reader.line_num
  except csv.Error as error:
    raise UserError(
      f'{path}: line {line}: {error}; expected a table with quotes in pairs'
    ) from None


def delimiter(text: str, *, path: Path) -> str:
  """What separates the cells: said by `sep=`, a tab in a `.tsv`, else as found in the rows."""
  if said := _SEPARATOR.match(text):
    return said[1]
  return '\t' if path.suffix.lower() == '.tsv' else _delimiter(text)


def _delimiter(text: str) -> str:
  """Counts cells of the header, not characters: a quoted name may contain any of them.

  So may an unquoted name; then the following rows decide.
  """

  def fit(delimiter: str) -> tuple[bool, float, int]:
    widths: list[int] = []
    try:
      for row in _reader(text[:_SAMPLE], delimiter):
        if any(cell.strip() for cell in row):
          widths.append(len(row))
        if len(widths) == _SAMPLE_ROWS:
          break
    except csv.Error:
      pass  # an odd quote, perhaps where the sample ends
    if not widths:
      return False, 0.0, 0
    return widths[0] > 1, widths.count(widths[0]) / len(widths), widths[0]

  return max(DELIMITERS, key=fit)


def _reader(text: str, delimiter: str, begun: list[str] | None = None) -> Any:
  """A reader; it adds each line that it takes to `begun`."""
  csv.field_size_limit(MAX_BYTES)  # long text from OCR in an unused cell is not an error

  def lines() -> Iterator[str]:
    for match in _LINE.finditer(text):  # a StringIO holds four bytes a character
      if begun is not None:
        begun.append(match[0])
      yield match[0]

  return csv.reader(lines(), delimiter=delimiter, strict=True)
