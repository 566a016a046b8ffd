"""Workbooks: the visible sheet, and its cells as shown."""

from __future__ import annotations

import datetime
import re
import shutil
import zipfile
from pathlib import Path

import pytest
from collections_on_disk import build, draw, records
from workbooks import KINDS, Page, Styled, write

from tfds_rijks import build_report
from tfds_rijks.collection import table
from tfds_rijks.errors import UserError
from tfds_rijks.sheets import cells

CASES = Path(__file__).parents[2] / '../shared/cases'
HEADER = ('image', 'artist')


def read(path: Path, sheet: str = '') -> list[list[str]]:
  found = table.read(path, sheet=sheet)
  return [found.columns, *found.rows]


@pytest.fixture(params=KINDS)
def book(request, tmp_path):
  return tmp_path / f'metadata.{request.param}'


def test_the_first_visible_sheet(book):
  write(
    book,
    Page('old', [HEADER, ('a.png', 'OLD')], hidden=True),
    Page('current', [HEADER, ('a.png', 'Jan Steen')]),
    Page('notes', []),
  )
  found = table.read(book)
  assert (found.sheet, found.rows) == ('current', [['a.png', 'Jan Steen']])
  assert found.notes == ["sheet 'current' was read; not read: old (hidden), notes (--sheet)"]
  assert table.read(book, sheet='OLD').rows == [['a.png', 'OLD']]
  with pytest.raises(UserError, match=r"sheet 'notes' has no rows; its other sheets are old \(hid"):
    table.read(book, sheet='notes')
  with pytest.raises(UserError, match=r'--sheet=new: .* its sheets are old \(hidden\), current, n'):
    table.read(book, sheet='new')


def test_merged_cells_fill_their_rows_and_a_heading_none(book):
  rows = [
    ('image', 'artist', 'type'),
    ('a.png', 'Jan Steen', 'print'),
    ('b.png', None, 'vase'),
    ('Drawings', None, None),
    ('c.png', 'Hals', 'unknown'),
    ('d.png', 'both', None),
  ]
  write(book, Page('x', rows, merged=[(1, 1, 2, 1), (3, 0, 3, 2), (5, 1, 5, 2)]))
  assert read(book)[1:] == [
    ['a.png', 'Jan Steen', 'print'],
    ['b.png', 'Jan Steen', 'vase'],
    ['c.png', 'Hals', 'unknown'],
    ['d.png', 'both', 'both'],
  ]


@pytest.mark.parametrize(
  ('rows', 'area', 'shown'),
  [
    ([('image', 'maker', None), ('a.png', 'x', 'y')], (0, 1, 0, 2), 'B1:C1'),
    ([('Export of 2024', None, None), HEADER, ('a.png', 'x')], (0, 0, 0, 2), 'A1:C1'),
    ([HEADER, (None, 'name'), ('a.png', 'x')], (0, 0, 1, 0), 'A1:A2'),
  ],
)
def test_merged_cells_of_a_header_are_refused(book, rows, area, shown):
  write(book, Page('x', rows, merged=[area]))
  with pytest.raises(UserError, match=f'{shown} is one merged cell in the header, row 1'):
    table.read(book)


def test_cells_are_what_they_show(book):
  values = [
    (Styled(7, '000', '007'), '007'),
    (Styled(12345, '000', '12345'), '12345'),
    (Styled(7, '"BK-"0000', 'BK-0007'), 'BK-0007'),
    (Styled(1650, '#,##0', '1,650'), '1650'),
    (Styled(1.5, '0.00', '1.50'), '1.5'),
    (Styled(0.25, '0%', '0.25'), '0.25'),
    (0.1 + 0.2, '0.3'),
    (12, '12'),
    (True, 'TRUE'),
    ('  text ', '  text '),
    ('1E5', '1E5'),
    ('007', '007'),
    (datetime.date(1950, 3, 1), '1950-03-01'),
    ('#N/A', '#N/A'),
    (None, ''),
  ]
  write(book, Page('x', [('n', 'v'), *((str(i), v) for i, (v, _) in enumerate(values))]))
  assert [row[1] for row in read(book)[1:]] == [text for _, text in values]


def test_rows_of_a_filter_are_read_and_reported(book):
  write(book, Page('x', [HEADER, ('a.png', 'A'), ('b.png', 'B')], filtered=[1]))
  found = table.read(book)
  assert len(found.rows) == 2
  assert found.notes == ["sheet 'x': 1 hidden rows (a filter) are read as well"]


@pytest.mark.parametrize('kind', ['xlsx', 'ods'])  # not detectable in .xls
def test_a_formula_without_a_value_is_named(tmp_path, kind):
  rows = [(*HEADER, 'x'), ('a.png', 'A', 'x'), ('b.png', '=CONCATENATE("B";"C")', 'x')]
  source = tmp_path / 's'
  draw(source / 'a.png', 0)
  write(source / f'metadata.{kind}', Page('x', rows))
  with pytest.raises(UserError, match=r"line 3: 'artist' holds a formula that no program"):
    build(source)
  (source / 'b.png').write_bytes((source / 'a.png').read_bytes())
  build(source, labels='x')  # unused cells may lack one


def test_a_formula_that_gives_nothing_is_an_empty_cell(tmp_path):
  path = write(tmp_path / 'm.xlsx', Page('x', [HEADER, ('a.png', '=""'), ('b.png', '=""')]))
  with zipfile.ZipFile(path) as book:
    parts = {name: book.read(name) for name in book.namelist()}
  name = 'xl/worksheets/sheet1.xml'
  parts[name] = parts[name].replace(b'<c r="B2">', b'<c r="B2" t="str">')
  with zipfile.ZipFile(path, 'w') as book:
    for part, data in parts.items():
      book.writestr(part, data)
  assert read(path)[1:] == [['a.png', ''], ['b.png', cells.NO_VALUE]]


@pytest.mark.parametrize(
  'number',
  [datetime.date(1965, 3, 1), Styled(100000, '0.00E+00', '1.00E+05'), '1.00E+05'],
)
def test_object_numbers_changed_by_a_spreadsheet_are_refused(book, number):
  source = book.parent / 's'
  draw(source / 'a.png', 0)
  write(source / book.name, Page('x', [('inv', *HEADER), (number, 'a.png', 'A')]))
  with pytest.raises(UserError, match=r"line 2: 'inv' is the date or number .* format that column"):
    build(source, id_column='inv')
  assert records(build(source))[0]['artist'] == 'A'


SHEET = """<{p}worksheet xmlns{q}="{ns}"><{p}sheetData>
<{p}row><{p}c t="inlineStr"><{p}is><{p}t>image</{p}t></{p}is></{p}c>
<{p}c t="s"><{p}v>0</{p}v></{p}c></{p}row><{p}row r="3">
<{p}c t="str"><{p}f>x</{p}f><{p}v>a_x005F_x0041_.png</{p}v></{p}c>
<{p}c s="1"><{p}v>24166</{p}v></{p}c><{p}c t="e"><{p}v>#REF!</{p}v></{p}c></{p}row>
</{p}sheetData></{p}worksheet>"""


@pytest.mark.parametrize('strict', [False, True])
def test_workbooks_of_other_programs(tmp_path, strict):
  """Without places of cells, with a prefix, in runs of text, with the epoch of 1904."""
  home = 'http://purl.oclc.org/ooxml/' if strict else 'http://schemas.openxmlformats.org/'
  names = {'p': 'x:' if strict else '', 'q': ':x' if strict else '', 'ns': home + 'main'}
  with zipfile.ZipFile(tmp_path / 'm.xlsx', 'w') as book:
    book.writestr(
      'xl/workbook.xml',
      f'<workbook xmlns="{home}" xmlns:r="{home}r"><workbookPr date1904="1"/><sheets>'
      '<sheet name="chart" r:id="c"/><sheet name="data" r:id="d"/></sheets></workbook>',
    )
    book.writestr(
      'xl/_rels/workbook.xml.rels',
      f'<r><l Id="c" Type="{home}/chartsheet" Target="charts/1.xml"/>'
      f'<l Id="d" Type="{home}/worksheet" Target="/xl/worksheets/s.xml"/></r>',
    )
    book.writestr('xl/worksheets/s.xml', SHEET.format(**names))
    book.writestr(
      'xl/sharedStrings.xml',
      '<sst><si><r><t>ar</t></r><r><t>tist_x000D_</t></r><rPh><t>no</t></rPh></si></sst>',
    )
    book.writestr(
      'xl/styles.xml', '<s><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></s>'
    )
  found = table.read(tmp_path / 'm.xlsx')
  assert found.columns == ['image', 'artist']
  assert (found.rows, found.lines) == ([['a_x0041_.png', '1970-03-01']], [3])


@pytest.mark.parametrize(
  ('data', 'message'),
  [
    (b'<html><table><tr><td>image', 'is HTML, despite its name'),
    (b'image\tartist\n', 'is not a workbook, despite its name'),
    (b'PK\3\4 no', 'a workbook that cannot be read'),
    (b'\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1' + bytes(600), 'cannot be read'),
  ],
)
def test_files_that_are_not_workbooks(tmp_path, data, message):
  for name in ('m.xlsx', 'm.xls', 'm.ods'):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=message):
      table.read(tmp_path / name)


def test_a_binary_workbook_and_a_damaged_one(tmp_path):
  for name, message in (
    ('xl/workbook.bin', 'a binary workbook'),
    ('x.txt', 'a zip file, not a wo'),
  ):
    with zipfile.ZipFile(tmp_path / 'm.xlsb', 'w') as book:
      book.writestr(name, 'x')
    with pytest.raises(UserError, match=message):
      table.read(tmp_path / 'm.xlsb')
  path = write(tmp_path / 'm.xlsx', Page('x', [HEADER, ('a.png', 'A')]))
  data = path.read_bytes()
  path.write_bytes(re.sub(rb'sheet1', b'sheet9', data))
  with pytest.raises(UserError, match='cannot be read'):
    table.read(path)


@pytest.mark.parametrize(
  ('number_format', 'value', 'text'),
  [
    ('00-00', 123, '01-23'),
    ('0000\\/00', 197003, '1970/03'),
    ('000;-000', 7, '007'),
    ('[Red]000_)', 7, '007'),
    ('000', -7, '-7'),
    ('000', 7.5, '7.5'),
    ('0.00', 7, '7'),
    ('#,##0.00', 1650, '1650'),
    ('', 1e15, '1000000000000000'),
    ('', 1e300, '1e+300'),
  ],
)
def test_number_formats(number_format, value, text):
  assert cells.number(value, number_format) == text


@pytest.mark.parametrize(
  ('number_format', 'parts'),
  [
    ('d-m-yyyy', 'dmy'),
    ('[$-409]mmm\\ yy;@', 'my'),
    ('[h]:mm:ss.000', 'hms'),
    ('yyyy', 'y'),
    ('0.00" days"', ''),
    ('#,##0', ''),
    ('General', ''),
    ('[Red]0', ''),
  ],
)
def test_formats_of_dates(number_format, parts):
  assert cells.date_parts(number_format) == parts


@pytest.mark.parametrize(
  ('case', 'options', 'artists'),
  [
    ('14', {}, {'Jan Steen': 30, 'Frans Hals': 30}),
    ('15', {}, {'Jan Steen': 30, 'Frans Hals': 30}),
    ('16', {}, r"line 3: 'artist' holds a formula that no program"),
    ('17', {'match': 'stem', 'id_column': 'nr'}, {'X': 30, 'Y': 30}),
  ],
)
def test_cases(tmp_path, case, options, artists):
  found = next(CASES.glob(f'{case}-*/metadata.xlsx'), None)
  if found is None:
    pytest.skip('the inputs are in ../shared/cases')
  for i in range(60):
    draw(tmp_path / 's' / f'{i:03d}.png', i)
  shutil.copy(found, tmp_path / 's' / 'metadata.xlsx')
  if isinstance(artists, str):
    with pytest.raises(UserError, match=artists):
      build(tmp_path / 's', **options)
    return
  path = build(tmp_path / 's', **options)
  assert build_report.read(path)['tasks']['artist']['counts'] == artists
  numbers = [record['object_number'] for record in records(path)]
  assert case != '17' or numbers == [f'{i:03d}' for i in range(60)]
