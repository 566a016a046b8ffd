"""One number per record (a float feature, such as a year): squared error, share within 50."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from flaxart.tasks.redrawn import Redrawn, redrawn_mean
from flaxart.tasks.task import PLAIN, Arrays, Counts, Task, Terms

YEARS = 50  # "share within 50 years" of the Rijksmuseum Challenge


class Regression(Task):
  """Labels `[N]` float, NaN if missing.

  The head has one output, in units of `scale` around `center` (both from the training split, so
  that a year near 1650 is a number near 0 for the network).
  """

  kind = 'regression'
  main = 'within_50'
  main_words = 'share within 50 years'
  in_units = ('mae', 'rmse')
  stored = ('label', 'value')
  one_class = decides = False
  answers_number = True
  loss_factor = 0.5  # the loss is the squared error, not half of it

  @classmethod
  def of_feature(cls, name: str, feature: Any, weight: float) -> Self | None:
    if feature.shape != () or not np.issubdtype(np.dtype(feature.np_dtype), np.floating):
      return None
    return cls(name, weight=weight)

  @property
  def outputs(self) -> int:
    return 1

  def fitted(self, labels: np.ndarray) -> Task:
    known = labels[self.is_labelled(labels)]
    scale = float(known.std()) if len(known) > 1 else 1.0
    center = float(known.mean()) if len(known) else 0.0
    return dataclasses.replace(self, center=center, scale=scale or 1.0)

  def is_labelled(self, labels: Any) -> Any:
    return labels == labels  # only NaN differs from itself

  def losses(self, logits: jax.Array, labels: jax.Array, terms: Terms = PLAIN) -> jax.Array:
    """Squared error in units of `scale`."""
    known = jnp.where(self.is_labelled(labels), labels, self.center)
    return jnp.square(logits[:, 0] - (known - self.center) / self.scale)

  def values(self, logits: np.ndarray) -> np.ndarray:
    """The answers of a head `[N, 1]` in the label's unit, `[N]` float64."""
    return logits[:, 0].astype(np.float64) * self.scale + self.center

  def scores(self, counts: Counts, found: Mapping[str, np.ndarray], labels: np.ndarray) -> Arrays:
    """Computes its own `loss`, in float64."""
    known = self.is_labelled(labels)
    if not known.any():
      return dict.fromkeys(('loss', 'mae', 'rmse', 'within_50'))
    error = np.abs(self.values(found['logits']) - labels)[known]
    return {
      'loss': float(np.square(error / self.scale).mean()),
      'mae': float(error.mean()),
      'rmse': float(np.sqrt(np.square(error).mean())),
      'within_50': float((error <= YEARS).mean()),
    }

  def answer(self, logits: jax.Array) -> jax.Array:
    return logits[:, 0] * self.scale + self.center

  def predictions(self, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {'value': self.values(found['logits']).astype(np.float32)}

  def comparable(self, kept: Mapping[str, np.ndarray]) -> np.ndarray:
    return kept['label']

  def redrawn(self, metric: str, kept: Mapping[str, np.ndarray], group: np.ndarray) -> Redrawn:
    return redrawn_mean(np.abs(kept['value'] - kept['label']) <= YEARS, 0 * group, group)
