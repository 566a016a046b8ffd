"""Reads a sheet of .ods (OpenDocument 1.2 and 1.3) from its XML: values, and texts as shown."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree as ET

from tfds_rijks.sheets import cells, pieces
from tfds_rijks.sheets.sheet import Merged, Sheet, choose
from tfds_rijks.table_size import Growing, check_size

_TABLE = '{urn:oasis:names:tc:opendocument:xmlns:table:1.0}'
_OFFICE = '{urn:oasis:names:tc:opendocument:xmlns:office:1.0}'
_TEXT = '{urn:oasis:names:tc:opendocument:xmlns:text:1.0}'
_STYLE = '{urn:oasis:names:tc:opendocument:xmlns:style:1.0}'
_ROWS = 1 << 20
_BLANKS = 1 << 15  # in one place; spreadsheet cells hold at most 32,767 characters
_SHEET, _COVERED = f'{_TABLE}table', f'{_TABLE}covered-table-cell'
# A whole number after zeros or a word that only its format shows: 007, BK-0007.
_PADDED = re.compile(r'[^\d.,]*\d+')


def read(book: zipfile.ZipFile, wanted: str, *, path: Path) -> Sheet:
  """The sheet `wanted`, or the first visible one."""
  overview = _Overview()
  with book.open('content.xml') as file:
    pieces.read(file, overview)
  named = [(name, style not in overview.unseen) for name, style in overview.tables]
  at, others = choose(named, wanted, path=path)
  reader = _Reader(at, path)
  with book.open('content.xml') as file:
    pieces.read(file, reader)
  return Sheet(named[at][0], reader.rows, reader.merged, others, reader.hidden)


class _Tables:
  """Follows the sheets of a document, without tables inside cells."""

  def __init__(self) -> None:
    self.inside = False  # a spreadsheet, and not one of its tables
    self.depth = 0  # of tables
    self.count = 0

  def start(self, tag: str, attributes: dict[str, str]) -> bool:
    """Counts a sheet when it starts."""
    self.inside |= tag == f'{_OFFICE}spreadsheet'
    if tag == _SHEET and self.inside:
      self.depth += 1
      self.count += self.depth == 1
    return False

  def end(self, tag: str) -> None:
    """Leaves a sheet."""
    if tag == _SHEET and self.inside:
      self.depth -= 1
    elif tag == f'{_OFFICE}spreadsheet':
      self.inside = False


class _Overview(_Tables):
  """Reads the (name, style) of each sheet, and the styles whose sheets are not shown."""

  def __init__(self) -> None:
    super().__init__()
    self.tables: list[tuple[str, str | None]] = []
    self.unseen: set[str | None] = set()

  def start(self, tag: str, attributes: dict[str, str]) -> bool:
    """Notes a sheet; asks for styles."""
    super().start(tag, attributes)
    if tag == _SHEET and self.depth == 1:
      style = attributes.get(f'{_TABLE}style-name')
      self.tables.append((attributes.get(f'{_TABLE}name', ''), style))
    return tag == f'{_STYLE}style'

  def piece(self, element: ET.Element) -> None:
    """Notes a style that hides."""
    if any(
      about.get(f'{_TABLE}display') == 'false'
      for about in element.iter(f'{_STYLE}table-properties')
    ):
      self.unseen.add(element.get(f'{_STYLE}name'))


class _Reader(_Tables):
  """Reads the rows of sheet number `at` as text, without empty cells at their ends."""

  def __init__(self, at: int, path: Path):
    super().__init__()
    self.rows: list[list[str]] = []
    self.merged: list[Merged] = []
    self.hidden = 0
    self.at, self.path, self.size = at, path, Growing(path)
    self.row: list[str] = []
    self.blank = self.times = 0  # empty rows before this one, and how often it is repeated
    self.shown = True

  def start(self, tag: str, attributes: dict[str, str]) -> bool:
    """Begins a row; asks for the cells of the sheet."""
    super().start(tag, attributes)
    if self.count != self.at + 1 or self.depth != 1:
      return False
    if tag == f'{_TABLE}table-row':
      self.row, self.times = [], int(attributes.get(f'{_TABLE}number-rows-repeated', 1))
      self.shown = attributes.get(f'{_TABLE}visibility', 'visible') == 'visible'
    return tag in (f'{_TABLE}table-cell', _COVERED)

  def piece(self, element: ET.Element) -> None:
    """Adds a cell to the row."""
    times = int(element.get(f'{_TABLE}number-columns-repeated', 1))
    text = '' if element.tag == _COVERED else _cell(element)
    down, across = (
      int(element.get(f'{_TABLE}number-{what}-spanned', 1)) - 1 for what in ('rows', 'columns')
    )
    if down or across:
      top, left = len(self.rows) + self.blank, len(self.row)
      self.merged.append(Merged(top, left, top + down, left + across))
    check_size(self.path, columns=len(self.row) + times)
    self.row.extend([text] * times)

  def end(self, tag: str) -> None:
    """Adds a finished row, as often as it is repeated."""
    super().end(tag)
    if tag != f'{_TABLE}table-row' or self.count != self.at + 1 or self.depth != 1:
      return
    while self.row and not self.row[-1]:
      self.row.pop()
    if not self.row:  # a million of them end a sheet
      self.blank += self.times
      return
    if len(self.rows) + self.blank + self.times > _ROWS:
      raise ValueError(f'more than {_ROWS:,} rows')
    self.size.add(self.row, times=self.times)
    self.rows.extend([] for _ in range(self.blank))
    self.rows.extend(list(self.row) for _ in range(self.times))
    self.hidden += self.times * (not self.shown)
    self.blank = 0


def _cell(cell: ET.Element) -> str:
  kind = cell.get(f'{_OFFICE}value-type', '')
  shown = '\n'.join(_shown(part) for part in cell.findall(f'{_TEXT}p'))
  if not kind:
    return shown or (cells.NO_VALUE if cell.get(f'{_TABLE}formula') else '')
  if shown.startswith(('#', 'Err:')):  # of a failed formula
    return shown
  if kind == 'boolean':
    return cell.get(f'{_OFFICE}boolean-value', '').upper()
  if kind == 'date':
    return cells.Remade(cell.get(f'{_OFFICE}date-value', '').replace('T', ' '))
  if kind == 'time':
    return cells.Remade(shown)
  if kind == 'string':
    return cell.get(f'{_OFFICE}string-value', shown)
  value = float(cell.get(f'{_OFFICE}value', 'nan'))
  if kind == 'float' and _PADDED.fullmatch(shown) and int(re.sub(r'\D', '', shown)) == value:
    return shown
  return cells.number(value, 'E+' if 'E+' in shown.upper() else '')


def _shown(element: ET.Element) -> str:
  """The text of a paragraph; blanks, tabs and line ends are elements."""
  parts = [element.text or '']
  for child in element:
    if child.tag == f'{_TEXT}s':
      parts.append(' ' * min(_BLANKS, int(child.get(f'{_TEXT}c', 1))))
    elif child.tag in (f'{_TEXT}tab', f'{_TEXT}line-break'):
      parts.append('\n' if child.tag.endswith('break') else '\t')
    elif child.tag.startswith(_TEXT) and not child.tag.endswith('note'):
      parts.append(_shown(child))
    parts.append(child.tail or '')
  return ''.join(parts)
