"""The builder `collection`: features, groups, splits, classes, report."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import tensorflow_datasets as tfds
from collections_on_disk import build, draw, records, simple, write_collection, write_table
from PIL import Image

import tfds_rijks
from tfds_rijks import build_report, images, splits
from tfds_rijks.errors import UserError

assert tfds_rijks  # registers the builders


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
  folder = tmp_path_factory.mktemp('simple')
  return build(simple(folder / 'source'))


def test_records_agree_with_the_table(prepared):
  found = records(prepared)
  assert len(found) == 60
  assert Counter(record['split'] for record in found) == {'train': 48, 'val': 6, 'test': 6}
  for i, record in enumerate(found):
    assert record['object_number'] == record['group'] == f'{i:02d}.png'
    assert record['artist'] == ['Ann', 'Bob'][i % 2]
    assert record['type'] == ['bowl', 'coin', 'coin'][i % 3]
    assert record['image'] == (prepared.parents[2] / 'source' / f'{i:02d}.png').read_bytes()


def test_tfds_reads_it_by_name_and_slices_and_decodes(prepared):
  data_dir = prepared.parents[1]
  train = tfds.data_source('collection', split='train', data_dir=data_dir)
  assert train[0]['image'].shape == (20, 24, 3)
  half = tfds.data_source('collection', split='train[:50%]+test', data_dir=data_dir)
  assert len(half) == round(len(train) / 2) + len(
    tfds.data_source('collection', split='test', data_dir=data_dir)
  )
  assert train.dataset_info.features['artist'].names == ['Ann', 'Bob']
  assert (prepared / 'artist.labels.txt').read_text().split() == ['Ann', 'Bob']


def test_the_folder_opens_without_the_package_and_without_tensorflow(prepared, tmp_path):
  code = f"""
import sys
class Refuse:
  def find_spec(self, name, path=None, target=None):
    if name.split('.')[0] in ('tfds_rijks', 'jax'):
      raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
import tensorflow_datasets as tfds
source = tfds.builder_from_directory({str(prepared)!r}).as_data_source('train')
print(len(source), source.dataset_info.features['type'].names, source[0]['image'].shape)
assert 'tensorflow' not in sys.modules
"""
  done = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True, cwd=tmp_path
  )
  assert "['bowl', 'coin'] (20, 24, 3)" in done.stdout


def test_an_unprepared_collection_says_how_to_prepare_it(tmp_path):
  simple(tmp_path / 'source', 4)
  builder = tfds.builder('collection', data_dir=tmp_path / 'no')
  with pytest.raises(UserError, match=r'run python -m tfds_rijks.prepare --dataset=collection'):
    builder.download_and_prepare(
      download_config=tfds.download.DownloadConfig(manual_dir=str(tmp_path / 'source'))
    )


def test_kinds_of_features(tmp_path):
  rows = [
    ('a.png', 'Ann', 'wood; iron', '1640', '1650', '12,5'),
    ('b.png', '', '', '', '1660', ''),
    ('c.png', 'Bob', 'iron', 'ca. 1700', '', '7'),
  ]
  source = write_collection(
    tmp_path / 's', ['image', 'Artist name', 'material', 'year_begin', 'year_end', 'height'], rows
  )
  path = build(source, multi_value_separator=';', float_columns='height')
  a, b, c = records(path)
  assert (a['Artist_name'], b['Artist_name'], c['Artist_name']) == ('Ann', None, 'Bob')
  assert (a['material'], b['material'], c['material']) == (['iron', 'wood'], [], ['iron'])
  assert (a['year_begin'], a['year_end'], a['year']) == (1640, 1650, 1645)
  assert (b['year'], c['year']) == (1660, 1700)
  assert math.isnan(b['height'])
  assert (a['height'], c['height']) == (12.5, 7)


def test_rare_classes_are_missing_and_listed(tmp_path):
  rows = [(f'{i}.png', 'Ann' if i < 20 else 'Bob' if i < 39 else 'Cy') for i in range(42)]
  path = build(write_collection(tmp_path / 's', ['image', 'artist'], rows), min_per_class=20)
  found = records(path)
  assert {record['artist'] for record in found} == {'Ann', None}
  about = build_report.read(path)['tasks']['artist']
  assert about['dropped_classes'] == {'Bob': 19, 'Cy': 3}
  assert (about['classes'], about['labelled'], about['missing']) == (1, 20, 22)
  assert len(found) == 42


def test_columns_without_a_class_are_left_out_and_named(tmp_path, capsys):
  rows = [(f'{i}.png', 'Ann', f'signed {i}') for i in range(10)]
  path = build(
    write_collection(tmp_path / 's', ['image', 'artist', 'signature'], rows), min_per_class=5
  )
  assert 'signature' not in records(path)[0]
  assert build_report.read(path)['columns_left_out'] == ['signature']
  assert 'left out: signature' in capsys.readouterr().out


def groups_of(path) -> dict[str, str]:
  return {record['object_number']: record['group'] for record in records(path)}


def test_equal_pixels_share_a_group_in_any_format(tmp_path):
  source = simple(tmp_path / 's', 20)
  shutil.copy(source / '03.png', source / '07.png')
  Image.open(source / '03.png').save(source / '11.bmp')
  rows = [(f'{i:02d}.png' if i != 11 else '11.bmp', 'Ann') for i in range(20)]
  write_table(source / 'metadata.csv', ['image', 'artist'], rows)
  groups = groups_of(build(source))
  assert groups['03.png'] == groups['07.png'] == groups['11.bmp'] == '03.png'
  assert len(set(groups.values())) == 18


def test_equal_jpegs_are_found_through_scaled_decoding(tmp_path):
  source = tmp_path / 's'
  rows = []
  for i in range(12):
    draw(source / f'{i:02d}.jpg', i, size=(400, 300), quality=90)
    rows.append((f'{i:02d}.jpg', 'Ann'))
  # The same coefficients in a file with a comment, and the same pixels in another format.
  data = (source / '02.jpg').read_bytes()
  (source / '05.jpg').write_bytes(data[:2] + b'\xff\xfe\0\6note' + data[2:])
  Image.open(source / '08.jpg').save(source / '09.png')
  rows[9] = ('09.png', 'Ann')
  write_table(source / 'metadata.csv', ['image', 'artist'], rows)
  for size in (64, None):
    groups = groups_of(build(source, image_size=size, overwrite=True))
    assert groups['05.jpg'] == '02.jpg'
    assert groups['09.png'] == '08.jpg'
    assert len(set(groups.values())) == 10


def test_equal_photographs_are_found_at_a_small_size(tmp_path):
  # Unlike noise, which is grey when reduced, they show that a scaled decode rounds its size up.
  source, sizes = tmp_path / 's', np.random.default_rng(0).integers(500, 1200, (8, 2))
  soft = Image.fromarray(np.random.default_rng(1).integers(0, 256, (6, 8, 3), np.uint8))
  rows = []
  for i, size in enumerate(sizes.tolist()):
    source.mkdir(exist_ok=True)
    soft.resize(size, Image.Resampling.BICUBIC).save(source / f'{i}.jpg', quality=90)
    decoded = images.decode((source / f'{i}.jpg').read_bytes(), name='x')
    Image.fromarray(decoded).save(source / f'{i}.png', compress_level=1)
    rows += [(f'{i}.jpg', 'Ann'), (f'{i}.png', 'Ann')]
  write_table(source / 'metadata.csv', ['image', 'artist'], rows)
  groups = groups_of(build(source, image_size=48))
  assert all(groups[f'{i}.png'] == groups[f'{i}.jpg'] for i in range(8))


def test_groups_of_table_and_object_number(tmp_path):
  rows = [
    ('a1.png', 'A', '', 'Ann'),
    ('a2.png', 'A', '', 'Ann'),
    ('b.png', 'B', 'set', 'Ann'),
    ('c.png', 'C', 'set', 'Bob'),
    ('d.png', 'D', '', 'Bob'),
  ]
  path = build(
    write_collection(tmp_path / 's', ['image', 'object_number', 'group', 'artist'], rows)
  )
  found = records(path)
  assert [record['object_number'] for record in found] == ['A', 'A', 'B', 'C', 'D']
  assert [record['group'] for record in found] == ['A', 'A', 'set', 'set', 'D']
  assert build_report.read(path)['groups'] == {
    'groups': 3,
    'records_in_groups_of_several': 4,
    'largest': 2,
  }


def test_no_group_is_in_two_splits_and_the_report_counts_avoided_leaks(tmp_path):
  rows = [(f'{i:03d}.png', f'{i // 3:03d}', 'Ann') for i in range(150)]
  path = build(write_collection(tmp_path / 's', ['image', 'group', 'artist'], rows))
  found = records(path)
  by_group: dict[str, set[str]] = {}
  for record in found:
    by_group.setdefault(record['group'], set()).add(record['split'])
  assert all(len(names) == 1 for names in by_group.values())
  assert {name for names in by_group.values() for name in names} == {'train', 'val', 'test'}
  leak = build_report.read(path)['leak']
  assert leak == splits.leak({f'{i:03d}.png': f'{i // 3:03d}' for i in range(150)})
  assert leak['leaked'] > 5


def test_adding_a_picture_moves_at_most_one_other(tmp_path):
  source = simple(tmp_path / 's', 30)
  before = {r['object_number']: (r['split'], r['group']) for r in records(build(source))}
  draw(source / 'aaa.png', 99)
  with (source / 'metadata.csv').open('a') as file:
    file.write('aaa.png,Ann,bowl\n')
  after = {
    r['object_number']: (r['split'], r['group']) for r in records(build(source, overwrite=True))
  }
  assert after.pop('aaa.png')
  assert len(after.items() - before.items()) <= 1


def test_seed_and_fractions(tmp_path):
  source = simple(tmp_path / 's', 30)
  first = [r['split'] for r in records(build(source))]
  second = [r['split'] for r in records(build(source, seed=1, overwrite=True))]
  assert first != second
  path = build(source, fractions='0.5,0,0.5', overwrite=True)
  assert set(tfds.builder_from_directory(str(path)).info.splits) == {'train', 'test'}


def test_split_column(tmp_path):
  rows = [(f'{i}.png', 'Ann', ['Train', 'validation', 'test'][i % 3]) for i in range(9)]
  path = build(write_collection(tmp_path / 's', ['image', 'artist', 'split'], rows))
  assert [r['split'] for r in records(path)] == ['train', 'val', 'test'] * 3
  assert 'leak' not in build_report.read(path)


def test_unreadable_pictures_are_counted_by_reason(tmp_path, capsys):
  source = simple(tmp_path / 's', 30)
  (source / '04.png').write_bytes(b'')
  (source / '05.png').write_bytes((source / '05.png').read_bytes()[:400])
  (source / '06.png').unlink()
  path = build(source)
  about = build_report.read(path)
  assert about['unreadable'] == {
    'empty file': ['04.png'],
    'no such file': ['06.png'],
    'truncated': ['05.png'],
  }
  assert len(records(path)) == 27
  assert 'empty file' in capsys.readouterr().out


def test_several_spellings_and_twins_with_other_labels_are_reported(tmp_path, capsys):
  rows = [(f'{i}.png', ['Jan Steen', 'jan steen', 'Dürer', 'Durer'][i % 4]) for i in range(8)]
  source = write_collection(tmp_path / 's', ['image', 'artist'], rows)
  shutil.copy(source / '0.png', source / '2.png')
  path = build(source)
  about = build_report.read(path)
  assert about['spellings'] == {'artist': [['Durer', 'Dürer'], ['Jan Steen', 'jan steen']]}
  assert about['equal_pictures']['different']['artist'] == [
    {'0.png': ['Jan Steen'], '2.png': ['Dürer']}
  ]
  out = capsys.readouterr().out
  assert 'Durer = Dürer' in out
  assert '1 set of equal pictures with different values' in out


def test_labels_option_takes_only_what_it_names(tmp_path):
  source = simple(tmp_path / 's', 12)
  path = build(source, labels='type')
  assert set(json.loads((path / 'build_report.json').read_text())['tasks']) == {'type'}


def test_a_value_too_rare_to_be_a_class_is_kept_as_text(tmp_path):
  rows = [(f'{i}.png', 'Ann' if i < 20 else '' if i < 22 else 'Cy', 'a|b') for i in range(25)]
  source = write_collection(tmp_path / 'source', ('image', 'artist', 'tags'), rows)
  path = build(source, min_per_class=20)
  found = {record['object_number']: record for record in records(path)}
  for image, artist, _ in rows:
    assert found[image]['artist_rare'] == ('Cy' if artist == 'Cy' else '')
    assert (found[image]['artist'] == 'Ann') == (artist == 'Ann')
  assert 'tags_rare' not in found['0.png']  # of several labels some may be rare, and in no class


def test_a_column_must_not_have_the_name_for_rare_values(tmp_path):
  rows = [(f'{i}.png', 'Ann', 'x') for i in range(25)]
  source = write_collection(tmp_path / 'source', ('image', 'artist', 'artist_rare'), rows)
  with pytest.raises(UserError, match='the column artist_rare has the name reserved for rare'):
    build(source)
