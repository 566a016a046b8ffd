"""Label texts and vocabularies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfds_rijks import labels


@pytest.mark.parametrize(
  ('text', 'wanted'),
  [
    ('Du\u0308rer', 'D\u00fcrer'),
    ('  Jan \t Steen\n', 'Jan Steen'),
    ('a\u00a0b', 'a b'),
    ('a\u200bb\ufeff', 'ab'),
    ('\0x', 'x'),
    ('', ''),
    ('ﬁ', 'ﬁ'),
  ],
)
def test_normalise(text, wanted):
  assert labels.normalise(text) == wanted


@given(st.text())
def test_normalise_is_idempotent(text):
  once = labels.normalise(text)
  assert labels.normalise(once) == once


@given(st.lists(st.sampled_from(['b', 'a', 'c', '']), min_size=1))
def test_class_ids_do_not_depend_on_order(values):
  one, other = labels.vocabulary(values), labels.vocabulary(values[::-1])
  assert one.names == other.names == tuple(sorted(set(values) - {''}))
  assert [one.id(name) for name in one.names] == list(range(len(one.names)))


def test_rare_classes_become_missing_and_are_listed():
  found = labels.vocabulary(['x'] * 5 + ['y'] * 2 + ['z'] + [''], min_per_class=2)
  assert found.names == ('x', 'y')
  assert found.dropped == {'z': 1}
  assert [found.id(name) for name in ('x', 'y', 'z', '', 'w')] == [0, 1, -1, -1, -1]


def test_several_values_count_once_per_record():
  found = labels.vocabulary([['x', 'x', 'y'], ['x'], []])
  assert found.counts == {'x': 2, 'y': 1}
  assert found.ids(['y', 'x', 'y', 'gone']) == [0, 1]


def test_describe():
  values = ['x'] * 6 + ['y'] * 2 + [''] * 2 + ['z']
  about = labels.describe(values, labels.vocabulary(values, min_per_class=2))
  assert (about['classes'], about['labelled'], about['missing']) == (2, 8, 3)
  assert about['largest_class'] == 'x'
  assert about['largest_class_share'] == 0.75
  assert about['gini'] == pytest.approx(0.25)
  assert about['dropped_classes'] == {'z': 1}


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_gini_is_the_mean_difference(sizes):
  x = np.asarray(sizes, float)
  expected = np.abs(x[:, None] - x).mean() / (2 * x.mean())
  assert labels.gini(sizes) == pytest.approx(expected)
