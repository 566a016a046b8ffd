"""Per-class tables and confusions, from the `tables.json` of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flaxart.report.figures.plotting import figure, render
from flaxart.report.numbers.runs import Run
from tfds_rijks.words import alphabetical

MATRIX_CLASSES = 60  # a larger matrix is unreadable as a picture
TOP = 12  # confusions listed
CLASSES_SHOWN = 60  # the largest; all are in the report's tables.json


def of_run(run: Run, task: str) -> dict[str, Any] | None:
  """The test entry of a task, or None if the run did not record one."""
  return (run.tables or {}).get('test', {}).get(task)


def largest_classes(per_class: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
  """The rows of the largest classes on the test split, the largest first."""
  in_order = sorted(per_class, key=lambda row: (-row['n'], alphabetical(row['class'])))
  return in_order[:CLASSES_SHOWN]


def top_confusions(
  confusion: Sequence[Sequence[int]], classes: Sequence[str]
) -> list[tuple[str, str, int, float]]:
  """`(true, predicted, count, share of the true class)`, the most frequent first."""
  of_class: dict[int, int] = {}
  for true, _, count in confusion:
    of_class[true] = of_class.get(true, 0) + count
  wrong = [(classes[t], classes[p], n, n / of_class[t]) for t, p, n in confusion if t != p]
  return sorted(wrong, key=lambda one: (-one[2], *map(alphabetical, one[:2])))[:TOP]


def matrix(confusion: Sequence[Sequence[int]], classes: int) -> np.ndarray:
  """`[true, predicted]` as shares of the true class; rows of absent classes are NaN."""
  counts = np.zeros((classes, classes))
  for true, predicted, count in confusion:
    counts[true, predicted] = count
  total = counts.sum(axis=1, keepdims=True)
  return np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)


def draw_matrix(
  confusion: Sequence[Sequence[int]], classes: Sequence[str], *, invented: bool = False
) -> bytes:
  """PNG of the matrix, rows in the order of the labels."""
  size = min(9.0, 2.2 + 0.13 * len(classes))
  with figure(1, 1, width=size + 0.6, height=size, invented=invented) as (fig, axes):
    ax = axes[0, 0]
    shares = matrix(confusion, len(classes))
    image = ax.imshow(shares, vmin=0, vmax=1, cmap='Blues', interpolation='nearest')
    # Class names come from a spreadsheet: a dollar sign must not start a formula.
    names = [name if len(name) <= 24 else f'{name[:23]}…' for name in classes]
    font = 8 if len(classes) <= 12 else 6
    ticks = range(len(classes))
    ax.set_xticks(ticks, names, rotation=90, fontsize=font)
    ax.set_yticks(ticks, names, fontsize=font)
    ax.set(xlabel='predicted', ylabel='true')
    ax.grid(False)
    fig.colorbar(image, ax=ax, shrink=0.6)
    return render(fig, 'png', dpi=110)
