"""One class per record (a `ClassLabel`): cross-entropy, top-1, and a name if it is sure enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.special

from flaxart.tasks.arithmetic import (
  accuracies,
  class_rows,
  divide,
  expected_calibration_error,
  f1,
  mean_class_accuracy,
)
from flaxart.tasks.redrawn import Redrawn, redrawn_mean
from flaxart.tasks.task import PLAIN, Arrays, Counts, Scores, Task, Terms, class_names

TOP = 5  # classes kept per record, for top-1 to top-5
REST = 'rest'  # the Challenge's class for every creator without a class of their own


class Softmax(Task):
  """Classes exclude one another; labels `[N]` int32, -1 if missing."""

  kind = 'softmax'
  main = 'top1'
  main_words = 'accuracy'
  further: ClassVar[Mapping[str, str]] = {
    'balanced_accuracy': 'Balanced accuracy on the test split: the mean over classes'
  }
  stored = ('label', 'top', 'p')
  scores_need_logits = False

  @classmethod
  def of_feature(cls, name: str, feature: Any, weight: float) -> Self | None:
    import tensorflow_datasets as tfds

    if not isinstance(feature, tfds.features.ClassLabel):
      return None
    return cls(name, class_names(name, feature), weight)

  def losses(self, logits: jax.Array, labels: jax.Array, terms: Terms = PLAIN) -> jax.Array:
    """Cross-entropy in nats."""
    truth = jnp.maximum(labels, 0)
    if terms.offsets is not None:
      logits = logits + terms.offsets
    if terms.smoothing:
      target = optax.smooth_labels(jax.nn.one_hot(truth, self.outputs), terms.smoothing)
      losses = optax.softmax_cross_entropy(logits, target)
    else:
      losses = optax.softmax_cross_entropy_with_integer_labels(logits, truth)
    return losses if terms.weights is None else losses * jnp.asarray(terms.weights)[truth]

  def count_shapes(self) -> dict[str, tuple[int, ...]]:
    """`of_class`: records by true class; `hits`: those among the first 1 to 5 answers, and again
    without the answer "rest" if that is a class; `confusion`: true class, answer.
    """
    C = self.outputs
    shapes = {'of_class': (C,), 'hits': (TOP, C), 'confusion': (C, C)}
    return shapes | ({'hits_without_rest': (TOP, C)} if REST in self.classes else {})

  def count(
    self, counts: Counts, logits: jax.Array, labels: jax.Array, known: jax.Array
  ) -> tuple[Arrays, Arrays]:
    """Per record: `top` `[B, min(5, C)]` int32, the classes by falling probability, and `p`."""
    truth = jnp.maximum(labels, 0)
    # Ties go to the lower class, here as in `rank`: equal scores cannot count as a hit twice. (For
    # top_k, 0 is more than -0.)
    _, top = jax.lax.top_k(jnp.where(logits == 0, 0.0, logits), min(TOP, self.outputs))
    p = jnp.take_along_axis(jax.nn.softmax(logits), top, axis=1)
    # A NaN logit beats nothing and is beaten by nothing: count it as wrong.
    broken = jnp.isnan(logits).any(axis=1)
    # A record's rank is the number of classes that score higher.
    own = jnp.take_along_axis(logits, truth[:, None], axis=1)
    earlier = jnp.arange(self.outputs)[None, :] < truth[:, None]
    higher = (logits > own) | ((logits == own) & earlier)
    rank = jnp.where(broken, self.outputs + TOP, higher.sum(axis=1))

    def add_hits(hits: jax.Array, rank: jax.Array) -> jax.Array:
      within = rank[None, :] <= jnp.arange(TOP)[:, None]  # [5, B]
      return hits.at[:, truth].add((within & known).astype(jnp.int32))

    answered = (known & ~broken).astype(jnp.int32)
    new = {
      'of_class': counts['of_class'].at[truth].add(known.astype(jnp.int32)),
      'hits': add_hits(counts['hits'], rank),
      'confusion': counts['confusion'].at[truth, top[:, 0]].add(answered),
    }
    if 'hits_without_rest' in counts:
      beaten_by_rest = higher[:, self.classes.index(REST)]
      new['hits_without_rest'] = add_hits(counts['hits_without_rest'], rank - beaten_by_rest)
    return new, {'top': top, 'p': p}

  def scores(self, counts: Counts, found: Mapping[str, np.ndarray], labels: np.ndarray) -> Arrays:
    n, of_class, hits = int(counts['n']), counts['of_class'], counts['hits']
    mca = mean_class_accuracy(hits, of_class)
    known = labels >= 0
    right = found['top'][known, 0] == labels[known]
    result: Arrays = {
      'top1': divide(hits[0].sum(), n),
      'top5': divide(hits[TOP - 1].sum(), n),
      'balanced_accuracy': mca and mca[0],
      'balanced_top5': mca and mca[TOP - 1],
      'mca': mca,
      'ece': expected_calibration_error(found['p'][known, 0], right),
    }
    result['f1_macro'], result['f1_micro'] = f1(*_by_class(counts))
    if 'hits_without_rest' in counts:
      named = np.where(np.arange(self.outputs) == self.classes.index(REST), 0, of_class)
      result['mca_without_rest'] = mean_class_accuracy(counts['hits_without_rest'], named)
    return result

  def tables(self, counts: Counts) -> Arrays:
    """`per_class`, and `confusion`: `[true class, answer, records]` wherever there are any."""
    pairs = np.argwhere(counts['confusion'])
    confusion = [[int(a), int(b), int(counts['confusion'][a, b])] for a, b in pairs]
    return {'per_class': class_rows(self.classes, *_by_class(counts)), 'confusion': confusion}

  def beside(self, scores: Scores) -> dict[str, float | None]:
    return {
      'largest class': scores['floor'],
      '16x16 pixels': scores.get('pixels16_top1'),
      'label-only': scores.get('label_only_top1'),
      'top-5': scores['top5'],
      'balanced': scores['balanced_accuracy'],
      'decided': scores.get('decided_coverage'),
    }

  def guess_scores(self, guess: np.ndarray, truth: np.ndarray) -> dict[str, float | None]:
    top1, balanced = accuracies(guess, truth)
    return {'top1': top1, 'balanced_accuracy': balanced}

  def sureness(self, found: Mapping[str, np.ndarray]) -> np.ndarray | None:
    return found['p'][:, 0]

  def probabilities(self, logits: np.ndarray) -> np.ndarray:
    return scipy.special.softmax(logits, axis=1)

  def logits_of(self, p: np.ndarray) -> np.ndarray:
    return np.log(p)

  def mean_loss(self, logits: np.ndarray, truth: np.ndarray) -> float:
    own = logits[np.arange(len(truth)), truth]
    return float((scipy.special.logsumexp(logits, axis=1) - own).mean())

  def answer(self, logits: jax.Array) -> jax.Array:
    return jax.nn.softmax(logits)

  def predictions(self, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {'top': found['top'].astype(np.int32), 'p': found['p'].astype(np.float32)}

  def right(self, kept: Mapping[str, np.ndarray]) -> np.ndarray | None:
    return np.asarray(kept['top'][:, 0] == kept['label'])

  def redrawn(self, metric: str, kept: Mapping[str, np.ndarray], group: np.ndarray) -> Redrawn:
    balanced = metric == 'balanced_accuracy'
    classes = np.unique(kept['label'], return_inverse=True)[1] if balanced else 0 * group
    return redrawn_mean(kept['top'][:, 0] == kept['label'], classes, group)

  def sample(self, kept: Mapping[str, np.ndarray], row: int) -> tuple[str, str, float]:
    truth, said = self.classes[kept['label'][row]], self.classes[kept['top'][row, 0]]
    return truth, said, float(kept['p'][row, 0])

  def floors(self, metric: str, scores: Scores) -> dict[str, float | None]:
    top1 = metric == self.main
    first = {'largest class': scores.get('floor')} if top1 else {'chance': 1 / self.outputs}
    return first | {
      '16x16 pixels': scores.get(f'pixels16_{metric}'),
      'label-only': scores.get(f'label_only_{metric}'),
    }


def _by_class(counts: Counts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Right answers, records and answers of each class, `[C]` each."""
  confusion = counts['confusion']
  return np.diagonal(confusion), counts['of_class'], confusion.sum(axis=0)
