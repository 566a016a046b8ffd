"""The kinds of features, and tasks in `labels.json`."""

from __future__ import annotations

import json

import numpy as np
import pytest

from flaxart.tasks.kinds import labels_json, read_labels, tasks_from_features
from flaxart.tasks.regression import Regression
from flaxart.tasks.sigmoid import Sigmoid
from flaxart.tasks.softmax import Softmax
from tfds_rijks.errors import UserError

ALL = [
  Softmax('artist', ('Anna', 'Bert', 'Cleo')),
  Sigmoid('tags', ('oak', 'tin'), weight=0.5),
  Regression('year', center=1700.0, scale=50.0),
]


def test_labels_survive_json_and_edits_are_refused(tmp_path):
  path = tmp_path / 'labels.json'
  path.write_text(labels_json(ALL))
  assert read_labels(path) == ALL
  edited = json.loads(labels_json(ALL))
  edited['artist']['classes'].reverse()
  path.write_text(json.dumps(edited))
  with pytest.raises(UserError, match=r'labels.json: the classes of artist do not match'):
    read_labels(path)
  path.write_text(labels_json(ALL).replace('sigmoid', 'ordinal'))
  line = "'tags' is of kind 'ordinal', expected one of softmax, sigmoid, regression"
  with pytest.raises(UserError, match=line):
    read_labels(path)


@pytest.mark.parametrize('content', [b'', b'{"artist": ', b'[]', b'{"artist": {}}', b'"\xff"'])
def test_damaged_labels_are_one_line(tmp_path, content):
  (tmp_path / 'labels.json').write_bytes(content)
  with pytest.raises(UserError, match=r'labels.json: is damaged .*; restore it from a copy'):
    read_labels(tmp_path / 'labels.json')


def test_kinds_follow_from_features_and_mistakes_are_named():
  tfds = pytest.importorskip('tensorflow_datasets')
  features = {
    'image': tfds.features.Image(),
    'object_number': tfds.features.Text(),
    'artist': tfds.features.ClassLabel(names=['Anna', 'Bert']),
    'tags': tfds.features.Sequence(tfds.features.ClassLabel(names=['oak', 'tin'])),
    'year': tfds.features.Scalar(np.float32),
    'only': tfds.features.ClassLabel(names=['one']),
  }
  found = tasks_from_features(features, {'artist': 1.0, 'tags': 1.0, 'year': 2.0})
  assert found == [
    Softmax('artist', ('Anna', 'Bert')),
    Sigmoid('tags', ('oak', 'tin')),
    Regression('year', weight=2.0),
  ]
  assert [task.outputs for task in found] == [2, 2, 1]
  line = r"'artst' is no such feature .* its labels are artist, only, tags, year"
  with pytest.raises(UserError, match=line):
    tasks_from_features(features, {'artst': 1.0})
  with pytest.raises(UserError, match="'object_number' is a feature of kind Text"):
    tasks_from_features(features, {'object_number': 1.0})
  with pytest.raises(UserError, match="'only' has 1 class"):
    tasks_from_features(features, {'only': 1.0})
  for name in ('record', 'mask', 'draw'):
    with pytest.raises(UserError, match=f"'{name}' is a reserved name of batches"):
      tasks_from_features({name: features['artist']}, {name: 1.0})
