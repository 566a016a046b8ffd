"""One sheet of a workbook, whose kind follows from its content, not its name."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from xml.etree import ElementTree as ET

from tfds_rijks.errors import UserError
from tfds_rijks.sheets import ooxml, opendocument
from tfds_rijks.sheets.sheet import Sheet
from tfds_rijks.table_size import check_unpacked

ENDINGS = ('.xlsx', '.xlsm', '.xls', '.ods')
_COMPOUND = b'\xd0\xcf\x11\xe0'  # .xls, or a workbook with a password
_DAMAGE = (
  zipfile.BadZipFile,
  zlib.error,
  ET.ParseError,
  struct.error,
  EOFError,
  LookupError,
  ValueError,
  NotImplementedError,
  RuntimeError,  # a zip file with a password
  AssertionError,
)


def read(path: Path, wanted: str = '') -> Sheet:
  """The sheet `wanted`, or the first visible one; `UserError` if it is not a workbook."""
  with path.open('rb') as file:
    start = file.read(512)
  try:
    if start.startswith(_COMPOUND):
      return _compound(path, wanted)
    if start.startswith(b'PK'):
      with zipfile.ZipFile(path) as book:
        return _zipped(book, wanted, path=path)
  except _DAMAGE as error:
    raise UserError(
      f'{path}: a workbook that cannot be read ({error}); open it in a spreadsheet program and '
      'save it again, as .xlsx'
    ) from None
  text = start.lstrip().lower()
  what = 'HTML' if text.startswith((b'<html', b'<!doctype', b'<table')) else 'not a workbook'
  raise UserError(
    f'{path}: is {what}, despite its name; open it in a spreadsheet program and save it as '
    '.xlsx, or name it .csv if it is text'
  )


def _zipped(book: zipfile.ZipFile, wanted: str, *, path: Path) -> Sheet:
  names = set(book.namelist())
  check_unpacked(path, sum(member.file_size for member in book.infolist()))
  if 'xl/workbook.xml' in names:
    return ooxml.read(book, wanted, path=path)
  if 'content.xml' in names and 'xl/workbook.bin' not in names:
    return opendocument.read(book, wanted, path=path)
  kind = 'a binary workbook (.xlsb)' if 'xl/workbook.bin' in names else 'a zip file, not a workbook'
  raise UserError(f'{path}: is {kind}; open it in a spreadsheet program and save it as .xlsx')


def _compound(path: Path, wanted: str) -> Sheet:
  import xlrd  # here: only needed for this

  from tfds_rijks.sheets import xls

  try:
    return xls.read(wanted, path=path)
  except (xlrd.XLRDError, xlrd.compdoc.CompDocError) as error:
    raise UserError(
      f'{path}: cannot be read ({error}); if it has a password, remove that; save it as .xlsx'
    ) from None
