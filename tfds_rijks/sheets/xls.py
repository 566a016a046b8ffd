"""Reads a sheet of .xls (Excel 97 to 2003) with xlrd, which reads formats and merged cells."""

from __future__ import annotations

import io
from pathlib import Path

import xlrd

from tfds_rijks.sheets import cells
from tfds_rijks.sheets.sheet import Merged, Sheet, choose
from tfds_rijks.table_size import check_size


def read(wanted: str, *, path: Path) -> Sheet:
  """The sheet `wanted`, or the first visible one."""
  with xlrd.open_workbook(path, logfile=io.StringIO(), formatting_info=True) as book:
    sheets = book.sheets()
    at, others = choose([(one.name, one.visibility == 0) for one in sheets], wanted, path=path)
    sheet = sheets[at]
    check_size(path, rows=sheet.nrows, columns=sheet.ncols)
    rows = [[_cell(book, cell) for cell in sheet.row(i)] for i in range(sheet.nrows)]
    check_size(path, characters=sum(len(cell) for row in rows for cell in row))
    hidden = sum(bool(row.hidden) for i, row in sheet.rowinfo_map.items() if i < sheet.nrows)
    merged = [Merged(t, left, b - 1, right - 1) for t, b, left, right in sheet.merged_cells]
  return Sheet(sheet.name, rows, merged, others, hidden)


def _cell(book: xlrd.Book, cell: xlrd.sheet.Cell) -> str:
  if cell.ctype in (xlrd.XL_CELL_EMPTY, xlrd.XL_CELL_BLANK):
    return ''
  if cell.ctype == xlrd.XL_CELL_TEXT:
    return str(cell.value)
  if cell.ctype == xlrd.XL_CELL_BOOLEAN:
    return 'TRUE' if cell.value else 'FALSE'
  if cell.ctype == xlrd.XL_CELL_ERROR:
    return xlrd.error_text_from_code.get(cell.value, '#REF!')
  shown = book.format_map[book.xf_list[cell.xf_index].format_key].format_str
  if cell.ctype == xlrd.XL_CELL_DATE:
    parts = cells.date_parts(shown) or 'ymd'
    return cells.date(cell.value, parts, since_1904=bool(book.datemode))
  return cells.number(cell.value, shown)
