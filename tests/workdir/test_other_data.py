"""Other data than a run began with: other classes, labels, records, versions."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from tiny_museum import draw_collection

from flaxart.data.source import open_dataset
from flaxart.evaluate_run import evaluate_run
from flaxart.tasks.sigmoid import Sigmoid
from flaxart.train import train_and_evaluate
from flaxart.workdir import run_folder
from flaxart.workdir.class_names import by_class_name
from tfds_rijks.errors import UserError
from tfds_rijks.prepare import prepare


@pytest.fixture
def other_data(tmp_path):
  """The same pictures under other names: one artist is renamed, which moves the others."""
  source = draw_collection(tmp_path / 'source')
  table = (source / 'metadata.csv').read_text().replace('Bert', 'Zoe').replace('Anna', 'Yvo')
  (source / 'metadata.csv').write_text(table.replace('Cleo', 'Anna'))
  prepare('collection', manual_dir=source, data_dir=tmp_path / 'other', copies='equal')
  return tmp_path / 'other'


def test_other_data_are_refused_by_name_and_remapped_on_request(
  copied, finished, other_data, caplog
):
  config = finished[1].copy_and_resolve_references()
  config.data.data_dir = str(other_data)
  with pytest.raises(
    UserError, match=r"class 1 of artist was 'Bert' .* is 'Yvo' .*--remap_classes"
  ):
    evaluate_run(copied, split='test', config=config)
  with pytest.raises(
    UserError, match=r"class 1 of artist was 'Bert' .* is 'Yvo' .*--remap_classes"
  ):
    train_and_evaluate(config, copied)
  # The run's Cleo is unknown here, and Anna here was Cleo: every answer becomes wrong.
  with caplog.at_level('INFO', 'flaxart'):
    scores = evaluate_run(copied, split='test', config=config, remap_classes=True)
  assert 'artist: 1 of 3 classes matched by name; unknown' in caplog.text
  assert "'Yvo', 'Zoe'; not in the data: 'Bert', 'Cleo'" in caplog.text
  before = json.loads((copied / 'results.json').read_text())['test']
  assert scores['type'] == before['type']
  assert scores['artist']['n'] < before['artist']['n']


def test_other_labels_of_the_same_records_are_refused(copied, finished, tmp_path):
  source = draw_collection(tmp_path / 'source')
  table = (source / 'metadata.csv').read_text()
  swapped = table.replace('bowl', '*').replace('coin', 'bowl').replace('*', 'coin')
  (source / 'metadata.csv').write_text(swapped)
  prepare('collection', manual_dir=source, data_dir=tmp_path / 'other', copies='equal')
  config = finished[1].copy_and_resolve_references()
  config.data.data_dir = str(tmp_path / 'other')
  for again in (
    lambda: evaluate_run(copied, split='test', config=config),
    lambda: train_and_evaluate(config, copied),
  ):
    with pytest.raises(UserError, match=r'the labels of type in train of .* differ from those'):
      again()
  scores = evaluate_run(copied, split='test', config=config, remap_classes=True)['type']
  before = json.loads((copied / 'results.json').read_text())['test']['type']
  assert scores['top1'] == pytest.approx(1 - before['top1'])  # every label is the other one


def test_each_label_counts_and_the_order_of_records_does_not(collection):
  dataset = open_dataset('collection', data_dir=collection, tasks=['artist', 'year'])
  split, n = dataset.split('train'), len(dataset.split('train'))
  split.labels['material'] = np.random.default_rng(0).random((n, 7)) < 0.2
  turned = dataclasses.replace(
    split, ids=split.ids[::-1], labels={name: rows[::-1] for name, rows in split.labels.items()}
  )
  for task, rows in split.labels.items():
    before = split.labels_sha256(task)
    assert turned.labels_sha256(task) == before
    for record in (0, n - 1):
      was = rows[record].copy()
      rows[record] = ~was if task == 'material' else was + 1
      assert split.labels_sha256(task) != before
      rows[record] = was


def test_labels_move_with_their_names(finished):
  workdir, config, _ = finished
  tasks = [
    type(t)(t.name, ('Cleo', 'Dora', 'Anna')) if t.name == 'artist' else t
    for t in run_folder.read_run(workdir)[1]
  ]
  dataset = open_dataset('collection', data_dir=config.data.data_dir, tasks=['artist', 'type'])
  moved = by_class_name(dataset, tasks).split('train').labels
  was = dataset.split('train').labels
  # Anna, Bert, Cleo were 0, 1, 2.
  np.testing.assert_array_equal(moved['artist'] == 2, was['artist'] == 0)
  np.testing.assert_array_equal(moved['artist'] == 0, was['artist'] == 2)
  np.testing.assert_array_equal(moved['artist'] == -1, (was['artist'] == 1) | (was['artist'] < 0))
  np.testing.assert_array_equal(moved['type'], was['type'])


def test_several_labels_of_a_record_move_with_their_names(collection):
  from tensorflow_datasets.core.features import ClassLabel, Sequence

  labels = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0]], bool)
  features = {'material': Sequence(ClassLabel(names=['oil', 'paper', 'silver']))}
  # `by_class_name` only changes the labels of a split and a dataset.
  known = open_dataset('collection', data_dir=collection, tasks=[])
  split = dataclasses.replace(known.split('test'), labels={'material': labels})
  dataset = dataclasses.replace(known, features=features, splits={'test': split})
  task = Sigmoid('material', ('silver', 'gold', 'oil', 'wood'))
  moved = by_class_name(dataset, [task]).split('test').labels['material']
  np.testing.assert_array_equal(moved, [[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize(
  ('change', 'line'),
  [
    ({'version': '0.9.0'}, r'was begun on version 0.9.0 of collection, .* has \d\.\d'),
    ({'splits': {'train': {'records': 5, 'sha256': 'x'}}}, 'begun with 5 records in train, .* 128'),
    ({'splits': {'more': {'records': 5, 'sha256': 'x'}}}, 'begun with 5 records in more, .* none'),
  ],
)
def test_another_version_of_the_data_is_refused(copied, finished, change, line):
  entry = json.loads((copied / 'run.json').read_text())
  entry['dataset'] |= change
  (copied / 'run.json').write_text(json.dumps(entry))
  for again in (
    lambda: evaluate_run(copied, split='test'),
    lambda: train_and_evaluate(finished[1], copied),
  ):
    with pytest.raises(UserError, match=line):
      again()
