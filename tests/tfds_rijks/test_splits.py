"""Splits are a function of group and seed: golden values, stability, no leak."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfds_rijks import splits
from tfds_rijks.errors import UserError


def test_golden_splits():
  names = ['SK-A-1718', 'SK-C-5', 'BK-NM-13348', 'RP-P-1992-35', 'animals/dog', 'Ü-1', '']
  assert [splits.assign(name, seed=0) for name in names] == [
    'train',
    'train',
    'val',
    'train',
    'train',
    'train',
    'train',
  ]
  assert [splits.assign(name, seed=1) for name in names] == [
    'train',
    'train',
    'test',
    'val',
    'test',
    'train',
    'train',
  ]
  assert splits.position('SK-A-1718', seed=0) == pytest.approx(0.28724611487722834, abs=1e-15)


def test_shares_are_met():
  counts = Counter(splits.assign(str(i), seed=3) for i in range(20_000))
  for name, share in splits.FRACTIONS.items():
    assert counts[name] / 20_000 == pytest.approx(share, abs=0.01)


def test_an_empty_share_gets_nothing():
  shares = {'train': 0.5, 'val': 0.0, 'test': 0.5}
  assert {splits.assign(str(i), fractions=shares) for i in range(200)} == {'train', 'test'}


@pytest.mark.parametrize('shares', [{'train': 0.8, 'test': 0.1}, {'train': 1.2, 'test': -0.2}])
def test_shares_must_sum_to_one(shares):
  with pytest.raises(UserError, match='sum to 1'):
    splits.check_fractions(shares)


def test_merge_ties_records_through_any_key():
  groups = splits.merge({'d': [], 'c': ['x'], 'b': ['x', 'y'], 'a': ['y'], 'e': ['z']})
  assert groups == {'a': 'a', 'b': 'a', 'c': 'a', 'd': 'd', 'e': 'e'}


KEYS = st.dictionaries(
  st.text('abcdefgh', min_size=1, max_size=3),
  st.lists(st.sampled_from('123456'), max_size=3),
  max_size=20,
)


@given(KEYS)
def test_merge_equals_connected_components(keys):
  groups = splits.merge(keys)
  assert set(groups) == set(keys)
  for record in keys:  # breadth first, by hand
    reached, todo = {record}, [record]
    while todo:
      one = todo.pop()
      for other in keys:
        if other not in reached and set(keys[one]) & set(keys[other]):
          reached.add(other)
          todo.append(other)
    assert {other for other in keys if groups[other] == groups[record]} == reached
    assert groups[record] == min(reached)


@given(KEYS, st.text('xyz', min_size=1, max_size=3))
def test_a_new_record_without_ties_moves_no_other(keys, new):
  before = splits.merge(keys)
  after = splits.merge({**keys, new: []})
  assert {record: after[record] for record in keys if record != new} == {
    record: before[record] for record in keys if record != new
  }


def test_leak_counts_test_records_with_a_sibling_in_train():
  groups = {f'{i}-{j}': str(i) for i in range(300) for j in range(3)}
  by_record = {record: splits.assign(record) for record in groups}
  train = {groups[record] for record, split in by_record.items() if split == 'train'}
  expected = sum(groups[record] in train for record, s in by_record.items() if s == 'test')
  assert splits.leak(groups) == {'test': Counter(by_record.values())['test'], 'leaked': expected}
  assert expected > 50
  by_group = {record: splits.assign(group) for record, group in groups.items()}
  assert splits.siblings(groups, by_group)['leaked'] == 0


def test_counts_leave_empty_splits_out():
  assert splits.counts({'a': 'test', 'b': 'train', 'c': 'train', 'd': 'extra'}) == {
    'train': 2,
    'test': 1,
    'extra': 1,
  }
