"""From pairs that were compared to groups, each around one picture.

Two pictures that differ little are tied, but a tie of ties need not be a copy: in a row of drawings
that change a little from one to the next, the first and the last are two works. So a group has a
seed, and every member was compared with the seed itself. The rule, for each set of pictures that
ties connect: the picture with the most ties becomes the seed (of several the first); whoever
differs from it by no more than a doubtful pair is its group; what is left is dealt with in the same
way. Ties between two groups are cut, and reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from tfds_rijks import splits

Pair = tuple[int, int]  # the smaller number first
Compare = Callable[[Sequence[Pair]], Mapping[Pair, float]]


def seeds(
  differences: Mapping[Pair, float], compare: Compare, *, tie: float, stay: float
) -> dict[int, int]:
  """Each picture that has a tie -> the seed of its group.

  Args:
    differences: of the pairs that were compared, see `difference`.
    compare: measures pairs that were not.
    tie: the largest difference of two pictures that are tied.
    stay: the largest difference between a seed and a member of its group.
  """
  known = dict(differences)
  ties = {pair for pair, different in known.items() if different <= tie}
  seed_of: dict[int, int] = {}
  while ties:
    chosen = _chosen(ties)
    missing = [
      pair
      for picture, seed in chosen.items()
      if picture != seed and (pair := _pair(picture, seed)) not in known
    ]
    known.update(compare(missing))
    seed_of.update(
      (picture, seed)
      for picture, seed in chosen.items()
      if picture == seed or known[_pair(picture, seed)] <= stay
    )
    ties = {(a, b) for a, b in ties if a not in seed_of and b not in seed_of}
  return seed_of


def _chosen(ties: set[Pair]) -> dict[int, int]:
  """Each picture -> the picture with the most ties among all that ties connect with it."""
  keys: dict[str, list[str]] = {}
  number: Counter[int] = Counter()
  for a, b in ties:
    for picture in (a, b):
      keys.setdefault(str(picture), []).append(f'{a},{b}')
      number[picture] += 1
  connected = splits.merge(keys)
  best: dict[str, int] = {}
  for picture in sorted(number, key=lambda p: (-number[p], p)):
    best.setdefault(connected[str(picture)], picture)
  return {picture: best[connected[str(picture)]] for picture in number}


def _pair(a: int, b: int) -> Pair:
  return (a, b) if a < b else (b, a)
