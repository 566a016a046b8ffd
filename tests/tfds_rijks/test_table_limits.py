"""Tables made to fill memory or time, and half characters, are refused with what was found."""

from __future__ import annotations

import json
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from workbooks import NS

from tfds_rijks import table_size
from tfds_rijks.collection import table
from tfds_rijks.errors import UserError

HEAD = '<row><c t="inlineStr"><is><t>image</t></is></c><c><v>1</v></c></row>'
CELL = '<c><v>1</v></c>'


def xlsx(path: Path, rows: str, *, after: str = '', strings: str = '') -> Path:
  parts = {
    'xl/workbook.xml': '<w xmlns:r="r"><sheets><sheet name="S" r:id="a"/></sheets></w>',
    'xl/_rels/workbook.xml.rels': '<r><x Id="a" Type="t/worksheet" Target="s.xml"/></r>',
    'xl/s.xml': f'<w><sheetData>{HEAD}{rows}</sheetData>{after}</w>',
    'xl/sharedStrings.xml': f'<sst>{strings}</sst>',
  }
  return zipped(path, parts)


def ods(path: Path, rows: str) -> Path:
  names = ('office:document-content', 'office:body', 'office:spreadsheet', 'table:table')
  start = f'<{names[0]} {NS}>' + ''.join(f'<{name}>' for name in names[1:])
  end = ''.join(f'</{name}>' for name in reversed(names))
  return zipped(path, {'content.xml': start + rows + end})


def ods_cell(text: str, **attributes: int) -> str:
  more = ''.join(f' table:{k.replace("_", "-")}="{v}"' for k, v in attributes.items())
  return (
    f'<table:table-cell{more} office:value-type="string"><text:p>{text}</text:p></table:table-cell>'
  )


def ods_row(*cells: str, times: int = 1) -> str:
  return f'<table:table-row table:number-rows-repeated="{times}">{"".join(cells)}</table:table-row>'


def zipped(path: Path, parts: dict[str, str]) -> Path:
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
    for name, content in parts.items():
      archive.writestr(name, content)
  return path


def csv(path: Path, columns: int) -> Path:
  names = ','.join(f'c{i}' for i in range(columns))
  path.write_text(f'{names}\n{",".join("x" * columns)}\n')
  return path


MIB = 1 << 20
REFUSED = {
  'text columns': (lambda d: csv(d / 'm.csv', 300_000), 'has 300,000 columns; .* at most 16,384'),
  'names in JSON lines': (
    lambda d: jsonl(d / 'm.jsonl', 200, 100), 'has 16,400 columns; .* at most 16,384',
  ),
  'cells of a row': (lambda d: row(d, CELL * 20_000), 'has 16,385 columns'),
  'cells in one place': (lambda d: row(d, '<c r="A2"/>' * 20_000), 'has 16,385 columns'),
  'a far column': (lambda d: row(d, '<c r="ZZZ2"/>'), 'has 18,278 columns'),
  'a far row': (lambda d: xlsx(d / 'm.xlsx', f'<row r="1048577">{CELL}</row>'), 'row 1,048,577 of'),
  'few cells far apart': (
    lambda d: row(d, '<c r="XFD2"><v>1</v></c>', more=f'<row>{CELL}</row>' * 4_000),
    r'has 50,003,968 cells \(rows times columns\); .* 50,000,000',
  ),
  'an unpacked sheet': (
    lambda d: xlsx(d / 'm.xlsx', '', after=' ' * (65 * MIB)), 'unpacks from .* to 68,.* 67,108,864',
  ),
  'unpacked styles': (
    lambda d: zipped(d / 'm.xlsx', {'xl/workbook.xml': ' ' * (33 * MIB)}), 'workbook.xml has 34,60',
  ),
  'a cell of many parts': (
    lambda d: row(d, f'<c>{"<x/>" * 100_001}</c>'), 'more than 100,000 elements',
  ),
  'merged cells that overlap': (
    lambda d: row(d, CELL * 2, after='<mergeCell ref="A2:B2"/>' * 3),
    'A2:B2 and other merged cells overlap',
  ),
  'repeated rows': (
    lambda d: ods(d / 'm.ods', ods_row(ods_cell('x', number_columns_repeated=500), times=100_001)),
    'has 50,000,500 cells',
  ),
  'repeated columns': (
    lambda d: ods(d / 'm.ods', ods_row(ods_cell('x', number_columns_repeated=10**9))),
    'has 1,000,000,000 columns',
  ),
}  # fmt: skip


def row(folder: Path, cells: str, *, more: str = '', after: str = '') -> Path:
  return xlsx(folder / 'm.xlsx', f'<row>{cells}</row>{more}', after=after)


def jsonl(path: Path, rows: int, names: int) -> Path:
  lines = (json.dumps({f'c{i}_{k}': 1 for k in range(names)}) for i in range(rows))
  path.write_text('\n'.join(lines))
  return path


@pytest.mark.parametrize('case', REFUSED)
def test_too_large_is_named_with_the_number_found(case, tmp_path):
  make, message = REFUSED[case]
  path = make(tmp_path)
  tracemalloc.start()
  try:
    with pytest.raises(UserError, match=message) as error:
      table.read(path)
    peak = tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()
  assert str(path) in str(error.value)
  assert peak < 60e6


def test_repeated_blanks_are_counted(tmp_path, monkeypatch):
  blanks = ods_row(*[ods_cell('<text:s text:c="999999999"/>')] * 40)
  path = ods(tmp_path / 'm.ods', ods_row(ods_cell('image')) + blanks)
  assert len(table.read(path).rows[0][0]) == 1 << 15
  monkeypatch.setattr(table_size, 'MAX_CHARACTERS', 1_000_000)
  with pytest.raises(UserError, match='has 1,310,725 characters; expected at most 1,000,000'):
    table.read(path)


def test_parquet_is_believed_only_within_the_limits(tmp_path, monkeypatch):
  pq = pytest.importorskip('pyarrow.parquet')
  pa = pytest.importorskip('pyarrow')
  path = tmp_path / 'm.parquet'
  pq.write_table(pa.table({'image': ['a.png'] * 5000}), path)
  assert len(table.read(path).rows) == 5000
  monkeypatch.setattr(table_size, 'MAX_ROWS', 4999)
  with pytest.raises(UserError, match='has 5,000 rows; expected at most 4,999'):
    table.read(path)


def test_the_widest_table_is_read_in_linear_time(tmp_path):
  found = table.read(csv(tmp_path / 'm.csv', 16_384))
  table.without_errors(found, found.columns)  # quadratic steps took 8 s and more here
  assert found.columns[-1] == 'c16383' and len(found.rows[0]) == 16_384


HALVES = {
  'cut in a field, the only one': (b'image,artist\na.png,Andr\xc3\nb.png,x\n', 'line 2 .*half'),
  'cut in a field, beside a whole one': (
    'image,artist\na.png,Dürer\nb.png,Andr'.encode() + b'\xc3\n', 'line 3 is not UTF-8 like',
  ),
  'a cut euro sign': (b'image,price\na.png,\xe2\x82,1\n', 'line 2 has half'),
  'half of UTF-16 as UTF-8': (b'image,artist\na.png,\xed\xa0\xbd\n', 'line 2 has half a character'),
  'cut at the end': (b'image,artist\na.png,caf\xc3', 'line 2 has half a character'),
  'a cut sign at the end': (b'image,artist\na.png,\xf0\x9f\x8e', 'line 2 has half a character'),
  'UTF-16 of odd length': (
    '\ufeffimage\na.png\n'.encode('utf-16-le') + b'a', 'line 3: broken utf-16',
  ),
  'half a pair in UTF-16': (
    '\ufeffimage\na'.encode('utf-16-le') + b'\x3d\xd8x\0\n\0', 'line 2: broken utf-16.*half',
  ),
}  # fmt: skip


@pytest.mark.parametrize('case', HALVES)
def test_half_characters_are_refused_with_their_line(case, tmp_path):
  data, message = HALVES[case]
  (tmp_path / 'm.csv').write_bytes(data)
  with pytest.raises(UserError, match=message):
    table.read(tmp_path / 'm.csv')


@pytest.mark.parametrize(
  'text', ['café', 'IRMÃ', 'Ãlbum, Âge', 'le “café”', 'naïve, Göteborg', 'a\xa0b', '€ 5', 'SÃO, £']
)
def test_windows_1252_is_still_read(text, tmp_path):
  path = tmp_path / 'm.csv'
  path.write_text(f'image;artist\na.png;{text}\n', encoding='cp1252')
  assert table.read(path).rows == [['a.png', text]]


def test_half_a_character_in_a_workbook_is_refused_where_it_is_used(tmp_path):
  text = '<row><c t="inlineStr"><is><t>x</t></is></c><c t="s"><v>0</v></c></row>'
  found = table.read(xlsx(tmp_path / 'm.xlsx', text, strings='<si><t>a_xD83D_b</t></si>'))
  with pytest.raises(UserError, match="line 2: '1' holds half a character"):
    table.without_errors(found, ['1'])
  whole = '<si><t>a_xD83D__xDE00_b</t></si>'
  assert table.read(xlsx(tmp_path / 'm.xlsx', text, strings=whole)).rows == [['x', 'a😀b']]


def test_a_name_twice_in_a_line_of_json_is_refused(tmp_path):
  (tmp_path / 'm.jsonl').write_text('{"image": "a.png"}\n{"image": "b.png", "image": "c.png"}\n')
  with pytest.raises(UserError, match=r"line 2 is not JSON \(the name 'image' occurs twice"):
    table.read(tmp_path / 'm.jsonl')


def test_one_text_in_many_rows_of_parquet_is_counted_in_each_and_kept_once(tmp_path, monkeypatch):
  pa, pq = pytest.importorskip('pyarrow'), pytest.importorskip('pyarrow.parquet')
  pq.write_table(pa.table({'image': ['x' * MIB] * 50}), path := tmp_path / 'm.parquet')
  assert path.stat().st_size < MIB
  monkeypatch.setattr(table_size, 'MAX_CHARACTERS', 40 * MIB)
  pool, usual = pa.proxy_memory_pool(pa.default_memory_pool()), pa.default_memory_pool()
  pa.set_memory_pool(pool)
  try:
    with pytest.raises(UserError, match=r'has 42,991,616 characters; .* 41,943,040'):
      table.read(path)
  finally:
    pa.set_memory_pool(usual)
  assert pool.max_memory() < 20 * MIB
