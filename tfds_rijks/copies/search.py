"""The likely copies among the pictures of a build, from their sketches.

Candidates by their descriptors, a first look at 64 pixels, a second look at 128 pixels in colour
(for which only the candidates left are decoded again), then groups. docs/copies.md has the figures.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from tfds_rijks import images, pool
from tfds_rijks.copies import candidates
from tfds_rijks.copies.align import same
from tfds_rijks.copies.difference import FAR, NEAR
from tfds_rijks.copies.groups import Groups, Pair
from tfds_rijks.copies.looks import (
  CHUNK,
  Looks,
  Part,
  Source,
  described,
  enlarged,
  first_look,
  second_look,
  stored,
)
from tfds_rijks.copies.sketches import TURNS, turning
from tfds_rijks.errors import UserError

Rule = Literal['equal', 'likely', 'doubtful']
LIKELY, DOUBTFUL = 0.55, 2.0  # differences up to which a pair is likely, or doubtful
SHOWN = 500  # doubtful pairs whose pictures are kept


@dataclass(frozen=True)
class Found:
  """Pictures by their names.

  Attributes:
    seed_of: each picture that has a likely copy -> the picture around which its group was made.
    likely: pairs in one group, and their differences, the most alike first.
    doubtful: pairs that do not, the most alike first.
    small: JPEG files of the pictures of the first doubtful pairs, `SHOWN` at most.
  """

  seed_of: Mapping[str, str] = field(default_factory=dict)
  likely: Sequence[tuple[str, str, float]] = ()
  doubtful: Sequence[tuple[str, str, float]] = ()
  small: Mapping[str, bytes] = field(default_factory=dict)


def find(
  sources: Sequence[Source], sketches: Path, *, rule: Rule, scratch: Path, processes: int | None
) -> Found:
  """Finds the copies among `sources`, whose sketches `[N, 64, 64]` are in a file in that order.

  The result depends on the names, not on the order of the sources. Of pictures with equal pixels
  only the first by name is compared.

  Args:
    rule: 'likely', or 'doubtful' to also tie doubtful pairs.
    scratch: a folder for temporary files.
  """
  if rule == 'equal' or len(sources) < 2:
    return Found()
  place = np.array(sorted(range(len(sources)), key=lambda i: sources[i].name))
  sources = [sources[i] for i in place]
  pictures = _Pictures(sources, (sketches, place), scratch=scratch, processes=processes)
  tie = DOUBTFUL if rule == 'doubtful' else LIKELY
  groups = Groups(pictures.compare_more, tie=tie, stay=DOUBTFUL)
  looks = pictures.first_looks(pictures.candidates())
  # The most alike first: two pictures that these put into one group need no second look.
  ends = (0, len(sources), 4 * len(sources), len(looks.pairs))
  for begin, end in itertools.pairwise(ends):
    part = enumerate(looks.pairs[begin:end, :2].tolist(), start=begin)
    groups.add(pictures.compare(looks.of([i for i, pair in part if not groups.together(*pair)])))
  likely: list[tuple[str, str, float]] = []
  doubtful: list[tuple[str, str, float]] = []
  for (a, b), value in sorted(groups.known.items(), key=lambda item: (item[1], item[0])):
    if value <= (tie if groups.together(a, b) else DOUBTFUL):
      pairs = likely if groups.together(a, b) else doubtful
      pairs.append((sources[a].name, sources[b].name, round(value, 3)))
  shown = dict.fromkeys(name for pair in doubtful[:SHOWN] for name in pair[:2])
  return Found(
    {sources[a].name: sources[b].name for a, b in groups.seed_of.items()},
    likely,
    doubtful,
    pictures.small(shown),
  )


class _Looks(NamedTuple):
  """Pairs that are alike at the first look, the most alike first."""

  pairs: np.ndarray  # [P, 3], each with its turn
  placements: np.ndarray  # [P, 4]

  def of(self, chosen: Sequence[int] | np.ndarray) -> _Looks:
    return _Looks(self.pairs[chosen], self.placements[chosen])


class _Pictures:
  """The pictures read so far, and the comparison of pairs."""

  def __init__(
    self,
    sources: Sequence[Source],
    sketches: tuple[Path, np.ndarray],  # file, place in it
    *,
    scratch: Path,
    processes: int | None,
  ):
    self.sources, self.processes = sources, processes
    self.sketches, place = sketches
    self.scratch, self.large = scratch, scratch / 'large'
    parts = [
      Part(f'pictures from {i:,}', str(self.sketches), place[i : i + CHUNK])
      for i in range(0, len(place), CHUNK)
    ]
    found = self._run(described, parts, what='describing pictures', unit='batch')
    self.descriptors = np.concatenate([*found])
    digests: set[str] = set()
    for i, source in enumerate(sources):  # equal pictures are known: the first represents all
      if source.digest in digests:
        self.descriptors[i] = 0
      digests.add(source.digest or source.name)
    self.shapes = np.array([source.shape for source in sources], np.float32)
    # Of a picture in each file; -1 if it is not there.
    self.places = {self.sketches: place, self.large: np.full(len(sources), -1)}

  def candidates(self) -> np.ndarray:
    """Pairs `[P, 3]` to compare, each with its turn."""
    tasks = candidates.write(self.scratch, self.descriptors, self.shapes)
    found = self._run(candidates.nearest, tasks, what='looking for copies', unit='block')
    return np.concatenate([*found])

  def first_looks(self, pairs: np.ndarray, *, slack: float = NEAR) -> _Looks:
    """The pairs among `[P, 3]` that look alike, each with its best turn."""
    found = [*self._looked(first_look, self.sketches, pairs, same(len(pairs)), slack=slack)]
    if not found:
      return _Looks(pairs, same(0))
    placements, left = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((left, pairs[:, 1], pairs[:, 0]))
    order = order[np.isfinite(left[order])]
    # The best of a pair's turns: a symmetric picture has up to eight.
    first = np.any(np.diff(pairs[order, :2], axis=0, prepend=-1), axis=1)
    best = order[first]
    best = best[np.argsort(left[best], kind='stable')]
    return _Looks(pairs[best], placements[best])

  def compare(self, looks: _Looks) -> dict[Pair, float]:
    """The differences of pairs."""
    self._enlarge(np.unique(looks.pairs[:, :2]))
    there = np.flatnonzero((self.places[self.large][looks.pairs[:, :2]] >= 0).all(axis=1))
    pairs, placements = looks.of(there)
    values = itertools.chain.from_iterable(self._looked(second_look, self.large, pairs, placements))
    return {(a, b): float(value) for (a, b, _), value in zip(pairs.tolist(), values, strict=True)}

  def compare_more(self, pairs: Sequence[Pair]) -> dict[Pair, float]:
    """The differences of pairs that were not candidates, infinite if they look unlike.

    Two crops of one picture need not be inside each other, and are doubtful.
    """
    if not pairs:
      return {}
    of = np.array(pairs)
    first, second = self.descriptors[of[:, 0]], self.descriptors[of[:, 1]]
    near = np.stack([(first * (second @ turning(turn))).sum(1) for turn in TURNS], axis=1)
    pair, turn = np.nonzero(near >= near.max(axis=1, keepdims=True) - candidates.MARGIN)
    looks = self.first_looks(np.column_stack([of[pair], turn]), slack=FAR)
    return dict.fromkeys(pairs, math.inf) | self.compare(looks)

  def small(self, names: Iterable[str]) -> dict[str, bytes]:
    """Enlarged pictures as JPEG files."""
    of = dict(zip((source.name for source in self.sources), self.places[self.large], strict=True))
    return {
      name: images.encode_jpeg(stored(self.large)[of[name]].transpose(1, 2, 0), 85)
      for name in names
    }

  def _looked(
    self,
    look: Callable[[Looks], Any],
    file: Path,
    pairs: np.ndarray,
    placements: np.ndarray,
    *,
    slack: float = NEAR,
  ) -> Iterator[Any]:
    """Yields the results of `look` for chunks of pairs, in order."""
    first, second, turn = pairs.T
    shapes = np.where(turn >= 4, 1 / self.shapes[second], self.shapes[second]) / self.shapes[first]
    places = np.column_stack([self.places[file][pairs[:, :2]], turn])
    size = CHUNK // 4 if file == self.large else CHUNK
    tasks = []
    for i in range(0, len(pairs), size):
      part = slice(i, i + size)
      of = places[part], placements[part], shapes[part]
      tasks.append(Looks(f'pairs from {i:,}', str(file), *of, slack))
    return self._run(look, tasks, what='comparing likely copies', unit='batch')

  def _run(
    self, function: Callable[[Any], Any], tasks: Sequence[Any], *, what: str, unit: str
  ) -> Iterator[Any]:
    """As `pool.run`, but a task that kills its process ends the search, which must be complete."""
    for found in pool.run(function, tasks, what=what, unit=unit, processes=self.processes):
      if isinstance(found, UserError):
        raise UserError(
          f'{what}: a worker process was killed, perhaps for memory; give fewer --processes'
        ) from found
      yield found

  def _enlarge(self, pictures: np.ndarray) -> None:
    """Adds pictures to the file `large`; one that can no longer be read is left out."""
    place = self.places[self.large]
    new = pictures[place[pictures] < 0]
    tasks = [self.sources[i] for i in new]
    found = pool.run(enlarged, tasks, what='looking again', processes=self.processes)
    with self.large.open('ab') as file:
      for i, data in zip(new, found, strict=True):
        if isinstance(data, bytes):
          place[i] = file.tell() // len(data)
          file.write(data)
