"""Splits of a collection: groups drawn within classes, so that each split is like the whole.

Groups with the same class of the first task are sorted by a hash of their names; those at one end
go to one split, those at the other end to the other, up to their shares of the records. Classes
that a split still lacks are moved there, the rarest first. A group too large for a split goes to
train. An added group only moves the ends of the shares in its own class a little, and sometimes a
class with them: 1 % more groups move at most 2 % of 500 others or more, 2.5 % of 300.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from tfds_rijks import splits

TRAIN = 'train'
LARGEST = 0.1  # largest share of a split in one group
USUAL = 6  # times the median group is never too large, as in a few dozen works every group is large
MORE = 2  # times its share: limit of a split's share of the groups that are not too large
FEWEST = 0.75  # of a class's groups must be due to a split before one is moved there

Class = tuple[str, str]  # task and name


class Group(NamedTuple):
  """Records that must stay together: their number and classes, those of the first task first."""

  records: int
  classes: tuple[Class, ...]


def draw(
  groups: Mapping[str, Group], *, seed: int, fractions: Mapping[str, float]
) -> dict[str, str]:
  """Group -> split; a function of the seed and the groups, in any order."""
  most = _most(groups, fractions)
  in_order = sorted(groups, key=lambda name: (splits.position(name, seed=seed), name))
  free = {name: groups[name] for name in in_order if groups[name].records <= _limit(name, most)}
  sizes = [group.records for group in groups.values()]
  # How many are expected to be free, not how many are: one group less must not move all shares.
  expected = sum(n * min(1, max(0, 2 * (1 - n / most))) for n in sizes)
  shares = {
    name: min(sum(sizes) / expected, MORE) * share
    for name, share in fractions.items()
    if name != TRAIN and share
  }
  drawn: dict[str, str] = {}
  for one, members in _by_first_class(free).items():
    start = splits.position(repr(one), seed=seed)
    drawn |= _draw_class({name: free[name].records for name in members}, shares, start)
  _bring_missing(drawn, free, shares)
  return dict.fromkeys(groups, TRAIN) | drawn


def _most(groups: Mapping[str, Group], fractions: Mapping[str, float]) -> float:
  """The most records that any group may have outside train."""
  sizes = [group.records for group in groups.values()]
  least = min((share for name, share in fractions.items() if name != TRAIN and share), default=0)
  return max(LARGEST * least * sum(sizes), USUAL * statistics.median_low(sizes))


def _limit(name: str, most: float) -> float:
  """From half of `most` to all of it.

  A common limit would admit all groups of a size at once when a collection grows by one work.
  """
  return most * (1 + splits.position(f'{name}/limit', seed=0)) / 2


def _by_first_class(groups: Mapping[str, Group]) -> dict[Class | None, list[str]]:
  found: dict[Class | None, list[str]] = defaultdict(list)
  for name, group in groups.items():
    found[group.classes[0] if group.classes else None].append(name)
  return found


def _draw_class(
  groups: dict[str, int], shares: Mapping[str, float], start: float
) -> dict[str, str]:
  """The splits of the groups of one class, in their order.

  `start` from 0 to 1 rounds a split's due number, so that small classes get a group in turn.
  """
  split_of, left = dict.fromkeys(groups, TRAIN), len(groups) - 1  # one stays for training
  for (split, share), names in zip(shares.items(), ([*groups], [*reversed(groups)]), strict=False):
    taken, due = 0.0, share * sum(groups.values())
    for name in names:
      taken += groups[name]
      if not left or taken - start * groups[name] > due:
        break
      split_of[name] = split
      left -= 1
  return split_of


def _bring_missing(
  split_of: dict[str, str], groups: Mapping[str, Group], shares: Mapping[str, float]
) -> None:
  """Moves a group of each class that a split lacks but should have from train, rarest first."""
  members: dict[Class, list[str]] = defaultdict(list)
  for name, group in groups.items():
    for one in group.classes:
      members[one].append(name)
  for one in sorted(members, key=lambda one: (len(members[one]), one)):
    for split, end in zip(shares, (1, -1), strict=False):
      there = {split_of[name] for name in members[one]}
      if shares[split] * len(members[one]) >= FEWEST and split not in there:
        in_train = [name for name in members[one][::end] if split_of[name] == TRAIN]
        if in_train[1:]:
          split_of[in_train[0]] = split
