"""The builder, end to end on a small synthetic museum, through `prepare`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from built_museum import records, report

import tfds_rijks  # noqa: F401  # registers the builders
from tfds_rijks import images
from tfds_rijks.prepare import prepare
from tfds_rijks.rijksmuseum import configs, creators, synthetic
from tfds_rijks.rijksmuseum.synthetic import draw_museum

OBJECTS = 300


@pytest.fixture(scope='module')
def museum(tmp_path_factory) -> Path:
  return draw_museum(tmp_path_factory.mktemp('museum') / 'source', objects=OBJECTS, seed=1)


@pytest.fixture(scope='module')
def data_dir(museum, tmp_path_factory) -> Path:
  folder = tmp_path_factory.mktemp('prepared')
  for config in ('multitask', 'full', 'challenge2014'):
    prepare(f'rijksmuseum/{config}', manual_dir=museum, data_dir=folder, processes=1)
  return folder


def test_records_agree_with_the_files(data_dir, museum):
  builder = tfds.builder('rijksmuseum/full', data_dir=str(data_dir))
  found = {
    one['object_number'].decode(): one
    for split in builder.info.splits
    for one in records(data_dir, 'full', split)
  }
  checked = 0
  for path in sorted((museum / 'xml2').glob('*.xml')):
    text = path.read_bytes().decode('utf-8', 'replace')
    one = found.get(path.stem.partition('_')[2])
    if one is None or '<!DOCTYPE' in text or '</record>' not in text:
      continue
    assert bytes(one['image']) == (museum / 'jpg2' / f'{path.stem}.jpg').read_bytes()
    names = builder.info.features['type'].feature.names
    assert [f'<dc:type>{names[k]}</dc:type>' in text for k in one['type']] == [True] * len(
      one['type']
    )
    assert len(one['type']) == text.count('<dc:type>')
    assert one['title'].decode() in text
    if '<dc:date>' in text:
      begin, end = text.split('<dc:date>')[1].split('</dc:date>')[0].split(' - ')
      assert (one['year_begin'], one['year_end']) == (float(begin), float(end))
      assert one['year'] == (float(begin) + float(end)) / 2
    else:
      assert np.isnan(one['year'])
    assert len(one['creators']['name']) == text.count('<dc:creator>')
    checked += 1
  assert checked > 250


def test_report_counts_everything(data_dir):
  found = report(data_dir, 'full')
  assert found['objects'] == OBJECTS
  assert {reason: len(ids) for reason, ids in found['unreadable'].items()} == {
    'an HTML page, not a picture': 1,
    'empty file': 1,
    'truncated': 1,
  }
  assert len(found['pictures_without_record']) == len(found['records_without_picture']) == 1
  assert {reason: len(ids) for reason, ids in found['records_refused'].items()} == {
    'XML has a DOCTYPE': 1,
    'XML is not well-formed': 1,
  }
  assert sum(found['splits'].values()) == OBJECTS - 3 - 1
  assert found['creators']['qualifiers']['toegeschreven aan'] > 0
  assert found['creators']['roles']['prentmaker'] > 20
  assert found['creators']['first_anonymous'] > 10
  years = [one['year'] for split in found['splits'] for one in records(data_dir, 'full', split)]
  assert found['dated'] == np.isfinite(years).sum()
  assert found['siblings_in_train'] == {'test': found['splits']['test'], 'leaked': 0, 'share': 0.0}
  assert found['leak']['leaked'] > 0
  assert found['comparable']['published'] is False


def test_multitask_report(data_dir):
  found = report(data_dir, 'multitask')
  assert sum(found['splits'].values()) + sum(found['excluded'].values()) == OBJECTS - 4
  for task, about in found['tasks'].items():
    labels = Counter(
      one[task] for split in found['splits'] for one in records(data_dir, 'multitask', split)
    )
    assert labels == dict(enumerate(about['counts'].values()))
    assert about['largest_class_share'] == max(labels.values()) / sum(labels.values())
    assert about['missing'] == 0


def test_groups_keep_to_one_split(data_dir):
  for config in ('multitask', 'full'):
    where: dict[bytes, set[str]] = {}
    for split in report(data_dir, config)['splits']:
      for one in records(data_dir, config, split):
        where.setdefault(one['group'], set()).add(split)
    assert all(len(splits) == 1 for splits in where.values())
    assert len(where) < sum(report(data_dir, config)['splits'].values())


def test_equal_pictures_are_one_group(data_dir):
  groups: dict[str, set[bytes]] = {}
  for split in report(data_dir, 'full')['splits']:
    for one in records(data_dir, 'full', split):
      digest = images.pixel_digest(images.decode(bytes(one['image']), name='x'))
      groups.setdefault(digest, set()).add((one['group'], one['object_number']))
  twins = [found for found in groups.values() if len(found) > 1]
  assert twins
  assert all(len({group for group, _ in found}) == 1 for found in twins)


def test_challenge2014_follows_the_ground_truth(data_dir, museum):
  from tfds_rijks.rijksmuseum import groundtruth, layout

  stems = list(layout.find(museum).stems)
  truth = groundtruth.read(museum / 'rijksgt.mat', rows=len(stems))
  row = {stem.partition('_')[2]: i for i, stem in enumerate(stems)}
  names = tfds.builder('rijksmuseum/challenge2014', data_dir=str(data_dir)).info.features
  for split in ('train', 'val', 'test'):
    for one in records(data_dir, 'challenge2014', split):
      i = row[one['object_number'].decode()]
      assert truth.splits[i] == split
      artist = names['artist'].names[one['artist']]
      assert artist in (truth.creators[i], 'rest')
      assert {names['type'].feature.names[k] for k in one['type']} <= set(truth.types[i])
  found = report(data_dir, 'challenge2014')
  assert found['siblings_in_train']['leaked'] > 0
  assert names['artist'].names[-1] == 'rest'


def test_sub_splits_decoding_and_names(data_dir):
  source = tfds.data_source('rijksmuseum/multitask', split='train[:10%]', data_dir=str(data_dir))
  every = tfds.data_source('rijksmuseum/multitask', split='train', data_dir=str(data_dir))
  assert 0 < len(source) < len(every)
  image = every[0]['image']
  assert image.dtype == np.uint8
  assert image.ndim == 3
  assert (
    'penning'
    in tfds.builder('rijksmuseum/multitask', data_dir=str(data_dir)).info.features['type'].names
  )


def test_opens_where_the_package_is_not_installed(data_dir, tmp_path):
  """In a process that cannot import tfds_rijks, and in which TensorFlow must not be loaded."""
  folder = data_dir / 'rijksmuseum' / 'multitask' / configs.VERSION
  code = f"""
import sys


class Blocked:
  def find_spec(self, name, path=None, target=None):
    if name.split('.')[0] in ('tfds_rijks', 'flaxart'):
      raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Blocked())
import tensorflow_datasets as tfds
builder = tfds.builder_from_directory({str(folder)!r})
source = builder.as_data_source(split='test')
loaded = {{'tensorflow', 'jax'}} & set(sys.modules)
print(len(source), builder.info.features['type'].names[0], source[0]['image'].ndim, loaded)
"""
  done = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, cwd=tmp_path, check=False
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.split() == [
    str(report(data_dir, 'multitask')['splits']['test']),
    'beeld',
    '3',
    'set()',
  ]


def test_preparing_imports_neither_tensorflow_nor_jax(museum, tmp_path):
  code = f"""
import sys
import tfds_rijks.prepare as p
p.prepare('rijksmuseum/eccv2018_type', processes=1,
          manual_dir={str(museum)!r}, data_dir={str(tmp_path)!r})
print(sorted({{'tensorflow', 'jax', 'flaxart'}} & set(sys.modules)))
"""
  done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
  assert done.stdout.rstrip().endswith('[]')


def test_tensorflow_reads_it_by_a_generator(data_dir):
  """The recipe of the README, where TensorFlow is installed."""
  tf = pytest.importorskip('tensorflow')
  source = tfds.data_source('rijksmuseum/multitask', split='test', data_dir=str(data_dir))
  data = tf.data.Dataset.from_generator(
    lambda: ({'image': one['image'], 'artist': one['artist']} for one in source),
    output_signature={
      'image': tf.TensorSpec((None, None, 3), tf.uint8),
      'artist': tf.TensorSpec((), tf.int64),
    },
  )
  assert sum(1 for _ in data) == len(source)


def test_dummy_data(tmp_path):
  """The folder that TFDS asks for beside a builder: written by the generator of this package."""
  folder = Path(synthetic.__file__).parents[1] / 'dummy_data'
  assert json.loads((folder / 'synthetic.json').read_text())['recipe'] == synthetic.museum.RECIPE
  prepare('rijksmuseum/challenge2014', manual_dir=folder, data_dir=tmp_path, processes=1)
  assert sum(report(tmp_path, 'challenge2014')['splits'].values()) == 16  # 20, 3 broken, 1 missing
  drawn = draw_museum(tmp_path / 'again', objects=20)
  assert sorted(path.name for path in (drawn / 'jpg2').iterdir()) == sorted(
    path.name for path in (folder / 'jpg2').iterdir()
  )


def test_the_folder_follows_tfds_conventions(tmp_path):
  folder = Path(synthetic.__file__).parents[1]
  for name in ('README.md', 'CITATIONS.bib', 'TAGS.txt', 'checksums.tsv', 'dummy_data'):
    assert (folder / name).exists()
  info = tfds.builder('rijksmuseum/full', data_dir=str(tmp_path)).info
  assert 'mensink2014rijksmuseum' in info.citation
  assert info.description.startswith('# The Rijksmuseum Challenge 2014')


def test_invented_objects_are_called_that(data_dir):
  builder = tfds.builder('rijksmuseum/full', data_dir=str(data_dir))
  (folder,) = (data_dir / 'rijksmuseum' / 'full').glob('[0-9]*')
  for one in (builder, tfds.builder_from_directory(folder)):
    assert one.info.description.startswith('Invented objects, drawn by flaxart')
  report = json.loads((folder / 'build_report.json').read_text())
  assert report['drawn'] and not report['complete'] and report['notes'][0].startswith('Invented')
  assert report['comparable'] == {'published': False, 'why': 'the objects are invented'}


def test_the_readme_names_every_config_qualifier_and_role():
  text = (Path(synthetic.__file__).parents[1] / 'README.md').read_text()
  for word in (*creators.DISTANCING, *creators.NEUTRAL, *creators.PUBLISHERS, *creators.NOT_MAKERS):
    assert f'`{word}`' in text
  for protocol in configs.PROTOCOLS:
    assert protocol in text or protocol.endswith(('_s1', '_s2', '_s3', '_s4'))
