"""Several classes per record (a `Sequence(ClassLabel)`): each class is decided separately."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.special

from flaxart.tasks.arithmetic import average_precisions, class_rows, f1, mean
from flaxart.tasks.redrawn import Redrawn, redrawn_average_precision
from flaxart.tasks.task import PLAIN, Arrays, Counts, Scores, Task, Terms, class_names


class Sigmoid(Task):
  """Labels `[N, C]` bool, an empty row if missing."""

  kind = 'sigmoid'
  main = 'map'
  main_words = 'mean average precision'
  stored = ('label', 'p')
  one_class = False

  @classmethod
  def of_feature(cls, name: str, feature: Any, weight: float) -> Self | None:
    import tensorflow_datasets as tfds

    inner = getattr(feature, 'feature', None)  # of a Sequence
    if not isinstance(inner, tfds.features.ClassLabel):
      return None
    return cls(name, class_names(name, inner), weight)

  def is_labelled(self, labels: Any) -> Any:
    return labels.any(axis=-1)

  def class_counts(self, labels: np.ndarray) -> np.ndarray:
    return labels.sum(axis=0)

  def of_classes(self, labels: np.ndarray, these: np.ndarray) -> np.ndarray:
    return np.asarray(labels[:, these].any(axis=1))

  def renumbered(self, labels: np.ndarray, to: np.ndarray) -> np.ndarray:
    moved = np.zeros((len(labels), self.outputs), bool)
    moved[:, to[to >= 0]] = labels[:, to >= 0]
    return moved

  def losses(self, logits: jax.Array, labels: jax.Array, terms: Terms = PLAIN) -> jax.Array:
    """Sum over classes of binary cross-entropies, divided by the number of classes."""
    return self.weighted_losses(logits, labels, jnp.float32(1), terms)

  def weighted_losses(
    self, logits: jax.Array, labels: jax.Array, weights: jax.Array, terms: Terms = PLAIN
  ) -> jax.Array:
    """The same, an unknown class adding 0: each decided one counts as in a record of which
    everything is known.
    """
    target = labels.astype(logits.dtype)
    if terms.smoothing:  # towards even odds, like two-class softmax smoothing
      target = target * (1 - terms.smoothing) + terms.smoothing / 2
    losses = optax.sigmoid_binary_cross_entropy(logits, target)
    losses = losses if terms.weights is None else losses * terms.weights
    return (losses * weights).mean(axis=-1)

  def count_shapes(self) -> dict[str, tuple[int, ...]]:
    """Per class: `so` (true), `said` (probability above one half) and `true_positive`."""
    return dict.fromkeys(('so', 'said', 'true_positive'), (self.outputs,))

  def count(
    self, counts: Counts, logits: jax.Array, labels: jax.Array, known: jax.Array
  ) -> tuple[Arrays, Arrays]:
    said, so = logits > 0, labels.astype(bool)
    these = {'so': so, 'said': said, 'true_positive': said & so}
    return {
      name: counts[name] + (known[:, None] & those).sum(axis=0, dtype=jnp.int32)
      for name, those in these.items()
    }, {}

  def scores(self, counts: Counts, found: Mapping[str, np.ndarray], labels: np.ndarray) -> Arrays:
    known = labels.any(axis=1)
    logits, truth = found['logits'][known], labels[known]
    over_classes = average_precisions(logits, truth)
    over_records = average_precisions(logits.T, truth.T)
    result: Arrays = {
      'map': mean(over_classes[0]),
      'map_interpolated': mean(over_classes[1]),
      'image_map': mean(over_records[0]),
      'image_map_interpolated': mean(over_records[1]),
    }
    result['f1_macro'], result['f1_micro'] = f1(*_by_class(counts))
    return result

  def tables(self, counts: Counts) -> Arrays:
    return {'per_class': class_rows(self.classes, *_by_class(counts))}

  def beside(self, scores: Scores) -> dict[str, float | None]:
    return {'decided': scores.get('decided_coverage')}

  def probabilities(self, logits: np.ndarray) -> np.ndarray:
    return scipy.special.expit(logits)

  def logits_of(self, p: np.ndarray) -> np.ndarray:
    return scipy.special.logit(p)

  def mean_loss(self, logits: np.ndarray, truth: np.ndarray) -> float:
    return float(np.logaddexp(0, np.where(truth, -logits, logits)).mean())

  def possible(self, p: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every class of every record."""
    return p.ravel(), truth.ravel().astype(bool)

  def decide(self, p: np.ndarray, threshold: float) -> list[str]:
    return [self.classes[c] for c in np.flatnonzero(p >= threshold)]

  def answer(self, logits: jax.Array) -> jax.Array:
    return jax.nn.sigmoid(logits)

  def predictions(self, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {'p': scipy.special.expit(found['logits']).astype(np.float32)}

  def comparable(self, kept: Mapping[str, np.ndarray]) -> np.ndarray:
    classes = np.array(self.classes, object)
    return np.array([frozenset(classes[row]) for row in kept['label'].astype(bool)], object)

  def redrawn(self, metric: str, kept: Mapping[str, np.ndarray], group: np.ndarray) -> Redrawn:
    return redrawn_average_precision(kept['p'], kept['label'], group)


def _by_class(counts: Counts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Right answers, records and answers of each class, `[C]` each."""
  return counts['true_positive'], counts['so'], counts['said']
