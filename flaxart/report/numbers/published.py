"""The published curves of both figures; see `published/README.md`."""

from __future__ import annotations

import csv
import importlib.resources
from collections import defaultdict

from flaxart.report.numbers.experiments import Section

Curve = list[tuple[int, float]]  # (passes over the training set, accuracy on val as a fraction)


def figure1() -> dict[tuple[str, str, str], Curve]:
  """`{(task, mode, network): curve}`; modes are off_the_shelf, fine_tuned and scratch."""
  curves: dict[tuple[str, str, str], Curve] = defaultdict(list)
  for row in _rows('figure1.tsv'):
    curves[row['task'], row['mode'], row['network']].append(_point(row))
  return dict(curves)


def figure2() -> dict[tuple[str, str], Curve]:
  """`{(task, run): curve}` of ResNet50; runs are multi (one network) and single (one per task)."""
  curves: dict[tuple[str, str], Curve] = defaultdict(list)
  for row in _rows('figure2.tsv'):
    curves[row['task'], row['run']].append(_point(row))
  return dict(curves)


def is_wanted(show_published: str, section: Section) -> bool:
  """Whether to draw published curves: yes, no, or auto (if the data are those of the challenge).

  Never behind invented objects.
  """
  if show_published == 'auto':
    return section.of_the_museum
  return show_published == 'yes' and not section.invented


def _point(row: dict[str, str]) -> tuple[int, float]:
  return int(row['epoch']) + 1, float(row['val_accuracy'])  # epoch 0 is the first pass


def _rows(name: str) -> list[dict[str, str]]:
  text = (importlib.resources.files('flaxart.report.numbers') / 'published' / name).read_text(
    'utf-8'
  )
  return list(csv.DictReader(text.splitlines(), delimiter='\t'))
