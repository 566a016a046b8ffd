"""Splits by group: a pure function of the group and a seed, so that a new object moves no other."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from tfds_rijks.errors import UserError

FRACTIONS: Mapping[str, float] = {'train': 0.8, 'val': 0.1, 'test': 0.1}

# Names of the splits in tables.
SPLIT_NAMES = {
  'train': 'train',
  'training': 'train',
  'val': 'val',
  'valid': 'val',
  'validation': 'val',
  'dev': 'val',
  'test': 'test',
  'testing': 'test',
}


def check_fractions(fractions: Mapping[str, float]) -> None:
  """Raises `UserError` unless the shares are positive and sum to 1."""
  # Written so that NaN is refused as well.
  if not (min(fractions.values()) >= 0 and abs(sum(fractions.values()) - 1) <= 1e-6):
    found = ', '.join(f'{name} {share:g}' for name, share in fractions.items())
    raise UserError(f'--fractions: found {found}; expected shares from 0 to 1 that sum to 1')


def position(group: str, *, seed: int) -> float:
  """The position of a group in [0, 1): the first 64 bits of SHA-256 of seed and group."""
  digest = hashlib.sha256(f'{seed}/{group}'.encode()).digest()
  return int.from_bytes(digest[:8], 'big') / 2**64


def assign(group: str, *, seed: int = 0, fractions: Mapping[str, float] = FRACTIONS) -> str:
  """The split of a group, which depends only on its name, the seed and the shares."""
  at, end = position(group, seed=seed), 0.0
  name = ''
  for name, share in fractions.items():
    end += share
    if at < end and share > 0:
      return name
  return name


def merge(keys: Mapping[str, Iterable[str]]) -> dict[str, str]:
  """Record id -> group id; records that share any key are one group (union-find).

  Args:
    keys: for each record the keys that tie it to others: its object number, its `group`, the
      digest of its pixels. Give each kind a prefix of its own (`'pixels:...'`).

  Returns:
    The group's id is its smallest record id: stable while the group's first record stays. A
    record whose group gains a member from elsewhere can move with it, which is the point.
  """
  parent = {record: record for record in keys}

  def find(record: str) -> str:
    while parent[record] != record:
      parent[record] = parent[parent[record]]
      record = parent[record]
    return record

  first: dict[str, str] = {}
  for record in sorted(keys):
    for key in keys[record]:
      a, b = find(first.setdefault(key, record)), find(record)
      if a != b:
        parent[max(a, b)] = min(a, b)
  return {record: find(record) for record in keys}


def leak(
  groups: Mapping[str, str],
  *,
  seed: int = 0,
  fractions: Mapping[str, float] = FRACTIONS,
  train: str = 'train',
  test: str = 'test',
) -> dict[str, int]:
  """How many test records would have a sibling in train with a split by record.

  Args:
    groups: record id -> group id.

  Returns:
    `{'test': records in test, 'leaked': those with a member of their group in train}`, both for
    the same rule drawn by record id instead of by group.
  """
  return siblings(
    groups,
    {record: assign(record, seed=seed, fractions=fractions) for record in groups},
    train=train,
    test=test,
  )


def siblings(
  groups: Mapping[str, str], splits: Mapping[str, str], *, train: str = 'train', test: str = 'test'
) -> dict[str, int]:
  """`{'test': n, 'leaked': m}`: m of the n test records have a member of their group in train."""
  in_train = {group for record, group in groups.items() if splits.get(record) == train}
  tested = [group for record, group in groups.items() if splits.get(record) == test]
  return {'test': len(tested), 'leaked': sum(group in in_train for group in tested)}


def counts(splits: Mapping[str, str], order: Sequence[str] = tuple(FRACTIONS)) -> dict[str, int]:
  """Records per split, known names first; empty splits are left out."""
  found = Counter(splits.values())
  names = [*order, *sorted(set(found) - set(order))]
  return {name: found[name] for name in names if found[name]}
