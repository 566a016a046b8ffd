"""An export as a workbook (.xlsx): what openpyxl would lose is refused, new cells are text."""

from __future__ import annotations

import copy
import io
import re
import shutil
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flaxart.apply.export import Edits
from tfds_rijks.collection import table
from tfds_rijks.errors import UserError
from tfds_rijks.formulas import as_string, restore
from tfds_rijks.labels import normalise

ENDING = '.xlsx'
LONGEST = 32_767  # characters in a cell, by Excel's limit
# Parts of a workbook that openpyxl writes again, or makes new from others.
_KEPT = re.compile(
  r'\[Content_Types\]\.xml|_rels/\.rels|docProps/(app|core|custom)\.xml'
  r'|xl/(workbook|styles|sharedStrings|calcChain)\.xml|xl/_rels/workbook\.xml\.rels'
  r'|xl/theme/theme\d*\.xml|xl/theme/_rels/theme\d*\.xml\.rels'
  r'|xl/worksheets/[^/]+\.xml|xl/worksheets/_rels/[^/]+\.rels|xl/tables/table\d+\.xml'
  r'|xl/printerSettings/[^/]+\.bin|.*/'
)
_NAMES = {  # of other parts, in words
  'media': 'pictures',
  'drawings': 'pictures, drawings or comments',
  'charts': 'charts',
  'chartsheets': 'charts',
  'pivotTables': 'pivot tables',
  'pivotCache': 'pivot tables',
  'vbaProject.bin': 'macros',
  'embeddings': 'embedded files',
  'externalLinks': 'links to other workbooks',
  'connections.xml': 'connections to databases',
  'queryTables': 'connections to databases',
  'slicers': 'slicers',
  'persons': 'comments',
}
_IN_SHEETS = re.compile(rb'<(?:\w+:)?(f|extLst)[\s/>]')
_WORDS = {'f': 'formulas', 'extLst': 'sparklines or other extensions'}
_CONTROL = re.compile(r'[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]')  # not in XML
_CHUNK = 1 << 20


class WorkbookExport:
  """See `flaxart.apply.export.Export`."""

  def __init__(self, path: Path, *, sheet: str = ''):
    self.path = path
    self._content = table.restored(table.read(path, sheet=sheet))
    _refuse_losses(path)
    self.columns, self.lines = self._content.columns, self._content.lines

  def cells(self, columns: Sequence[str]) -> dict[str, list[str]]:
    return {name: [str(cell) for cell in self._content.column(name)] for name in columns}

  def check(self, text: str) -> None:
    if len(text) > LONGEST:
      raise UserError(
        f'{self.path}: a cell holds at most {LONGEST:,} characters; {text[:40]!r}... has '
        f'{len(text):,}'
      )
    if odd := _CONTROL.search(text):
      raise UserError(
        f'{self.path}: a workbook cannot hold the control character {odd[0]!r} in {text[:40]!r}; '
        'remove it from the decision'
      )

  def edited(self, added: Sequence[str], edits: Edits) -> bytes:
    if not added and not edits:
      return self.path.read_bytes()
    book = self._open()
    sheet = book[self._content.sheet]
    header = self._content.header
    names = {restore(normalise(str(cell.value))): cell.column for cell in sheet[header]}
    width = sheet.max_column
    while all(cell.value is None for (cell,) in sheet.iter_rows(min_col=width, max_col=width)):
      width -= 1  # a column with formats only
    for column, name in enumerate(added, start=width + 1):
      names[name] = column
      _write(sheet.cell(header, column), name)
      sheet.cell(header, column)._style = copy.copy(sheet.cell(header, width)._style)
    for place, cells in edits.items():
      for name, text in cells.items():
        if text:
          cell = sheet.cell(self.lines[place], names[name])
          if sheet.merged_cells.ranges and cell.coordinate in sheet.merged_cells:
            raise UserError(
              f'{self.path}: {cell.coordinate} is part of a merged cell, which is several records; '
              'split it, or leave --fill out'
            )
          _write(cell, text)
    return _saved(book)

  def _open(self) -> Any:
    import openpyxl

    with warnings.catch_warnings():
      warnings.simplefilter('error')
      warnings.filterwarnings('ignore', 'Workbook contains no default style')
      try:
        return openpyxl.load_workbook(self.path, rich_text=True)
      except Warning as lost:
        raise UserError(f'{self.path}: {lost}; {_ADVICE}') from None
      except Exception as error:  # whatever a damaged part makes openpyxl raise
        raise UserError(f'{self.path}: openpyxl cannot read it ({error}); {_ADVICE}') from None


_ADVICE = 'export the table without them, or as CSV'


def _refuse_losses(path: Path) -> None:
  """Raises `UserError` for a workbook with parts that openpyxl does not write again."""
  with zipfile.ZipFile(path) as book:
    for name in book.namelist():
      if not _KEPT.fullmatch(name):
        parts = name.split('/')
        what = next((_NAMES[part] for part in parts if part in _NAMES), name)
        raise UserError(f'{path}: has {what} ({name}), which openpyxl does not keep; {_ADVICE}')
      if name.startswith('xl/worksheets/') and (found := _in_sheet(book, name)):
        raise UserError(
          f'{path}: has {_WORDS[found]} ({name}), whose results openpyxl does not keep; '
          'export the table with values only, or as CSV'
        )


def _in_sheet(book: zipfile.ZipFile, name: str) -> str:
  """An element of the sheet that would lose something; '' if there is none."""
  before = b''
  with book.open(name) as file:
    while chunk := file.read(_CHUNK):
      if found := _IN_SHEETS.search(before + chunk):
        return found[1].decode()
      before = chunk[-40:]
  return ''


def _write(cell: Any, text: str) -> None:
  """Text in a cell, never a formula, also after somebody edits it."""
  cell.value, cell.data_type = as_string(text), 's'  # in this order: `=A1` would be a formula
  if text.startswith('='):
    cell.quotePrefix = True


class _Dated(zipfile.ZipFile):
  """A zip file without the time of writing, so that equal workbooks are equal files."""

  def write(self, filename: Any, arcname: Any = None, *_: Any) -> None:
    with Path(filename).open('rb') as source, self.open(_entry(str(arcname)), 'w') as target:
      shutil.copyfileobj(source, target)

  def writestr(self, zinfo_or_arcname: Any, data: Any, *_: Any) -> None:
    super().writestr(_entry(str(zinfo_or_arcname)), data)


def _entry(name: str) -> zipfile.ZipInfo:
  entry = zipfile.ZipInfo(name.lstrip('/'), (1980, 1, 1, 0, 0, 0))
  entry.compress_type = zipfile.ZIP_DEFLATED
  return entry


def _saved(book: Any) -> bytes:
  """The workbook, with the time of its last change as it was."""
  from openpyxl.writer.excel import ExcelWriter

  data = io.BytesIO()
  with _Dated(data, 'w', zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
    ExcelWriter(book, archive).write_data()
  return data.getvalue()
