"""Reads a sheet of .xlsx and .xlsm (ISO/IEC 29500, transitional and strict) from its XML.

The XML has all that a cell shows, and no available reader returns all of it: python-calamine drops
number formats and errors, openpyxl cannot distinguish a formula without a value from an empty one.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from xml.etree import ElementTree as ET

from tfds_rijks.sheets import cells
from tfds_rijks.sheets.sheet import Merged, Sheet, choose

# Built-in formats that are not in the file, as far as they matter here.
_DATES = {**dict.fromkeys((*range(14, 18), *range(27, 37), *range(50, 59)), 'yyyy-mm-dd')}
_BUILT_IN = {
  **_DATES,
  22: 'yyyy-mm-dd hh:mm',
  **dict.fromkeys((*range(18, 22), *range(45, 48)), 'hh:mm:ss'),
  11: '0.00E+00',
  48: '##0.0E+0',
}
MAX_ROWS = 1 << 20
_ESCAPED = re.compile('(?:_x[0-9A-Fa-f]{4}_)+')
_REFERENCE = re.compile(r'([A-Z]{1,3})([0-9]{1,7})')  # of at most 16,384 columns


def read(book: zipfile.ZipFile, wanted: str, *, path: Path) -> Sheet:
  """The sheet `wanted`, or the first visible one."""
  root = _parse(book, 'xl/workbook.xml')
  targets = {
    link.get('Id', ''): link.get('Target', '')
    for link in _parse(book, 'xl/_rels/workbook.xml.rels')
    if link.get('Type', '').endswith('/worksheet')
  }
  sheets = [
    (element.get('name', ''), element.get('state', 'visible') == 'visible', targets[link])
    for element in _each(root, 'sheet')
    for link in (value for key, value in element.items() if _local(key) == 'id')
    if link in targets  # the others are charts
  ]
  at, others = choose([(name, visible) for name, visible, _ in sheets], wanted, path=path)
  about = next(_each(root, 'workbookPr'), None)
  since_1904 = about is not None and about.get('date1904') in ('1', 'true')
  reader = _Reader(_texts(book), _formats(book), since_1904)
  target = sheets[at][2]
  with book.open(target.lstrip('/') if target.startswith('/') else f'xl/{target}') as file:
    rows, merged, hidden = reader.read(file)
  return Sheet(sheets[at][0], rows, merged, others, hidden)


class _Reader:
  """Converts cells to text, with the texts and formats of the workbook."""

  def __init__(self, texts: list[str], formats: list[str], since_1904: bool):
    self.texts, self.formats, self.since_1904 = texts, formats, since_1904
    self.dates = [cells.date_parts(one) for one in formats]

  def read(self, file: IO[bytes]) -> tuple[list[list[str]], list[Merged], int]:
    """(rows, merged ranges, number of hidden rows) of a sheet."""
    rows: list[list[str]] = []
    merged, hidden = [], 0
    for _, element in ET.iterparse(file):
      tag = _local(element.tag)
      if tag == 'row':
        place = int(element.get('r', len(rows) + 1))
        if not 0 < place <= MAX_ROWS:
          raise ValueError(f'row {place}')
        rows.extend([] for _ in range(place - len(rows)))
        rows[place - 1] = self.row(element)
        hidden += element.get('hidden') in ('1', 'true')
        element.clear()
      elif tag == 'mergeCell':
        corners = [_place(corner) for corner in element.get('ref', '').split(':')]
        merged.append(Merged(*corners[0], *corners[-1]))
    return rows, merged, hidden

  def row(self, element: ET.Element) -> list[str]:
    row: list[str] = []
    for cell in element:
      if _local(cell.tag) != 'c':
        continue
      column = _place(cell.get('r', ''))[1] if cell.get('r') else len(row)
      row.extend('' for _ in range(column + 1 - len(row)))
      row[column] = self.cell(cell)
    return row

  def cell(self, cell: ET.Element) -> str:
    kind, parts = cell.get('t', 'n'), {_local(part.tag): part for part in cell}
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


def _texts(book: zipfile.ZipFile) -> list[str]:
  if 'xl/sharedStrings.xml' not in book.namelist():
    return []
  return [_text(element) for element in _each(_parse(book, 'xl/sharedStrings.xml'), 'si')]


def _formats(book: zipfile.ZipFile) -> list[str]:
  """The number format of each cell style."""
  if 'xl/styles.xml' not in book.namelist():
    return []
  root = _parse(book, 'xl/styles.xml')
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
    for part in ([run] if _local(run.tag) == 't' else run if _local(run.tag) == 'r' else ())
    if _local(part.tag) == 't'
  )
  return _unescape(''.join(parts))


def _unescape(text: str) -> str:
  """`_x000D_` is a character that XML cannot hold, `_x005F_` an escaped `_`."""
  if '_x' not in text:
    return text
  return _ESCAPED.sub(
    lambda match: bytes.fromhex(''.join(re.findall('_x(....)_', match[0])))
    .decode('utf-16-be', errors='replace'),
    text,
  )  # fmt: skip


def _place(reference: str) -> tuple[int, int]:
  """`B7` -> (6, 1)."""
  match = _REFERENCE.fullmatch(reference.replace('$', ''))
  if match is None:
    raise ValueError(f'{reference!r} is not a cell')
  column = 0
  for letter in match[1]:
    column = column * 26 + ord(letter) - 64
  return int(match[2]) - 1, column - 1


def _parse(book: zipfile.ZipFile, name: str) -> ET.Element:
  with book.open(name) as file:
    return ET.parse(file).getroot()


def _each(root: ET.Element, tag: str) -> Iterator[ET.Element]:
  return (element for element in root.iter() if _local(element.tag) == tag)


def _local(tag: str) -> str:
  return tag.rpartition('}')[2]
