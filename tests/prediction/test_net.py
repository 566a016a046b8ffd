"""A loaded run in a user's own code: any form of a picture gives the same names."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from scipy.special import softmax

import flaxart
import tfds_rijks  # registers `collection`
from tfds_rijks.errors import UserError

assert tfds_rijks


@pytest.fixture(scope='module')
def net(finished):
  return flaxart.load(finished[0])


@pytest.fixture(scope='module')
def files(finished):
  source = Path(finished[1].data.data_dir).parent / 'source'
  return [next(source.rglob(f'{i:04}.png')) for i in range(5)]


def test_a_picture_is_read_in_any_form(net, files, finished):
  (path, *_), pixels = files, np.asarray(Image.open(files[0]).convert('RGB'))
  (row,) = net.predict(path)
  assert row.image == str(path) and row.status == 'ok' and len(row.names['artist']) == 3
  forms = [str(path), path.read_bytes(), memoryview(path.read_bytes()), pixels, {'image': pixels}]
  for form in forms:
    square = net.square(form)
    assert square.dtype == np.uint8 and square.shape == (net.image_size, net.image_size, 3)
    for given in (form, [form]):
      (found,) = net.predict(given)
      assert (found.names, found.numbers) == (row.names, row.numbers)
  assert [r.names for r in net.predict(np.stack([pixels, pixels]))] == [row.names] * 2

  records = tfds.data_source('collection', split='test', data_dir=finished[1].data.data_dir)
  rows = net.predict(records)
  assert [r.id for r in rows] == [record['object_number'].decode() for record in records]
  by_name = {path.name: net.predict(path)[0].names for path in files[0].parent.glob('*.png')}
  assert all(r.names == by_name[r.id] for r in rows)


def test_probabilities_are_calibrated_and_batches_change_nothing(net, files):
  rows = net.predict(files, batch_size=2)
  plain = net(np.stack([net.square(path) for path in files]))
  temperature = net.calibration['artist']['temperature']
  expected = softmax(np.log(plain['artist'].astype(float)) / temperature, axis=1)
  assert temperature != 1 and rows == net.predict(files)
  for row, p, year in zip(rows, expected, plain['year'], strict=True):
    for name in row.names['artist']:
      of_class = p[net.labels['artist'].index(name.value)]
      assert name.probability == pytest.approx(of_class, abs=2e-6)
      assert name.decided == (of_class >= (net.calibration['artist']['threshold'] or 2))
    assert row.numbers['year'] == pytest.approx(year, abs=0.06)


def test_a_file_that_cannot_be_read_keeps_its_place(net, files, tmp_path):
  (tmp_path / 'text.jpg').write_text('not a picture')
  rows = net.predict([files[0], tmp_path / 'missing.jpg', tmp_path / 'text.jpg', files[1], b''])
  assert [row.status for row in rows] == ['ok', 'unreadable', 'unreadable', 'ok', 'unreadable']
  assert [row.reason for row in rows[1:3]] == [
    'cannot be opened: No such file or directory', 'unknown format',
  ]  # fmt: skip
  assert net.predict([]) == []
  odd = net.predict(['a\0b.jpg', 'x' * 300])
  assert [row.reason for row in odd] == [
    'cannot be opened: its name has a zero byte', 'cannot be opened: File name too long',
  ]  # fmt: skip


@pytest.mark.parametrize(
  ('given', 'line'),
  [
    (3, 'pictures: found int, expected a list of pictures, each a path'),
    (None, 'pictures: found NoneType'),
    ([3], 'picture: found int, expected a path'),
    ({'picture': b''}, 'picture: found dict, .*record with one of these under `image`'),
    (np.zeros((4, 4, 3)), r'picture: found float64 \[4, 4, 3\], expected .*uint8 \[H, W, 3\]'),
    ([np.zeros((4, 4), np.uint8)], r'found uint8 \[4, 4\]'),
    ([Image.new('RGB', (4, 4))], 'found an image of Pillow, .*; give the file itself'),
    ('.', r'\.: is a folder, expected a picture; list its files, or use flaxart predict'),
  ],
)
def test_what_cannot_be_a_picture_is_one_sentence(net, given, line):
  with pytest.raises(UserError, match=line):
    net.predict(given)


def test_a_batch_has_pictures(net, files):
  for size in (0, -1):
    with pytest.raises(UserError, match=f'batch_size: found {size}, expected 1 or more'):
      net.predict(files, batch_size=size)


def test_it_shows_itself_in_a_notebook(net, monkeypatch):
  monkeypatch.setitem(net.scores, 'type', '<b>81 %</b>')
  page = ElementTree.fromstring(net._repr_html_())
  rows = [[''.join(cell.itertext()) for cell in row] for row in page.iter('tr')]
  assert rows[0] == ['task', 'classes', 'score', 'among them']
  assert rows[1] == ['artist', '3', net.scores['artist'], 'Anna, Bert, Cleo']
  assert rows[2][2] == '<b>81 %</b>' and rows[3][:2] == ['year', 'a number']
  assert page.find('caption').text == repr(net).splitlines()[0]
