"""Reads a sheet of .xlsx and .xlsm (ISO/IEC 29500, transitional and strict) from its XML.

The XML has all that a cell shows, and no available reader returns all of it: python-calamine drops
number formats and errors, openpyxl cannot distinguish a formula without a value from an empty one.
"""

from __future__ import annotations

import functools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from tfds_rijks.errors import UserError
from tfds_rijks.sheets import cells, pieces
from tfds_rijks.sheets.sheet import Merged, Sheet, choose
from tfds_rijks.table_size import Growing, check_size

# Built-in formats that are not in the file, as far as they matter here.
_DATES = {**dict.fromkeys((*range(14, 18), *range(27, 37), *range(50, 59)), 'yyyy-mm-dd')}
_BUILT_IN = {
  **_DATES,
  22: 'yyyy-mm-dd hh:mm',
  **dict.fromkeys((*range(18, 22), *range(45, 48)), 'hh:mm:ss'),
  11: '0.00E+00',
  48: '##0.0E+0',
}
MAX_ROWS = 1 << 20  # of a sheet
MAX_PART = 32 << 20  # bytes of styles and the list of sheets, which are read as trees
_ESCAPED = re.compile('(?:_x[0-9A-Fa-f]{4}_)+')
_REFERENCE = re.compile(r'([A-Z]{1,3})([0-9]{1,7})')  # of at most 16,384 columns


def read(book: zipfile.ZipFile, wanted: str, *, path: Path) -> Sheet:
  """The sheet `wanted`, or the first visible one."""
  root = _parse(book, 'xl/workbook.xml', path)
  targets = {
    link.get('Id', ''): link.get('Target', '')
    for link in _parse(book, 'xl/_rels/workbook.xml.rels', path)
    if link.get('Type', '').endswith('/worksheet')
  }
  sheets = [
    (element.get('name', ''), element.get('state', 'visible') == 'visible', targets[link])
    for element in _each(root, 'sheet')
    for link in (value for key, value in element.items() if local(key) == 'id')
    if link in targets  # the others are charts
  ]
  at, others = choose([(name, visible) for name, visible, _ in sheets], wanted, path=path)
  about = next(_each(root, 'workbookPr'), None)
  since_1904 = about is not None and about.get('date1904') in ('1', 'true')
  target = sheets[at][2]
  with book.open(target.lstrip('/') if target.startswith('/') else f'xl/{target}') as file:
    reader = _Reader(_texts(book, path), _formats(book, path), since_1904, path)
    pieces.read(file, reader)
  return Sheet(sheets[at][0], reader.rows, reader.merged, others, reader.hidden)


class _Reader:
  """Reads the rows of a sheet as text, with the texts and formats of the workbook.

  `rows` without empty cells at their ends; `hidden` counts hidden rows.
  """

  def __init__(self, texts: list[str], formats: list[str], since_1904: bool, path: Path):
    self.texts, self.formats, self.since_1904 = texts, formats, since_1904
    self.dates = [cells.date_parts(one) for one in formats]
    self.rows: list[list[str]] = []
    self.merged: list[Merged] = []
    self.hidden = 0
    self.path, self.size = path, Growing(path)
    self.row: list[str] = []
    self.place = self.read = 0

  def start(self, tag: str, attributes: dict[str, str]) -> bool:
    """Begins a row; asks for cells and merged ranges."""
    tag = local(tag)
    if tag == 'row':
      self.place = int(attributes.get('r', len(self.rows) + 1))
      if not 0 < self.place <= MAX_ROWS:
        raise ValueError(f'row {self.place:,} of at most {MAX_ROWS:,}')
      self.row, self.read = [], 0
      self.hidden += attributes.get('hidden') in ('1', 'true')
    return tag in ('c', 'mergeCell')

  def piece(self, element: ET.Element) -> None:
    """Adds a cell to the row, or a merged range."""
    if local(element.tag) == 'mergeCell':
      corners = [_place(corner) for corner in element.get('ref', '').split(':')]
      self.merged.append(Merged(*corners[0], *corners[-1]))
      return
    column = _place(element.get('r', ''))[1] if element.get('r') else len(self.row)
    self.read += 1
    check_size(self.path, columns=max(self.read, column + 1))
    self.row.extend('' for _ in range(column + 1 - len(self.row)))
    self.row[column] = self.cell(element)

  def end(self, tag: str) -> None:
    """Puts a finished row in its place."""
    if local(tag) != 'row':
      return
    while self.row and not self.row[-1]:
      self.row.pop()
    if self.row:
      self.size.add(self.row)
    self.rows.extend([] for _ in range(self.place - len(self.rows)))
    self.rows[self.place - 1] = self.row

  def cell(self, cell: ET.Element) -> str:
    kind, parts = cell.get('t', 'n'), {local(part.tag): part for part in cell}
    if kind == 'inlineStr':
      return _text(parts['is']) if 'is' in parts else ''
    value = parts['v'].text or '' if 'v' in parts else ''
    if not value:  # of a formula with an empty text, as t says
      return cells.NO_VALUE if 'f' in parts and kind != 'str' else ''
    if kind == 's':
      return self.texts[int(value)]
    if kind == 'b':
      return 'TRUE' if value == '1' else 'FALSE'
    if kind == 'd':
      return cells.Remade(value)
    if kind != 'n':
      return _unescape(value)  # the result of a formula, or #REF!
    style = int(cell.get('s', 0))
    if style < len(self.dates) and self.dates[style]:
      return cells.date(float(value), self.dates[style], since_1904=self.since_1904)
    return cells.number(float(value), self.formats[style] if style < len(self.formats) else '')


class _Texts:
  """Reads the texts that cells share."""

  def __init__(self, path: Path):
    self.path, self.texts, self.characters = path, list[str](), 0

  def start(self, tag: str, attributes: dict[str, str]) -> bool:
    """Asks for each text."""
    return local(tag) == 'si'

  def piece(self, element: ET.Element) -> None:
    """Adds a text."""
    self.texts.append(_text(element))
    self.characters += len(self.texts[-1])
    check_size(self.path, rows=len(self.texts), characters=self.characters)

  def end(self, tag: str) -> None:
    """Only texts count."""


def _texts(book: zipfile.ZipFile, path: Path) -> list[str]:
  reader = _Texts(path)
  if 'xl/sharedStrings.xml' in book.namelist():
    with book.open('xl/sharedStrings.xml') as file:
      pieces.read(file, reader)
  return reader.texts


def _formats(book: zipfile.ZipFile, path: Path) -> list[str]:
  """The number format of each cell style."""
  if 'xl/styles.xml' not in book.namelist():
    return []
  root = _parse(book, 'xl/styles.xml', path)
  written = {
    int(element.get('numFmtId', 0)): element.get('formatCode', '')
    for element in _each(root, 'numFmt')
  }
  styles = next(_each(root, 'cellXfs'), ())
  ids = (int(style.get('numFmtId', 0)) for style in styles)
  return [written.get(one, _BUILT_IN.get(one, '')) for one in ids]


def _text(element: ET.Element) -> str:
  """The text of a cell from all its runs, without phonetic readings."""
  parts = (
    part.text or ''
    for run in element
    for part in ([run] if local(run.tag) == 't' else run if local(run.tag) == 'r' else ())
    if local(part.tag) == 't'
  )
  return _unescape(''.join(parts))


def _unescape(text: str) -> str:
  """`_x000D_` is a character that XML cannot hold, `_x005F_` an escaped `_`."""
  if '_x' not in text:
    return text
  try:
    return _ESCAPED.sub(
      lambda match: bytes.fromhex(''.join(re.findall('_x(....)_', match[0]))).decode('utf-16-be'),
      text,
    )
  except UnicodeDecodeError:
    return cells.HALF


def _place(reference: str) -> tuple[int, int]:
  """`B7` -> (6, 1)."""
  match = _REFERENCE.fullmatch(reference.replace('$', ''))
  if match is None:
    raise ValueError(f'{reference!r} is not a cell')
  column = 0
  for letter in match[1]:
    column = column * 26 + ord(letter) - 64
  return int(match[2]) - 1, column - 1


def _parse(book: zipfile.ZipFile, name: str, path: Path) -> ET.Element:
  """The whole tree of a part that is small in every workbook."""
  if (size := book.getinfo(name).file_size) > MAX_PART:
    raise UserError(
      f'{path}: {name} has {size:,} bytes; expected at most {MAX_PART:,}; save the table as CSV'
    )
  with book.open(name) as file:
    return ET.parse(file).getroot()


def _each(root: ET.Element, tag: str) -> Iterator[ET.Element]:
  return (element for element in root.iter() if local(element.tag) == tag)


@functools.lru_cache(1000)
def local(tag: str) -> str:
  """The name without its namespace, of which there are two in use."""
  return tag.rpartition('}')[2]
