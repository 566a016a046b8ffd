"""Workbooks for tests, of each kind that is read, from one description of their sheets."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import pytest

KINDS = ('xlsx', 'xls', 'ods')
NS = ' '.join(
  f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
  for name in ('office', 'table', 'text', 'style')
)


@dataclasses.dataclass(frozen=True)
class Styled:
  """A number and its format."""

  value: float
  format: str
  shown: str


@dataclasses.dataclass(frozen=True)
class Page:
  """A sheet: rows of cells, merged ranges (top, left, bottom, right), rows that a filter hides."""

  name: str
  rows: Sequence[Sequence[Any]]
  hidden: bool = False
  merged: Sequence[tuple[int, int, int, int]] = ()
  filtered: Sequence[int] = ()


def write(path: Path, *pages: Page) -> Path:
  path.parent.mkdir(parents=True, exist_ok=True)
  {'.xlsx': _xlsx, '.xls': _xls, '.ods': _ods}[path.suffix](path, pages)
  return path


def _xlsx(path: Path, pages: Sequence[Page]) -> None:
  book = pytest.importorskip('openpyxl').Workbook()
  book.remove(book.active)
  for page in pages:
    sheet = book.create_sheet(page.name)
    sheet.sheet_state = 'veryHidden' if page.hidden else 'visible'
    for i, row in enumerate(page.rows, start=1):
      for j, value in enumerate(row, start=1):
        cell = sheet.cell(i, j, value.value if isinstance(value, Styled) else value)
        if isinstance(value, Styled):
          cell.number_format = value.format
    for top, left, bottom, right in page.merged:
      sheet.merge_cells(None, top + 1, left + 1, bottom + 1, right + 1)
    for i in page.filtered:
      sheet.row_dimensions[i + 1].hidden = True
  book.save(path)


def _xls(path: Path, pages: Sequence[Page]) -> None:
  xlwt = pytest.importorskip('xlwt')
  book = xlwt.Workbook()
  day = xlwt.easyxf(num_format_str='yyyy-mm-dd')
  for page in pages:
    sheet = book.add_sheet(page.name)
    sheet.visibility = 2 if page.hidden else 0
    corners = {(top, left): (bottom, right) for top, left, bottom, right in page.merged}
    covered = {
      (i, j)
      for top, left, bottom, right in page.merged
      for i in range(top, bottom + 1)
      for j in range(left, right + 1)
    }
    for i, row in enumerate(page.rows):
      for j, value in enumerate(row):
        style = xlwt.easyxf(num_format_str=value.format) if isinstance(value, Styled) else None
        plain = value.value if isinstance(value, Styled) else value
        style = day if isinstance(value, date) else style or xlwt.Style.default_style
        if (i, j) in corners:
          bottom, right = corners[i, j]
          sheet.write_merge(i, bottom, j, right, plain, style)
        elif (i, j) not in covered and value is not None:
          sheet.write(i, j, plain, style)
      sheet.row(i).hidden = i in page.filtered
  book.active_sheet = next(i for i, page in enumerate(pages) if not page.hidden)
  book.save(path)


def _ods(path: Path, pages: Sequence[Page]) -> None:
  tables = []
  for page in pages:
    corners = {(top, left): (bottom, right) for top, left, bottom, right in page.merged}
    rows = []
    for i, row in enumerate(page.rows):
      cells = []
      for j, value in enumerate(row):
        span = ''
        if (i, j) in corners:
          bottom, right = corners[i, j]
          span = (
            f' table:number-rows-spanned="{bottom - i + 1}"'
            f' table:number-columns-spanned="{right - j + 1}"'
          )
        cells.append(_ods_cell(value, span))
      unseen = ' table:visibility="filter"' if i in page.filtered else ''
      rows.append(f'<table:table-row{unseen}>{"".join(cells)}</table:table-row>')
    rows.append('<table:table-row table:number-rows-repeated="1048000"><table:table-cell '
                'table:number-columns-repeated="16384"/></table:table-row>')  # fmt: skip
    style = 'off' if page.hidden else 'on'
    tables.append(
      f'<table:table table:name={quoteattr(page.name)} table:style-name="{style}">'
      f'{"".join(rows)}</table:table>'
    )
  styles = ''.join(
    f'<style:style style:name="{name}" style:family="table"><style:table-properties '
    f'table:display="{shown}"/></style:style>'
    for name, shown in (('on', 'true'), ('off', 'false'))
  )
  with zipfile.ZipFile(path, 'w') as file:
    file.writestr('mimetype', 'application/vnd.oasis.opendocument.spreadsheet')
    file.writestr(
      'content.xml',
      f'<office:document-content {NS}><office:automatic-styles>{styles}</office:automatic-styles>'
      f'<office:body><office:spreadsheet>{"".join(tables)}</office:spreadsheet></office:body>'
      '</office:document-content>',
    )


def _ods_cell(value: Any, span: str) -> str:
  kind, text = '', ''
  if isinstance(value, Styled):
    kind, text = f'office:value-type="float" office:value="{value.value}"', value.shown
  elif isinstance(value, bool):
    kind = f'office:value-type="boolean" office:boolean-value="{str(value).lower()}"'
    text = str(value).upper()
  elif isinstance(value, date):
    kind, text = f'office:value-type="date" office:date-value="{value}"', f'{value:%d-%m-%y}'
  elif isinstance(value, int | float):
    kind, text = f'office:value-type="float" office:value="{value}"', f'{value:,}'
  elif isinstance(value, str) and value.startswith('='):
    kind = f'table:formula={quoteattr(value)}'
  elif value is not None:
    kind, text = 'office:value-type="string"', value
  shown = f'<text:p>{escape(text)}</text:p>' if text else ''
  return f'<table:table-cell {kind}{span}>{shown}</table:table-cell>'
