"""Reads a sheet of .ods (OpenDocument 1.2 and 1.3) from its XML: values, and texts as shown."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from tfds_rijks.sheets import cells
from tfds_rijks.sheets.sheet import Merged, Sheet, choose

_TABLE = '{urn:oasis:names:tc:opendocument:xmlns:table:1.0}'
_OFFICE = '{urn:oasis:names:tc:opendocument:xmlns:office:1.0}'
_TEXT = '{urn:oasis:names:tc:opendocument:xmlns:text:1.0}'
_STYLE = '{urn:oasis:names:tc:opendocument:xmlns:style:1.0}'
_ROWS = 1 << 20
_COLUMNS = 1 << 14
# A whole number after zeros or a word that only its format shows: 007, BK-0007.
_PADDED = re.compile(r'[^\d.,]*\d+')


def read(book: zipfile.ZipFile, wanted: str, *, path: Path) -> Sheet:
  """The sheet `wanted`, or the first visible one."""
  with book.open('content.xml') as file:
    root = ET.parse(file).getroot()
  unseen = {
    style.get(f'{_STYLE}name')
    for style in root.iter(f'{_STYLE}style')
    for about in style.iter(f'{_STYLE}table-properties')
    if about.get(f'{_TABLE}display') == 'false'
  }
  tables = [
    table for book in root.iter(f'{_OFFICE}spreadsheet') for table in book.findall(f'{_TABLE}table')
  ]
  named = [
    (table.get(f'{_TABLE}name', ''), table.get(f'{_TABLE}style-name') not in unseen)
    for table in tables
  ]
  at, others = choose(named, wanted, path=path)
  rows: list[list[str]] = []
  merged: list[Merged] = []
  hidden = blank = 0
  for element in _rows(tables[at]):
    times = int(element.get(f'{_TABLE}number-rows-repeated', 1))
    row = _row(element, len(rows) + blank, merged)
    if not row:  # a million of them end a sheet
      blank += times
      continue
    if len(rows) + blank + times > _ROWS:
      raise ValueError(f'more than {_ROWS:,} rows')
    rows.extend([] for _ in range(blank))
    rows.extend(list(row) for _ in range(times))
    hidden += times * (element.get(f'{_TABLE}visibility', 'visible') != 'visible')
    blank = 0
  return Sheet(named[at][0], rows, merged, others, hidden)


def _rows(element: ET.Element) -> Iterator[ET.Element]:
  """The rows in order, from any groups."""
  for child in element:
    if child.tag == f'{_TABLE}table-row':
      yield child
    elif child.tag.startswith((f'{_TABLE}table-row', f'{_TABLE}table-header-rows')):
      yield from _rows(child)


def _row(element: ET.Element, top: int, merged: list[Merged]) -> list[str]:
  row: list[str] = []
  for cell in element:
    if cell.tag not in (f'{_TABLE}table-cell', f'{_TABLE}covered-table-cell'):
      continue
    times = int(cell.get(f'{_TABLE}number-columns-repeated', 1))
    text = '' if cell.tag == f'{_TABLE}covered-table-cell' else _cell(cell)
    down, across = (
      int(cell.get(f'{_TABLE}number-{what}-spanned', 1)) - 1 for what in ('rows', 'columns')
    )
    if down or across:
      merged.append(Merged(top, len(row), top + down, len(row) + across))
    if len(row) + times > _COLUMNS:
      raise ValueError(f'more than {_COLUMNS:,} columns')
    row.extend([text] * times)
  while row and not row[-1]:
    row.pop()
  return row


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
      parts.append(' ' * int(child.get(f'{_TEXT}c', 1)))
    elif child.tag in (f'{_TEXT}tab', f'{_TEXT}line-break'):
      parts.append('\n' if child.tag.endswith('break') else '\t')
    elif child.tag.startswith(_TEXT) and not child.tag.endswith('note'):
      parts.append(_shown(child))
    parts.append(child.tail or '')
  return ''.join(parts)
