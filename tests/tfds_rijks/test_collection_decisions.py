"""`--decisions`: decided values are labels of the training split, and of no other."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from collections_on_disk import build, records, write_collection

from flaxart.data.loader import Decode
from flaxart.data.source import open_dataset, weight_name
from flaxart.machine.sharding import create_mesh
from flaxart.off_the_shelf.feature_batches import train_data
from flaxart.tasks.sigmoid import Sigmoid
from flaxart.workdir.class_names import by_class_name
from tfds_rijks import build_report
from tfds_rijks.errors import UserError
from tfds_rijks.images import Square
from tfds_rijks.label_origin import Origin, parse
from tfds_rijks.prepare import prepare
from tfds_rijks.suggestions import Suggestion, write

COLUMNS = ('image', 'id', 'artist', 'material', 'year')


@pytest.fixture(scope='module')
def museum(tmp_path_factory):
  """120 objects; some without an artist, a material or a year, one number defused."""
  rows = []
  for i in range(120):
    artist = ('Ann', 'Bob', '')[i % 3]
    material = ('oil|wood', 'tin', '', 'oil')[i % 4]
    number = "'=A7" if i == 7 else f'A{i}'
    rows.append((f'{i:03d}.png', number, artist, material, '' if i % 5 == 0 else 1600 + i))
  folder = tmp_path_factory.mktemp('decisions') / 'museum'
  return write_collection(folder, COLUMNS, rows)


@pytest.fixture(scope='module')
def before(museum):
  """What the records are without decisions."""
  return {record['object_number']: record for record in records(build(museum))}


def decision(record, field, value, status='accepted'):
  return Suggestion(record_id=record, image='', field=field, value=value, status=status)


def missing(before, split, field):
  def lacks(value):
    return (
      value is None or value == [] or (isinstance(value, float | np.floating) and value != value)
    )

  return [n for n, one in before.items() if one['split'] == split and lacks(one[field])]


def test_decided_values_are_labels_of_train_and_of_no_other_split(museum, before, tmp_path):
  artist, material = missing(before, 'train', 'artist'), missing(before, 'train', 'material')
  year = missing(before, 'train', 'year')
  named = next(n for n, one in before.items() if one['split'] == 'train' and one['artist'] == 'Ann')
  listed = next(
    n for n, one in before.items() if one['split'] == 'train' and one['material'] == ['tin']
  )
  held_out = {n for n, one in before.items() if one['split'] in ('val', 'test')}
  rows = [
    decision(artist[0], 'artist', 'Ann'),
    decision(artist[1], 'artist', 'Cleo', 'changed'),
    decision(artist[2], 'artist', 'Cleo', 'changed'),
    *(decision(artist[3], 'artist', 'Bob', s) for s in ('rejected', 'unsure', 'suggested')),
    decision(named, 'artist', 'Bob'),  # the museum says Ann
    decision(material[0], 'material', 'oil'),
    decision(material[0], 'material', 'tin', 'rejected'),
    decision(listed, 'material', 'wood'),
    decision(year[0], 'year', '1725'),
    *(decision(number, 'artist', 'Cleo', 'changed') for number in held_out),
    *(decision(number, 'material', 'wood') for number in held_out),
    decision('elsewhere', 'artist', 'Ann'),
    decision(artist[0], 'title', 'Still life'),
  ]
  write(tmp_path / 'D.csv', rows)
  options = {'decisions': str(tmp_path / 'D.csv'), 'decisions_weight': 0.5}
  with pytest.raises(UserError, match='decisions was None, now'):
    build(museum, **options)
  path = build(museum, overwrite=True, **options)
  after = {record['object_number']: record for record in records(path)}
  assert {n: one['split'] for n, one in after.items()} == {
    n: one['split'] for n, one in before.items()
  }
  expected = {
    (artist[0], 'artist'): 'Ann',
    (artist[1], 'artist'): 'Cleo',
    (artist[2], 'artist'): 'Cleo',
    (named, 'artist'): 'Bob',
    (material[0], 'material'): ['oil'],
    (listed, 'material'): ['tin', 'wood'],
    (year[0], 'year'): 1725,
  }
  for number, one in after.items():
    for field in ('artist', 'material', 'year'):
      old = before[number][field]
      new = expected.pop((number, field), old)
      assert one[field] == new or math.isnan(new), (number, field)
  assert not expected
  origin = {n: parse(one['label_origin']) for n, one in after.items() if one['label_origin']}
  expected = {}
  for number, field, one in (
    (artist[0], 'artist', Origin('accepted', 0.5, ('Ann',))),
    (artist[1], 'artist', Origin('changed', 0.5, ('Cleo',))),
    (artist[2], 'artist', Origin('changed', 0.5, ('Cleo',))),
    (named, 'artist', Origin('accepted', 0.5, ('Bob',))),
    (material[0], 'material', Origin('accepted', 0.5, ('oil',), ('tin',), partial=True)),
    (listed, 'material', Origin('accepted', 0.5, ('wood',))),
    (year[0], 'year', Origin('accepted', 0.5)),
  ):
    expected.setdefault(number, {})[field] = one
  assert origin == expected
  account = build_report.read(path)['decisions']
  assert account['labels'] == {'artist': 4, 'material': 2, 'year': 1}
  assert account['replaced'] == [f'{named}: artist was Ann']
  assert sum(account['not_used_in'].values()) == 2 * len(held_out)
  assert account['without_picture'] == ['elsewhere'] and account['ignored_fields'] == {'title': 1}
  # What a run reads: weights of train alone, and unknown classes with 0.
  dataset = open_dataset(
    'collection', data_dir=museum.parent / 'prepared', tasks=['artist', 'material', 'year']
  )
  assert [name for name, split in dataset.splits.items() if split.weights] == ['train']
  train = dataset.split('train')
  at = {number: i for i, number in enumerate(train.ids)}
  halves = {train.ids[i] for i in np.flatnonzero(train.weights['artist'] == 0.5)}
  assert halves == {*artist[:3], named} and train.weights['artist'].sum() == len(train) - 2
  # Classes are oil, tin, wood.
  assert train.weights['material'][at[material[0]]].tolist() == [0.5, 0.5, 0]
  assert train.weights['material'][at[listed]].tolist() == [1, 1, 0.5]
  assert train.weights['year'][at[year[0]]] == 0.5
  # Batches have them, whether pictures are decoded or features are on the devices.
  some = np.arange(8)
  batch = Decode(dataclasses.replace(train, on_device=True), Square(32))(some)
  kept = train_data(
    dataclasses.replace(train, decoded=np.zeros((len(train), 2))), mesh=create_mesh()
  )
  for task, rows in train.weights.items():
    assert (batch[weight_name(task)] == rows[some]).all() and (
      kept[weight_name(task)] == rows
    ).all()
  # The same in the order of a run's classes, one of which these data lack.
  task = Sigmoid('material', ('wood', 'new', 'oil'))
  moved = by_class_name(dataset, [task]).split('train').weights['material']
  assert moved[at[material[0]]].tolist() == [0, 0, 0.5]
  assert moved[at[listed]].tolist() == [0.5, 1, 1]


def test_decisions_match_defused_numbers_and_count_like_others_by_default(museum, tmp_path):
  write(tmp_path / 'D.csv', [decision('=A7', 'artist', '@x', 'changed')])
  data = tmp_path / 'prepared'
  options = {'manual_dir': museum, 'data_dir': data, 'min_per_class': 1, 'processes': 1}
  path = prepare('collection', **options, fractions='1,0,0', decisions=str(tmp_path / 'D.csv'))
  assert {one['object_number']: one['artist'] for one in records(path)}['=A7'] == '@x'
  dataset = open_dataset('collection', data_dir=data, tasks=['artist'])
  assert not dataset.split('train').weights


@pytest.mark.parametrize(
  ('rows', 'options', 'said'),
  [
    ([('A1', 'artist', 'Ann'), ('A1', 'artist', 'Bob')], {}, "A1: artist is decided as 'Ann' and"),
    (
      [('A1', 'material', 'oil', 'rejected'), ('A1', 'material', 'oil ')],
      {},
      "A1: material 'oil' is accepted in one row and rejected in another",
    ),
    ([('A1', 'title', 'x')], {}, 'decides title; expected fields among artist, material, year'),
    ([('', 'artist', 'Ann')], {}, 'is accepted without a record_id'),
    ([('A1', 'year', 'about then')], {}, "A1: year is 'about then'; expected a year from 100"),
    ([('A1', 'artist', 'Ann')], {'decisions_weight': -1.0}, '--decisions_weight=-1: expected'),
    ([('A1', 'artist', 'Ann')], {'decisions_weight': math.nan}, '--decisions_weight=nan: expect'),
    (None, {'decisions_weight': 0.5}, '--decisions_weight: needs --decisions'),
    (None, {'decisions': 'gone.csv'}, 'gone.csv: is not a file'),
    ([('A1', 'artist', 'Ann')], {'text': 'label_origin'}, 'has a column label_origin'),
  ],
)
def test_bad_decisions_are_one_line(rows, options, said, tmp_path):
  columns = (*COLUMNS[:4], 'year', 'label_origin')
  museum = write_collection(
    tmp_path / 'museum',
    columns,
    [(f'{i}.png', f'A{i}', 'Ann', 'oil|tin', 1650, 'x') for i in range(4)],
  )
  if 'text' not in options:
    options = {**options, 'labels': 'artist,material'}
  if rows is not None:
    write(tmp_path / 'D.csv', [decision(*row) for row in rows])
    options = {**options, 'decisions': str(tmp_path / 'D.csv')}
  with pytest.raises(UserError, match=said):
    build(museum, **options)
  assert not (tmp_path / 'prepared').exists()
