"""The builder's options, lists of objects and sources, through `prepare` on a synthetic museum."""

from __future__ import annotations

import csv
import io
import json
import shutil
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from built_museum import records, report
from museum_copy import copy
from PIL import Image

from tfds_rijks import images
from tfds_rijks.errors import UserError
from tfds_rijks.prepare import prepare
from tfds_rijks.rijksmuseum import configs, objects
from tfds_rijks.rijksmuseum.options import Preparation
from tfds_rijks.rijksmuseum.synthetic import draw_museum
from tfds_rijks.rijksmuseum.synthetic.records import Work, oai_dc


@pytest.fixture(scope='module')
def museum(tmp_path_factory) -> Path:
  return draw_museum(tmp_path_factory.mktemp('museum') / 'source', objects=300, seed=1)


def test_image_size_is_part_of_the_name(museum, tmp_path):
  path = prepare(
    'rijksmuseum/eccv2018_material',
    manual_dir=museum,
    data_dir=tmp_path,
    image_size=64,
    processes=1,
  )
  assert path == tmp_path / 'rijksmuseum' / 'eccv2018_material_64px' / configs.VERSION
  for one in records(tmp_path, 'eccv2018_material_64px', 'train')[:10]:
    with Image.open(io.BytesIO(one['image'])) as image:
      assert min(image.size) == 64
  again = prepare('rijksmuseum/eccv2018_material_64px', manual_dir=museum, data_dir=tmp_path)
  assert again == path


def test_lists_restrict_and_split(museum, tmp_path):
  stems = sorted(path.stem for path in (museum / 'jpg2').iterdir())[20:80]
  listed = tmp_path / 'list.csv'
  lines = [f'{stem}.jpg,{("train", "test")[k % 2]},onbekend' for k, stem in enumerate(stems)]
  listed.write_text('\n'.join(['jpg,split,material', *lines, '9999999_SK-A-1.jpg,test,papier']))
  path = prepare(
    'rijksmuseum/full',
    manual_dir=museum,
    data_dir=tmp_path / 'data',
    objects_file=listed,
    processes=1,
  )
  found = json.loads((path / 'build_report.json').read_text())
  assert path.parent.name.startswith('full_list-')
  assert set(found['splits']) == {'train', 'test'}
  assert 55 <= sum(found['splits'].values()) <= 60
  assert found['list']['not_in_the_museum'] == ['9999999_SK-A-1']
  assert len(found['list']['labels_that_differ']['material']) > 40
  with pytest.raises(UserError, match='give that list with --objects'):
    prepare(f'rijksmuseum/{path.parent.name}', manual_dir=museum, data_dir=tmp_path / 'data')


def test_a_published_list_is_the_selection(tmp_path):
  """90 lines of Tonkes and Sabatelli's material set (ViTTransferLearningForArtClassification)."""
  listed = Path(__file__).parent / 'rijksmuseum_material_excerpt.csv'
  rows = list(csv.DictReader(listed.open()))
  (tmp_path / 'source' / 'jpg2').mkdir(parents=True)
  (tmp_path / 'source' / 'xml2').mkdir()
  rng = np.random.default_rng(0)
  for row in [*rows, {'jpg': '0000001_SK-A-1.jpg', 'material': 'papier'}]:
    stem = row['jpg'].removesuffix('.jpg')
    work = Work(
      stem=stem,
      number=stem.partition('_')[2],
      title='',
      creators=(' : ',),
      types=(),
      materials=(row['material'],),
      techniques=(),
      years=None,
    )
    pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    (tmp_path / 'source' / 'jpg2' / row['jpg']).write_bytes(images.encode_jpeg(pixels))
    (tmp_path / 'source' / 'xml2' / f'{stem}.xml').write_bytes(oai_dc(work))
  path = prepare(
    'rijksmuseum/balanced30_material_s0',
    manual_dir=tmp_path / 'source',
    data_dir=tmp_path / 'data',
    objects_file=listed,
    processes=1,
  )
  found = json.loads((path / 'build_report.json').read_text())
  assert sum(found['splits'].values()) == len(rows) == 90
  assert found['tasks']['material']['counts'] == Counter(row['material'] for row in rows)
  assert len(found['tasks']['material']['counts']) == 30
  assert found['list']['labels_that_differ'] == {}
  assert found['list']['not_in_the_museum'] == []
  assert found['comparable']['published'] is False  # 90 of the 7,788


def test_from_archives(museum, tmp_path):
  source = copy(museum, tmp_path / 'plain', keep=60)
  packed = tmp_path / 'packed'
  packed.mkdir()
  for name in ('jpg2', 'xml2'):
    with zipfile.ZipFile(packed / f'{name}.zip', 'w') as out:
      for path in sorted((source / name).iterdir()):
        out.write(path, f'{name}/{path.name}')
  with pytest.raises(UserError, match=r'jpg2\.zip: is an archive, which --dry_run') as error:
    prepare('rijksmuseum/full', manual_dir=packed, data_dir=tmp_path / 'b', dry_run=True)
  assert '\n' not in str(error.value)
  assert not (tmp_path / 'b').exists()
  a = prepare('rijksmuseum/full', manual_dir=source, data_dir=tmp_path / 'a', processes=1)
  b = prepare('rijksmuseum/full', manual_dir=packed, data_dir=tmp_path / 'b', processes=1)
  one, two = (json.loads((path / 'build_report.json').read_text()) for path in (a, b))
  assert one == two
  assert (tmp_path / 'b' / 'rijksmuseum_unpacked').is_dir()
  before = sorted((tmp_path / 'b').rglob('*'))
  config = 'rijksmuseum/full_seed7'  # what was unpacked already can be estimated without a trace
  prepare(config, manual_dir=packed, data_dir=tmp_path / 'b', dry_run=True, processes=1)
  assert sorted((tmp_path / 'b').rglob('*')) == before
  assert not list((tmp_path / 'b').rglob('.staging'))


def test_two_objects_with_one_number(museum, tmp_path):
  source = copy(museum, tmp_path / 'source')
  stem = next(
    path.stem
    for path in sorted((source / 'xml2').iterdir())[10:]
    if (source / 'jpg2' / f'{path.stem}.jpg').stat().st_size > 1000
  )
  number = stem.partition('_')[2]
  shutil.copy(source / 'jpg2' / f'{stem}.jpg', source / 'jpg2' / f'9999999_{number}.jpg')
  shutil.copy(source / 'xml2' / f'{stem}.xml', source / 'xml2' / f'9999999_{number}.xml')
  prepare('rijksmuseum/full', manual_dir=source, data_dir=tmp_path / 'data', processes=1)
  found = report(tmp_path / 'data', 'full')
  assert found['numbers_used_twice'] == {number: [stem, f'9999999_{number}']}
  splits = [
    split
    for split in found['splits']
    for one in records(tmp_path / 'data', 'full', split)
    if one['object_number'].decode() == number
  ]
  assert len(splits) == 2
  assert len(set(splits)) == 1


def test_names_have_every_option():
  names = [config.name for config in configs.CONFIGS]
  assert len(names) == len(set(names)) == 3 + 3 + 15
  assert names[0] == 'multitask'
  for protocol in configs.PROTOCOLS:
    other = (
      'strict' if configs.PROTOCOLS[protocol].attribution == 'as_published' else 'as_published'
    )
    config = configs.make(protocol, attribution=other, image_size=96)
    assert config.name == f'{protocol}_{other}_96px'
    assert configs.parse_name(config.name) == (protocol, {'attribution': other, 'image_size': 96})
    assert config.version == configs.VERSION
  assert Preparation('full_seed7', Path()).config.seed == 7


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'processes': -1}, '--processes=-1: expected 1 or more'),
    ({'max_pixels': 0}, '--max_pixels=0: expected 1 or more'),
    ({'max_unreadable': 'few'}, "--max_unreadable: found 'few'"),
  ],
)
def test_options_are_refused_before_anything_is_read(options, message):
  with pytest.raises(UserError, match=message):
    Preparation('full', Path(), **options)


@pytest.mark.parametrize('row', ['"0000001_a,train', '0000001_a,"train" x'], ids=len)
def test_a_list_of_objects_that_is_not_a_table(tmp_path, row):
  (tmp_path / 'list.csv').write_text(f'stem,split\n{row}\n0000002_b,train\n')
  with pytest.raises(UserError, match='expected a table with quotes in pairs'):
    objects.read(tmp_path / 'list.csv')
