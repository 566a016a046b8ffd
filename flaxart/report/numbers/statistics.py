"""Uncertainty of scores: over seeds by Student's t, over test objects by the bootstrap.

The two answer different questions: how much another seed would change the score on these objects,
and how much other objects would. Groups (pictures of one object, lettered parts) are drawn, never
single records, because records of a group are not independent. A difference uses the same draws for
both sides, which makes it paired (Efron and Tibshirani, An Introduction to the Bootstrap, 1993).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import stats

from flaxart.tasks.redrawn import Redrawn

DRAWS = 1000
LEVEL = 0.95
_CHUNK = 50  # draws at once: bounds the memory


@dataclasses.dataclass(frozen=True)
class OverSeeds:
  """Mean, standard deviation and 95 % t interval; the last two are None for a single seed."""

  n: int
  mean: float | None
  sd: float | None
  low: float | None
  high: float | None


def over_seeds(values: Sequence[float | None]) -> OverSeeds:
  """The statistics of the values that exist, with the sample standard deviation (n - 1)."""
  known = np.array([value for value in values if value is not None], float)
  if not len(known):
    return OverSeeds(0, None, None, None, None)
  mean = float(known.mean())
  if len(known) < 2:
    return OverSeeds(len(known), mean, None, None, None)
  sd = float(known.std(ddof=1))
  half = float(stats.t.ppf((1 + LEVEL) / 2, len(known) - 1)) * sd / np.sqrt(len(known))
  return OverSeeds(len(known), mean, sd, float(mean - half), float(mean + half))


def group_draws(groups: int, *, draws: int = DRAWS, seed: int = 0) -> Iterator[np.ndarray]:
  """How often each group is drawn, with replacement; in pieces `[at most 50, groups]`."""
  rng = np.random.default_rng(seed)
  for begin in range(0, draws, _CHUNK):
    rows = min(_CHUNK, draws - begin)
    drawn = rng.integers(groups, size=(rows, groups)) + groups * np.arange(rows)[:, None]
    yield np.bincount(drawn.ravel(), minlength=rows * groups).reshape(rows, groups).astype(float)


def bootstrap(
  score: Redrawn, groups: int, *, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float] | None:
  """The 95 % percentile interval of a score over `groups` test groups; None for fewer than two."""
  if groups < 2:
    return None
  values = np.concatenate([score(w) for w in group_draws(groups, draws=draws, seed=seed)])
  if np.isnan(values).all():
    return None
  low, high = np.nanpercentile(values, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
  return float(low), float(high)


def of_proportion(score: Redrawn, groups: int) -> tuple[float, float] | None:
  """As `bootstrap`, for a score from 0 to 1.

  Where every draw gives 0, or every draw 1, the draws know nothing of other objects: Wilson's
  interval (1927) for that share of the groups.
  """
  found = bootstrap(score, groups)
  return wilson(found[0], groups) if found and found in ((0.0, 0.0), (1.0, 1.0)) else found


def wilson(share: float, n: int) -> tuple[float, float]:
  """Wilson's 95 % interval for a share of `n` trials."""
  z = float(stats.norm.ppf((1 + LEVEL) / 2))
  middle, scale = share + z * z / (2 * n), 1 + z * z / n
  half = z * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
  return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def value_of(score: Redrawn, groups: int) -> float:
  """The score itself, with every group once."""
  return float(score(np.ones((1, groups)))[0])


def mean_of(scores: Sequence[Redrawn]) -> Redrawn:
  """The mean over runs, draw by draw."""
  return lambda weights: np.mean([score(weights) for score in scores], axis=0)


def difference_of(a: Redrawn, b: Redrawn) -> Redrawn:
  """`a - b` on the same draws."""
  return lambda weights: a(weights) - b(weights)
