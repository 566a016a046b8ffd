"""The splits of a collection: like the whole, by group, and hardly moved by what is added."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tfds_rijks.collection.draw import LARGEST, Group, draw

SHARES = {'train': 0.8, 'val': 0.1, 'test': 0.1}


def museum(works, rng, giant=0.0):
  """Groups of 1 to a few pictures with Zipf's artists and types, and one with a share of all."""
  artists, types = (
    rng.choice(n, works, p=(w := 1 / np.arange(1, n + 1)) / w.sum())
    for n in (int(works**0.6), int(works**0.4))
  )
  sizes = rng.geometric(0.75, works)
  groups = {
    f'work{name}': Group(int(n), (('artist', f'a{artist}'), ('type', f't{kind}')))
    for name, n, artist, kind in zip(rng.permutation(works), sizes, artists, types, strict=True)
  }
  if giant:
    groups['stars'] = Group(int(sizes.sum() * giant / (1 - giant)), (('artist', 'stars'),))
  return groups


def sizes(split_of, groups):
  found = Counter()
  for name, split in split_of.items():
    found[split] += groups[name].records
  return {split: n / found.total() for split, n in found.items()}


@pytest.mark.parametrize('giant', [0, 0.1, 0.29])
@pytest.mark.parametrize(
  ('works', 'most', 'draws'), [(300, 0.025, 40), (500, 0.02, 40), (10_000, 0.02, 2)]
)
def test_one_per_cent_more_groups_move_hardly_any_other(works, most, draws, giant):
  for seed in range(draws):
    rng = np.random.default_rng(seed)
    after = museum(works, rng, giant)
    new = set(rng.choice([name for name in after if name != 'stars'], works // 100, replace=False))
    before = {name: group for name, group in after.items() if name not in new}
    was, now = (draw(groups, seed=seed, fractions=SHARES) for groups in (before, after))
    assert sum(was[name] != now[name] for name in before) <= most * len(before), seed


@pytest.mark.parametrize('giant', [0, 0.29])
@pytest.mark.parametrize(('works', 'off'), [(300, 0.04), (1000, 0.025), (10_000, 0.01)])
def test_each_split_has_its_share_and_the_classes(works, off, giant):
  for seed in range(10):
    groups = museum(works, np.random.default_rng(seed), giant)
    split_of = draw(groups, seed=seed, fractions=SHARES)
    for split, share in sizes(split_of, groups).items():
      assert share == pytest.approx(SHARES[split], abs=2 * off if split == 'train' else off)
    of_class = Counter(one for group in groups.values() for one in group.classes)
    for split in ('val', 'test'):
      there = {one for name in groups if split_of[name] == split for one in groups[name].classes}
      assert {one for one, n in of_class.items() if n >= 10} <= there


def test_a_group_too_large_for_a_split_goes_to_train():
  for seed in range(50):
    groups = {f'g{i}': Group(1, (('artist', f'a{i % 3}'),)) for i in range(950)}
    most = LARGEST * 0.1 * 1000
    groups |= {f'large{i}': Group(int(most) + 1, (('artist', 'a0'),)) for i in range(4)}
    split_of = draw(groups, seed=seed, fractions=SHARES)
    assert {split_of[f'large{i}'] for i in range(4)} == {'train'}


def test_the_largest_class_is_tested_although_most_of_it_is_one_group():
  groups = {f'g{i}': Group(1, (('artist', f'a{i % 40}'),)) for i in range(2000)}
  groups['stars'] = Group(1375, (('artist', 'a0'),))
  split_of = draw(groups, seed=0, fractions=SHARES)
  assert sum(split_of[f'g{i}'] == 'test' for i in range(0, 2000, 40)) >= 4


def test_a_draw_is_a_function_of_seed_and_groups():
  groups = museum(300, np.random.default_rng(0))
  first = draw(groups, seed=0, fractions=SHARES)
  assert draw(dict(reversed(groups.items())), seed=0, fractions=SHARES) == first
  assert draw(groups, seed=1, fractions=SHARES) != first


@pytest.mark.parametrize('works', [1, 2, 5, 12])
def test_a_dozen_works_train(works):
  for seed in range(20):
    groups = {f'g{i}': Group(1 + i % 3, (('type', f't{i % 2}'),)) for i in range(works)}
    split_of = draw(groups, seed=seed, fractions=SHARES)
    assert split_of.keys() == groups.keys()
    trained = {groups[name].classes for name, split in split_of.items() if split == 'train'}
    assert trained == {group.classes for group in groups.values()}


@pytest.mark.parametrize('shares', [(1, 0, 0), (0.9, 0, 0.1), (0.5, 0.25, 0.25), (0.05, 0.45, 0.5)])
def test_shares_of_every_kind(shares):
  groups = museum(2000, np.random.default_rng(0))
  fractions = dict(zip(SHARES, shares, strict=True))
  found = sizes(draw(groups, seed=0, fractions=fractions), groups)
  for split, share in fractions.items():
    assert found.get(split, 0) == pytest.approx(share, abs=0.04)
