"""Groups from compared pairs, each around one picture.

Two pictures that differ little are tied, but a chain of ties need not be a copy: in a series of
gradually changing drawings, the first and the last are two works. So each group has a seed, and
every member was compared with the seed itself. The rule: ties are taken from the most alike to the
least; the groups of the two pictures become one if every picture of the smaller group differs from
the seed of the larger by no more than a doubtful pair; of two groups of one size the seed is the
earlier picture. A tie that joins nothing is cut, and reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

Pair = tuple[int, int]  # the smaller number first
Compare = Callable[[Sequence[Pair]], Mapping[Pair, float]]


class Groups:
  """Groups that grow as pairs are compared.

  Args:
    compare: the differences of pairs not compared yet.
    tie: the largest difference of two pictures that are tied.
    stay: the largest difference between a seed and a member of its group.
  """

  def __init__(self, compare: Compare, *, tie: float, stay: float):
    self.seed_of: dict[int, int] = {}
    self.known: dict[Pair, float] = {}
    self._members: dict[int, list[int]] = {}
    self._compare, self._tie, self._stay = compare, tie, stay

  def together(self, a: int, b: int) -> bool:
    """Whether two pictures are already in one group."""
    return self.seed_of.get(a, a) == self.seed_of.get(b, b)

  def add(self, differences: Mapping[Pair, float]) -> None:
    """Takes compared pairs, and joins groups by the rule."""
    self.known.update(differences)
    found = [(value, pair) for pair, value in differences.items() if value <= self._tie]
    ties = [pair for _, pair in sorted(found)]
    while ties:
      ties, missing = self._join(ties)
      self.known.update(self._compare(sorted(missing)) if missing else {})

  def _join(self, ties: Sequence[Pair]) -> tuple[list[Pair], set[Pair]]:
    """Joins what it can; returns the ties that must wait, and the pairs they wait for."""
    waiting: list[Pair] = []
    missing: set[Pair] = set()
    waits: set[int] = set()  # seeds
    for a, b in ties:
      if self.together(a, b):
        continue
      small, large = self._by_size(a, b)
      needed = {_pair(member, large) for member in self._members_of(small)}
      unknown = needed - self.known.keys()
      if unknown or small in waits or large in waits:
        waiting.append((a, b))
        missing |= unknown if not waits & {small, large} else set()
        waits |= {small, large}
      elif all(self.known[pair] <= self._stay for pair in needed):
        members = self._members_of(large) + self._members_of(small)
        self._members.pop(small, None)
        self._members[large] = members
        self.seed_of.update(dict.fromkeys(members, large))
    return waiting, missing

  def _by_size(self, a: int, b: int) -> tuple[int, int]:
    """The seeds of two groups, that of the smaller first."""
    first, second = sorted(
      (self.seed_of.get(a, a), self.seed_of.get(b, b)),
      key=lambda seed: (len(self._members_of(seed)), -seed),
    )
    return first, second

  def _members_of(self, seed: int) -> list[int]:
    return self._members.get(seed, [seed])


def _pair(a: int, b: int) -> Pair:
  return (a, b) if a < b else (b, a)
