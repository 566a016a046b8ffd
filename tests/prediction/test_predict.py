"""Predictions for museums: every row about its own picture, safe in a spreadsheet."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import shutil
import unicodedata
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import scipy.special
from tiny_museum import draw_collection

import flaxart
from flaxart.evaluation import answer
from flaxart.prediction import table
from flaxart.prediction.files import to_csv
from flaxart.prediction.object_ids import RecordNumbers
from flaxart.prediction.output import Dialect
from flaxart.prediction.pictures import find_pictures, objects_of, of_objects
from flaxart.prediction.request import Options
from flaxart.prediction.run import predict
from flaxart.tasks.softmax import Softmax
from flaxart.train import train_and_evaluate
from tfds_rijks import build_report
from tfds_rijks.errors import UserError
from tfds_rijks.formulas import defuse
from tfds_rijks.images import Square, encode_jpeg
from tfds_rijks.prepare import prepare


@pytest.fixture
def workdir(trunk):
  return trunk


@pytest.fixture
def folder(tmp_path):
  """Nested pictures, awkward names, broken files in between."""
  source = draw_collection(tmp_path / 'source', objects=12, seed=5)
  pictures = sorted(source.glob('*.png'))
  folder = tmp_path / 'my pictures'
  names = ['a b.png', 'café/Dürer & Söhne.png', 'café/0007.png', '=SUM(A1).png', 'z/deep/er/1.png']
  names += ['-5.png', 'm.png', 'n.png', 'o.png']
  for name, picture in zip(names, pictures, strict=False):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(picture, folder / name)
  (folder / 'a c.png').write_bytes(pictures[0].read_bytes()[:300])
  (folder / 'empty.jpg').write_bytes(b'')
  (folder / 'page.jpg').write_bytes(b'<!DOCTYPE html><html></html>')
  (folder / 'notes.txt').write_text('no picture')
  (folder / 'scan.pdf').write_bytes(b'%PDF-1.7')
  (folder / 'phone').write_bytes(b'\0\0\0\x18ftypheic\0\0\0\0mif1heic')
  (folder / 'loop').symlink_to(folder)
  return folder


def read(path):
  data = path.read_bytes()
  assert data.startswith(b'\xef\xbb\xbf')  # so that spreadsheets recognise UTF-8
  return list(csv.DictReader(io.StringIO(data.decode('utf-8-sig'), newline='')))


def test_every_picture_gets_its_own_row(workdir, folder, tmp_path):
  predict(workdir, folder, tmp_path / 'out.csv', options=Options(batch_size=4))
  rows = read(tmp_path / 'out.csv')
  assert ' '.join(rows[0]) == (
    'image id status reason artist_1 artist_1_p artist_2 artist_2_p artist_3 artist_3_p '
    'artist_decision type_1 type_1_p type_2 type_2_p type_3 type_3_p type_decision '
    'year_1 year_1_p year_2 year_2_p year_3 year_3_p year_decision'
  )
  paths, others = find_pictures(folder)
  assert [row['image'] for row in rows] == [defuse(p) for p in sorted([*paths, *others])]
  named = {row['image']: row['reason'] for row in rows if row['status'] == 'passed over'}
  scan = 'not a supported picture: a PDF document'
  of_phone = {'phone': others['phone']}
  assert named == others == {'notes.txt': 'not a picture (.txt)', 'scan.pdf': scan, **of_phone}
  assert 'HEIC' in others['phone'] or 'with another ending (no suffix)' in others['phone']
  rows = [row for row in rows if row['status'] != 'passed over']
  failed = {row['image'] for row in rows if row['status'] != 'ok'}
  assert failed == {'a c.png', 'empty.jpg', 'page.jpg'}
  net = flaxart.load(workdir)
  for path, row in zip(paths, rows, strict=True):
    if row['status'] != 'ok':
      answers = [v for k, v in row.items() if k.startswith(('artist', 'type', 'year'))]
      assert row['reason'] and not any(answers)
      continue
    own = net(net.square((folder / path).read_bytes())[None])['artist'][0]
    assert row['artist_1'] == net.labels['artist'][int(own.argmax())]
    tempered = np.log(own.astype(np.float64)) / net.calibration['artist']['temperature']
    sure = float(scipy.special.softmax(tempered).max())
    assert abs(sure - own.max()) > 0.01 or own.max() > 0.99  # calibrated, not plain
    assert float(row['artist_1_p']) == pytest.approx(sure, abs=2e-4)
    assert row['type_3'] == '' and row['artist_decision'] == ''
  about = json.loads((tmp_path / 'out.json').read_text())
  assert about['unreadable'] == 3 and about['model']['dataset'] == 'collection'
  assert "'=SUM(A1).png" in {row['image'] for row in rows}


def test_pictures_are_resized_as_in_training(tiny, tmp_path, resize, monkeypatch):
  tiny.data.resize, tiny.train.epochs = resize, 0.1
  train_and_evaluate(tiny, tmp_path / 'run')
  picture = np.random.default_rng(0).integers(0, 256, (100, 90, 3), np.uint8)
  data = encode_jpeg(picture)
  seen = flaxart.load(tmp_path / 'run').square(data)
  np.testing.assert_array_equal(seen, Square(32, tiny.data.fit, resize)(data, name='x'))
  assert np.array_equal(seen, Square(32, tiny.data.fit)(data, name='x')) == (resize == 'pillow')
  # Without the library, the network still accepts squares made elsewhere.
  find = importlib.util.find_spec
  monkeypatch.setattr(
    importlib.util, 'find_spec', lambda name: None if name == 'cykooz_resizer' else find(name)
  )
  net = flaxart.load(tmp_path / 'run')
  assert net.features(seen[None]).shape == (1, 16)
  with pytest.raises(UserError, match='cykooz-resizer') if resize == 'simd' else nullcontext():
    net.square(data)


def test_record_numbers_are_text_and_objects_are_averaged(workdir, folder, tmp_path):
  table = tmp_path / 'export.csv'
  table.write_text('objectnummer,image\n0012,m.png\n0012,n.png\n0012,a c.png\n0007,café/0007.png\n')
  numbers = RecordNumbers(str(table), 'objectnummer')
  predict(workdir, folder, tmp_path / 'out.csv', numbers=numbers)
  rows = {row['image']: row for row in read(tmp_path / 'out.csv')}
  assert rows['m.png']['id'] == rows['a c.png']['id'] == '0012'
  assert rows['café/0007.png']['id'] == '0007' and rows['o.png']['id'] == ''
  predict(workdir, folder, tmp_path / 'objects.csv', numbers=numbers, options=Options(per='object'))
  objects = read(tmp_path / 'objects.csv')
  assert len(objects) == len(rows) - 2
  one = next(row for row in objects if row['id'] == '0012')
  net = flaxart.load(workdir)
  both = net(np.stack([net.square((folder / p).read_bytes()) for p in ('m.png', 'n.png')]))
  tempered = np.log(both['artist'].mean(0)) / net.calibration['artist']['temperature']
  sure = scipy.special.softmax(tempered).max()
  assert float(one['artist_1_p']) == pytest.approx(float(sure), abs=2e-4)


def ids_of(table: Path, column: str, paths: list[str], **options: str) -> dict[str, str]:
  return RecordNumbers(str(table), column, **options).of(paths, folder=table.parent)


def test_averaging_keeps_pictures_without_a_number_apart():
  answers = {
    'a': {'t': np.array([1.0, 0.0])}, 'b': 'truncated', 'c': {'t': np.array([0.0, 1.0])},
    'd': {'t': np.array([0.5, 0.5])}, 'e': 'empty',
  }  # fmt: skip
  objects = objects_of(list(answers), {'a': '1', 'b': '1', 'c': '1'})
  assert objects == [['a', 'b', 'c'], ['d'], ['e']]
  batches = [list(answers.items())[:2], list(answers.items())[2:]]
  first, second = of_objects(batches, objects)
  assert first == [] and [place for place, _ in second] == [0, 1, 2]
  np.testing.assert_array_equal(second[0][1]['t'], [0.5, 0.5])
  assert second[2][1] == 'empty'


@pytest.mark.parametrize(
  ('column', 'export', 'expected'),
  [
    # Without a column `image`, by the file name.
    ('objectnummer', b'\xef\xbb\xbfobjectnummer,title\nSK-A-1,x\n007,y\n',
     {'x/sk-a-1.jpg': 'SK-A-1', '007.png': '007', 'other.png': None}),
    # A file name shared by two pictures or records does not count.
    ('id', b'id,image\nA,sub/10.png\nB,20.png\nC,d/30.png\nD,d/30.png\n',
     {'sub/10.png': 'A', **dict.fromkeys(['other/10.png', 'x/20.png', 'y/20.png', 'd/30.png'])}),
    ('id', b'id,image\n1,a/1.png\n2,b/1.png\n3,c/2.png\n',
     {'x/1.png': None, 'b/1.png': '2', 'y/2.png': '3'}),
    # From other systems: backslashes, another encoding, decomposed accents.
    ('id', 'id;image\r\n1;b\\2.png\r\n2;./café.png\r\n'.encode('cp1252'),
     {'b/2.png': '1', unicodedata.normalize('NFD', 'café.png'): '2'}),
    ('id', b'image,id\nx.png,\ny.png,007\n', {'x.png': '', 'y.png': '007'}),
  ],
)  # fmt: skip
def test_pictures_find_their_record_number(tmp_path, column, export, expected):
  (tmp_path / 'export.csv').write_bytes(export)
  found = ids_of(tmp_path / 'export.csv', column, list(expected))
  assert found == {path: number for path, number in expected.items() if number is not None}


@pytest.mark.parametrize(
  ('path', 'number'),
  [
    ('SK-A-1718.tif', 'SK-A-1718'),
    ('x/sk a 1718 (2).jpg', 'SK-A-1718'),  # the spelling of the first
    ('SK-A-1718_verso_2.jpg', 'SK-A-1718'),
    ('0012_recto-detail.png', '0012'),
    ('1965_1.jpg', '1965_1'),  # may be the first object of 1965
    ('BK-NM-13348-A.jpg', 'BK-NM-13348-A'),
    ('66.73.png', '66.73'),
    ('BK-RS.png', 'BK-RS'),
    ('verso.png', 'verso'),
    ('-.png', None),
  ],
)
def test_a_scan_without_a_row_has_the_number_in_its_name(tmp_path, path, number):
  found = RecordNumbers(match='stem').of(['SK-A-1718.tif', path], folder=tmp_path)
  assert found.get(path) == number


@pytest.mark.parametrize('cell', ['=1+1', '+1', '-1', '@x', '\tx', '\rx'])
def test_cells_that_a_spreadsheet_would_run_are_defused(cell):
  assert defuse(cell) == f"'{cell}" and defuse('1' + cell) == '1' + cell


def test_mistakes_are_one_line_and_write_nothing(workdir, folder, tmp_path):
  out = tmp_path / 'out.csv'
  (tmp_path / 'void').mkdir()
  (tmp_path / 'beside.json').mkdir()
  table = tmp_path / 'export.csv'
  table.write_text('number,image\n1,m.png\n')
  results = (workdir / 'results.json').read_bytes()
  for arguments, line in [
    ({'images': tmp_path / 'nowhere'}, 'is not a folder'),
    ({'images': tmp_path / 'void'}, 'has no picture'),
    ({'workdir': tmp_path}, 'config.json: not found'),
    ({'output': tmp_path / 'x' / 'out.csv'}, 'does not exist; create it'),
    ({'output': tmp_path / 'void'}, 'is not a table'),
    ({'output': tmp_path / 'names.json'}, 'is not a table'),
    ({'output': workdir / 'results.csv'}, r'results\.json, which goes beside the table'),
    ({'output': tmp_path / 'beside.csv'}, r'beside\.json, which goes beside the table'),
    ({'output': table}, 'exists and is not a table of predictions'),
    ({'output': table, 'numbers': RecordNumbers(str(table), 'number')}, 'the file of --metadata'),
    ({'numbers': RecordNumbers(str(tmp_path), 'number')}, 'is not a file'),
    ({'numbers': RecordNumbers(str(tmp_path / 'no'), 'number')}, 'is not a file'),
    ({'numbers': RecordNumbers(str(table), 'id')}, "no column 'id'; its columns are number, image"),
    ({'numbers': RecordNumbers(str(table))}, 'go together'),
    ({'options': Options(per='object')}, '--per=object needs --metadata'),
    ({'numbers': RecordNumbers(match='path')}, '--match=path needs --metadata'),
    ({'numbers': RecordNumbers(match='stems')}, '--match=stems: no such rule; expected path, stem'),
    ({'numbers': RecordNumbers(match='xmp:dc:title')}, 'a record number for none of'),
    ({'options': Options(batch_size=0)}, '--batch_size: found 0'),
  ]:
    given = {'workdir': workdir, 'images': folder, 'output': out, **arguments}
    with pytest.raises(UserError, match=line):
      predict(**given)
    assert not out.exists() and not (tmp_path / 'names.json').exists()
  assert (workdir / 'results.json').read_bytes() == results
  assert table.read_text() == 'number,image\n1,m.png\n'


def test_a_folder_that_cannot_be_opened_is_named(folder, monkeypatch):
  scandir = os.scandir

  def closed(path):
    if Path(path).name == 'café':
      raise PermissionError(13, 'Permission denied', str(path))
    return scandir(path)

  monkeypatch.setattr(os, 'scandir', closed)
  with pytest.raises(UserError, match=r'--images: .*café cannot be opened \(Permission denied\)'):
    find_pictures(folder)


def test_a_table_is_replaced_together_with_its_sidecar(workdir, folder, tmp_path):
  out = tmp_path / 'out.csv'
  for _ in range(2):
    predict(workdir, folder, out)
  edited = out.read_bytes().replace(b'ok', b'OK', 1)
  out.write_bytes(edited)
  with pytest.raises(UserError, match=r'out\.csv has been edited since flaxart predict wrote it'):
    predict(workdir, folder, out)
  assert out.read_bytes() == edited and not (tmp_path / 'out.csv.journal').exists()
  out.unlink()
  predict(workdir, folder, out)


def test_a_name_that_is_not_utf8_keeps_its_row(workdir, folder, tmp_path):
  shutil.copytree(folder, tmp_path / 'old', symlinks=True)
  shutil.copy(folder / 'm.png', os.fsencode(tmp_path / 'old') + b'/caf\xe9.png')
  predict(workdir, tmp_path / 'old', tmp_path / 'out.csv')
  rows = {row['image']: row for row in read(tmp_path / 'out.csv')}
  assert rows[r'caf\xe9.png']['status'] == 'ok'
  assert rows[r'caf\xe9.png']['artist_1_p'] == rows['m.png']['artist_1_p']


@pytest.mark.parametrize(
  ('columns', 'options'),
  [
    ('Nr,title', {}),  # by the file name
    ('nr,Image', {}),
    ('NR,file_name', {}),
    ('nr,bestand', {'image_column': 'Bestand', 'match': 'path'}),
  ],
)
def test_views_of_one_object_are_one_object_as_in_prepare(tmp_path, columns, options):
  views = ['SK-A-1', 'sk_a_1_2', 'SK.A.1 (3)', 'x/sk a 1-verso']
  paths = [f'{view}.jpg' for view in views]
  for i, path in enumerate(paths):
    (tmp_path / path).parent.mkdir(exist_ok=True)
    noise = np.random.default_rng(i).integers(0, 256, (24, 24, 3), np.uint8)
    (tmp_path / path).write_bytes(encode_jpeg(noise))
  named = not columns.endswith('title')
  rows = [f'SK-A-1,{path}' for path in paths] if named else ['SK-A-1,x']
  table = tmp_path / 'metadata.csv'
  table.write_text('\n'.join([f'{columns},artist', *(f'{row},Ann' for row in rows)]))
  assert ids_of(table, 'nr', paths, **options) == dict.fromkeys(paths, 'SK-A-1')
  given = {'match': 'path' if named else 'stem', **options, 'id_column': 'nr', 'min_per_class': 1}
  built = prepare('collection', manual_dir=tmp_path, data_dir=tmp_path / 'data', **given)
  assert build_report.read(built)['groups']['groups'] == 1


def test_hidden_files_and_thumbnails_are_skipped_as_in_prepare(tmp_path):
  for name in ('a.jpg', '._a.jpg', '.thumbs/a.jpg', '@eaDir/a.jpg/SYNO_M.jpg', 'Thumbs/a.jpg'):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b'x')
  assert find_pictures(tmp_path) == (['a.jpg'], {})


def test_a_class_for_nobody_is_never_suggested():
  task = Softmax('artist', ('Ann', 'Bob', 'onbekend', 'rest'))
  fitted = {'artist': {'temperature': 1.0, 'threshold': 0.5}}
  plain = {'artist': np.array([0.1, 0.15, 0.7, 0.05], np.float32)}
  row = answer.row([task], 'a.png', '', answer.stored([task], fitted, plain))
  cells = table.wide(row)
  assert [cells[f'artist_{k}'] for k in (1, 2, 3)] == ['Bob', 'Ann', 'rest']
  assert (cells['artist_1_p'], cells['artist_decision']) == (0.15, '')


def test_numbers_are_not_formulas():
  rows = [{'image': '-1.png', 'year_1': -755.84}]
  columns = [table.Column('image'), table.Column('year_1', 1)]
  assert to_csv(columns, rows, Dialect()).splitlines()[1] == "'-1.png,-755.8"
  assert to_csv(columns, rows, Dialect(';', ',')).splitlines()[1] == "'-1.png;-755,8"
