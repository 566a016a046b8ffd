"""Departures from the plain losses; all are off by default."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from ml_collections import ConfigDict

from flaxart.data.source import Split
from flaxart.settings import CLASS_WEIGHTS, Settings
from flaxart.tasks.task import Task, Terms

EFFECTIVE_BETA = 0.999  # Cui et al., 2019: the best of their values on long-tailed CIFAR


@dataclasses.dataclass(frozen=True)
class Objective:
  """How training departs from the plain losses, `{task: terms}`; by default it does not."""

  terms: Mapping[str, Terms] = dataclasses.field(default_factory=dict)


def create_objective(
  config: ConfigDict, settings: Settings, tasks: Sequence[Task], train: Split
) -> Objective:
  """The objective that `config` asks for, with class counts from the training split."""
  terms = {}
  for task in tasks:
    own = Terms(config.loss.label_smoothing)
    named = settings.class_weights.get(task.name)
    if named and not task.classes:
      raise CLASS_WEIGHTS.wrong(f'{task.name}={named}', f'{task.name!r} has no classes')
    if task.classes:
      counts = task.class_counts(train.labels[task.name])
      if (rule := named or settings.class_weights_of_others) != 'none':
        weights = class_weights(counts, rule=rule, cap=config.loss.class_weight_cap)
        own = own._replace(weights=weights)
      if config.loss.logit_adjustment and task.one_class:
        share = np.maximum(counts, 1) / np.maximum(counts, 1).sum()
        offsets = (config.loss.logit_adjustment * np.log(share)).astype(np.float32)
        own = own._replace(offsets=offsets)
    terms[task.name] = own
  return Objective(terms)


def class_weights(counts: np.ndarray, *, rule: str, cap: float) -> np.ndarray:
  """`[C]` float32 weights of mean 1 over the training records, no larger than `cap`.

  `inverse` frequency, its square root, or the inverse effective number of samples
  `(1 - beta) / (1 - beta ** n)` (Cui et al., "Class-balanced loss", CVPR 2019).
  """
  n = np.maximum(counts, 1).astype(np.float64)
  raw = {
    'sqrt': n**-0.5,
    'inverse': 1 / n,
    'effective': (1 - EFFECTIVE_BETA) / (1 - EFFECTIVE_BETA**n),
  }[rule]
  weights = raw / np.average(raw, weights=np.maximum(counts, 0) + 1e-12)
  return np.minimum(weights, cap).astype(np.float32)
