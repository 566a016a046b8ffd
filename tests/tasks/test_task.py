"""Losses: what a missing label must not do, and what a task is."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flaxart.tasks import losses
from flaxart.tasks import task as t
from tfds_rijks.errors import UserError

ARTIST = t.Task('artist', t.SOFTMAX, ('Anna', 'Bert', 'Cleo'))
TAGS = t.Task('tags', t.SIGMOID, ('oak', 'tin'), weight=0.5)
YEAR = t.Task('year', t.REGRESSION, center=1700.0, scale=50.0)
ALL = (ARTIST, TAGS, YEAR)


def batch(artist, tags, year):
  return {
    'artist': jnp.array(artist, jnp.int32),
    'tags': jnp.array(tags, bool),
    'year': jnp.array(year, jnp.float32),
  }


def logits(seed, n):
  keys = jax.random.split(jax.random.key(seed), 3)
  return {
    task.name: jax.random.normal(key, (n, task.outputs))
    for task, key in zip(ALL, keys, strict=True)
  }


def test_the_total_is_the_weighted_sum_of_means_over_labelled_records():
  labels = batch([0, -1, 2], [[1, 0], [0, 0], [1, 1]], [1700, float('nan'), 1800])
  out = logits(0, 3)
  total, means = losses.total_loss(ALL, out, labels)
  p = jax.nn.log_softmax(out['artist'])
  assert means['artist'] == pytest.approx(float(-(p[0, 0] + p[2, 2]) / 2), rel=1e-5)
  assert means['year'] == pytest.approx(
    float((out['year'][0, 0] ** 2 + (out['year'][2, 0] - 2) ** 2) / 2), rel=1e-5
  )
  assert total == pytest.approx(
    float(means['artist'] + 0.5 * means['tags'] + means['year']), rel=1e-6
  )


def test_a_missing_label_has_no_gradient_and_an_all_missing_batch_is_fine():
  labels = batch([0, -1], [[0, 0], [0, 0]], [float('nan')] * 2)
  grads = jax.grad(lambda out: losses.total_loss(ALL, out, labels)[0])(logits(1, 2))
  assert np.all(np.asarray(grads['artist'][1]) == 0) and np.any(np.asarray(grads['artist'][0]) != 0)
  assert np.all(np.asarray(grads['tags']) == 0) and np.all(np.asarray(grads['year']) == 0)


def test_labels_survive_the_way_through_json_and_edits_are_refused(tmp_path):
  path = tmp_path / 'labels.json'
  path.write_text(t.labels_json(ALL))
  assert t.read_labels(path) == list(ALL)
  edited = json.loads(t.labels_json(ALL))
  edited['artist']['classes'].reverse()
  path.write_text(json.dumps(edited))
  with pytest.raises(UserError, match=r'labels.json: the classes of artist do not match'):
    t.read_labels(path)


@pytest.mark.parametrize('content', [b'', b'{"artist": ', b'[]', b'{"artist": {}}', b'"\xff"'])
def test_damaged_labels_are_one_line(tmp_path, content):
  (tmp_path / 'labels.json').write_bytes(content)
  with pytest.raises(UserError, match=r'labels.json: is damaged .*; restore it from a copy'):
    t.read_labels(tmp_path / 'labels.json')


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
  found = t.tasks_from_features(features, {'artist': 1.0, 'tags': 1.0, 'year': 2.0})
  assert [(x.name, x.kind, x.outputs, x.weight) for x in found] == [
    ('artist', t.SOFTMAX, 2, 1.0),
    ('tags', t.SIGMOID, 2, 1.0),
    ('year', t.REGRESSION, 1, 2.0),
  ]
  line = r"'artst' is no such feature .* its labels are artist, only, tags, year"
  with pytest.raises(UserError, match=line):
    t.tasks_from_features(features, {'artst': 1.0})
  with pytest.raises(UserError, match="'object_number' is a feature of kind Text"):
    t.tasks_from_features(features, {'object_number': 1.0})
  with pytest.raises(UserError, match="'only' has 1 class"):
    t.tasks_from_features(features, {'only': 1.0})
  for name in ('record', 'mask', 'draw'):
    with pytest.raises(UserError, match=f"'{name}' is what a batch calls something else"):
      t.tasks_from_features({name: features['artist']}, {name: 1.0})
