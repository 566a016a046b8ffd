"""Each option of the loss, on numbers small enough to check by hand."""

from __future__ import annotations

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flaxart.config import default_config
from flaxart.data.source import weight_name
from flaxart.settings import read_settings
from flaxart.tasks import losses
from flaxart.tasks import objective as o
from flaxart.tasks.regression import Regression
from flaxart.tasks.sigmoid import Sigmoid
from flaxart.tasks.softmax import Softmax
from flaxart.training.step import labels_of
from tfds_rijks.errors import UserError

ARTIST = Softmax('artist', ('Anna', 'Bert', 'Cleo'))
TAGS = Sigmoid('tags', ('oak', 'tin'), weight=0.5)
YEAR = Regression('year', center=1700.0, scale=50.0)
ALL = (ARTIST, TAGS, YEAR)
OUT = {
  'artist': jnp.array([[2.0, 0.0, -1.0], [0.5, 1.0, 0.0], [0.0, 0.0, 3.0]]),
  'tags': jnp.array([[1.0, -1.0], [0.0, 2.0], [-3.0, 0.5]]),
  'year': jnp.array([[0.1], [0.0], [-1.0]]),
}
LABELS = {
  'artist': jnp.array([0, 2, -1]),
  'tags': jnp.array([[True, False], [False, False], [True, True]]),
  'year': jnp.array([1700.0, jnp.nan, 1650.0]),
}


TRAIN = SimpleNamespace(  # the part of a data split that the objective looks at
  labels={
    'artist': np.array([0] * 80 + [1] * 16 + [2] * 4 + [-1] * 50),
    'tags': np.array([[1, 0]] * 30 + [[1, 1]] * 10, bool),
    'year': np.zeros(40, np.float32),
  }
)


def objective(**fields):
  config = default_config()
  config.update_from_flattened_dict({'tasks': 'artist,tags,year'} | fields)
  return o.create_objective(config, read_settings(config), ALL, TRAIN)


def test_the_total_is_the_weighted_sum_of_means_over_labelled_records():
  total, means = losses.total_loss(ALL, OUT, losses.Targets(LABELS))
  same, _ = losses.total_loss(ALL, OUT, losses.Targets(LABELS), objective=objective())
  p = jax.nn.log_softmax(OUT['artist'])
  q = jax.nn.log_sigmoid(jnp.array([[1.0, 1.0], [-3.0, 0.5]]))
  expected = {
    'artist': -(p[0, 0] + p[1, 2]) / 2,
    'tags': -q.sum() / 2 / 2,
    'year': (0.1**2 + (-1.0 + 1.0) ** 2) / 2,
  }
  for name, value in expected.items():
    assert means[name] == pytest.approx(float(value), rel=1e-5)
  weighted = expected['artist'] + 0.5 * expected['tags'] + expected['year']
  assert float(total) == float(same) == pytest.approx(float(weighted), rel=1e-6)


def test_a_missing_label_has_no_gradient_and_an_all_missing_batch_is_fine():
  labels = {
    'artist': jnp.array([0, -1]),
    'tags': jnp.zeros((2, 2), bool),
    'year': jnp.array([jnp.nan] * 2),
  }
  out = {name: values[:2] for name, values in OUT.items()}
  grads = jax.grad(lambda out: losses.total_loss(ALL, out, losses.Targets(labels))[0])(out)
  assert not grads['artist'][1].any() and grads['artist'][0].any()
  assert not grads['tags'].any() and not grads['year'].any()


def test_weighted_labels_count_as_much_as_their_weight_and_unknown_classes_not_at_all():
  weights = {
    'artist': jnp.array([0.5, 1.0, 1.0]),
    'tags': jnp.array([[0.5, 0.0], [1.0, 1.0], [1.0, 1.0]]),  # of record 0 only oak was decided
    'year': jnp.array([0.0, 1.0, 1.0]),
  }
  labels = LABELS | {weight_name(name): rows for name, rows in weights.items()}
  grads = jax.grad(lambda out: losses.total_loss(ALL, out, losses.Targets(labels))[0])(OUT)
  _, means = losses.total_loss(ALL, OUT, losses.Targets(labels))
  p, q = jax.nn.log_softmax(OUT['artist']), jax.nn.log_sigmoid
  expected = {
    'artist': -(0.5 * p[0, 0] + p[1, 2]) / 1.5,
    'tags': -(0.5 * q(1.0) + q(-3.0) + q(0.5)) / 2 / 1.5,
    'year': (-1.0 + 1.0) ** 2,
  }
  for name, value in expected.items():
    assert means[name] == pytest.approx(float(value), rel=1e-5)
  assert not grads['tags'][0, 1].any() and grads['tags'][0, 0].any()
  assert not grads['year'][0].any()
  # Under mixup the partner's label has the partner's weight.
  share = jnp.array([0.75, 0.6, 0.9])
  partner = {name: jnp.roll(value, 1, axis=0) for name, value in labels.items()}
  _, means = losses.total_loss(ALL, OUT, losses.Targets(labels, partner, share))
  total = -(0.75 * 0.5 * p[0, 0] + 0.6 * p[1, 2] + 0.4 * 0.5 * p[1, 0] + 0.1 * p[2, 2])
  assert float(means['artist']) == pytest.approx(float(total) / (0.375 + 0.6 + 0.2 + 0.1), rel=1e-5)
  # A step takes the weights out of its batch.
  batch = {**labels, 'image': jnp.zeros(3), 'draw': jnp.arange(3)}
  assert labels_of(batch, list(LABELS)).keys() == labels.keys()


def test_label_smoothing_mixes_in_the_even_distribution():
  smooth = losses.example_losses(
    ARTIST, OUT['artist'], LABELS['artist'], objective=objective(**{'loss.label_smoothing': 0.3})
  )
  logs = jax.nn.log_softmax(OUT['artist'])
  expected = -(0.7 * logs[0, 0] + 0.1 * logs[0].sum()), -(0.7 * logs[1, 2] + 0.1 * logs[1].sum())
  np.testing.assert_allclose(smooth, [*expected, 0], rtol=1e-6)


@pytest.mark.parametrize('rule', ['sqrt', 'inverse', 'effective'])
def test_class_weights_lift_rare_classes_and_keep_the_mean_at_one(rule):
  counts = np.array([80, 16, 4])
  weights = o.class_weights(counts, rule=rule, cap=100.0)
  assert np.average(weights, weights=counts) == pytest.approx(1)
  assert weights[0] < weights[1] < weights[2]
  ratio = {'sqrt': 20**0.5, 'inverse': 20, 'effective': (1 - 0.999**80) / (1 - 0.999**4)}[rule]
  assert weights[2] / weights[0] == pytest.approx(ratio, rel=1e-4)
  assert o.class_weights(counts, rule=rule, cap=1.5).max() <= 1.5


def test_class_weights_multiply_the_loss_of_their_class():
  plain = losses.example_losses(ARTIST, OUT['artist'], LABELS['artist'])
  asked = objective(**{'loss.class_weights': 'artist=inverse'})
  weighted = losses.example_losses(ARTIST, OUT['artist'], LABELS['artist'], objective=asked)
  weights = asked.terms['artist'].weights
  np.testing.assert_allclose(weighted, plain * np.array([weights[0], weights[2], 0]), rtol=1e-6)
  for rule, having in (('artist=inverse', {'artist'}), ('sqrt', {'artist', 'tags'})):
    terms = objective(**{'loss.class_weights': rule}).terms
    assert {name for name, own in terms.items() if own.weights is not None} == having


def test_class_weights_of_a_task_without_classes_are_refused():
  with pytest.raises(UserError, match=r"found 'year=sqrt' \('year' has no classes\)"):
    objective(**{'loss.class_weights': 'year=sqrt'})


def test_logit_adjustment_asks_for_a_margin_by_the_log_of_the_prior():
  asked = objective(**{'loss.logit_adjustment': 2.0})
  prior = np.log([0.8, 0.16, 0.04])
  np.testing.assert_allclose(asked.terms['artist'].offsets, 2 * prior, rtol=1e-5)
  adjusted = losses.example_losses(ARTIST, OUT['artist'], LABELS['artist'], objective=asked)
  logs = jax.nn.log_softmax(OUT['artist'] + 2 * prior)
  np.testing.assert_allclose(adjusted, [-logs[0, 0], -logs[1, 2], 0], rtol=1e-5)


def test_mixup_is_the_mixture_of_two_losses_and_ignores_missing_labels():
  share = jnp.array([0.75, 0.6, 0.9])
  partner = {name: jnp.roll(value, 1, axis=0) for name, value in LABELS.items()}
  _, means = losses.total_loss(ALL, OUT, losses.Targets(LABELS, partner, share))
  logs = jax.nn.log_softmax(OUT['artist'])
  # Record 0: label 0, partner missing; 1: label 2, partner 0; 2: missing, partner 2.
  total = -(0.75 * logs[0, 0] + 0.6 * logs[1, 2] + 0.4 * logs[1, 0] + 0.1 * logs[2, 2])
  assert float(means['artist']) == pytest.approx(float(total) / (0.75 + 1.0 + 0.1), rel=1e-5)


def test_learned_weights_follow_kendall_gal_and_cipolla():
  _, means = losses.total_loss(ALL, OUT, losses.Targets(LABELS))
  variances = {'artist': jnp.float32(0.4), 'tags': jnp.float32(-0.2), 'year': jnp.float32(1.0)}
  total, _ = losses.total_loss(ALL, OUT, losses.Targets(LABELS), log_variances=variances)
  expected = sum(
    (0.5 if name == 'year' else 1) * np.exp(-float(s)) * float(means[name]) + float(s) / 2
    for name, s in variances.items()
  )
  assert float(total) == pytest.approx(expected, rel=1e-5)


def test_a_task_without_labels_moves_neither_its_head_nor_its_learned_weight():
  missing = {**LABELS, 'artist': jnp.array([-1, -1, -1])}
  variances = {task.name: jnp.float32(0.3) for task in ALL}

  def loss(out, variances):
    return losses.total_loss(ALL, out, losses.Targets(missing), log_variances=variances)[0]

  of_out, of_variance = jax.grad(loss, (0, 1))(OUT, variances)
  assert not of_out['artist'].any() and of_out['tags'].any() and of_out['year'].any()
  assert float(of_variance['artist']) == 0 and float(of_variance['tags']) != 0


def test_parts_of_a_batch_add_up_to_the_whole():
  counts = losses.label_counts(ALL, losses.Targets(LABELS))
  variances = {task.name: jnp.float32(0.3) for task in ALL}
  whole, _ = losses.total_loss(ALL, OUT, losses.Targets(LABELS), log_variances=variances)
  parts = [
    losses.total_loss(
      ALL,
      {k: v[i : i + 1] for k, v in OUT.items()},
      losses.Targets({k: v[i : i + 1] for k, v in LABELS.items()}),
      log_variances=variances,
      whole=losses.Whole(counts, share=1 / 3),
    )[0]
    for i in range(3)
  ]
  assert float(sum(parts)) == pytest.approx(float(whole), rel=1e-6)
