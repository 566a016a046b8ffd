"""A task is a labelled feature of the dataset; this is what every kind of task says of itself.

A kind is one file with one subclass of `Task`, and one line in `kinds.KINDS`. Nothing else in
flaxart knows which kinds there are: training, evaluation, prediction and report ask the task.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NamedTuple, Self

import jax
import numpy as np

from flaxart.tasks.redrawn import Redrawn, redrawn_mean
from tfds_rijks.errors import UserError

Counts = Mapping[str, Any]
Arrays = dict[str, Any]
Scores = Mapping[str, Any]


class Terms(NamedTuple):
  """How the training loss of a task departs from the plain one; by default not at all.

  `weights` `[C]` multiply the loss of a record by the weight of its class; `offsets` `[C]` are
  added to the logits (logit adjustment).
  """

  smoothing: float = 0.0
  weights: np.ndarray | None = None
  offsets: np.ndarray | None = None


PLAIN = Terms()


@dataclasses.dataclass(frozen=True)
class Task(abc.ABC):
  """One head: `name` is the feature, `classes` its names in the order of the labels' numbers.

  Where a kind says nothing else, a record has one class: labels are `[N]` int32, -1 where there is
  none, and the likeliest class is the answer. `center` and `scale` are of the training labels, for
  a head that answers a number. N are records of a split, B of a batch, C classes, O outputs.
  """

  name: str
  classes: tuple[str, ...] = ()
  weight: float = 1.0
  center: float = 0.0
  scale: float = 1.0

  kind: ClassVar[str]  # in labels.json
  main: ClassVar[str]  # the score that best checkpoints are chosen by: a fraction, more is better
  main_words: ClassVar[str]  # the same in words
  further: ClassVar[Mapping[str, str]] = {}  # more scores that a report has a table of: its title
  in_units: ClassVar[tuple[str, ...]] = ()  # scores in the label's unit; the first is printed too
  stored: ClassVar[tuple[str, ...]]  # names in `predictions_<split>.npz`, `label` among them
  one_class: ClassVar[bool] = True  # baselines answer too, and pictures can be shown
  decides: ClassVar[bool] = True  # whether names are given from a calibrated probability on
  scores_need_logits: ClassVar[bool] = True  # [N, O] floats of a split, kept on the host
  answers_number: ClassVar[bool] = False  # whether `ranked` says a number, not a name
  loss_factor: ClassVar[float] = 1.0  # of exp(-s) * loss where task weights are learned

  # What it is.

  @classmethod
  @abc.abstractmethod
  def of_feature(cls, name: str, feature: Any, weight: float) -> Self | None:
    """The task of a TFDS feature; None if the feature is for another kind."""

  @property
  def outputs(self) -> int:
    """Width of the head."""
    return len(self.classes)

  @functools.cached_property  # a report compares thousands of classes, pair by pair
  def sha256(self) -> str:
    """Of the class names in order: equal hashes mean that the same index is the same class."""
    return hashlib.sha256('\n'.join(self.classes).encode()).hexdigest()

  def fitted(self, labels: np.ndarray) -> Task:
    """The task with what it takes from the training labels."""
    return self

  def is_labelled(self, labels: Any) -> Any:
    """`[N]` bool: which records carry this label; NumPy or JAX, as `labels` are."""
    return labels >= 0

  def class_counts(self, labels: np.ndarray) -> np.ndarray:
    """`[C]`: how many records carry each class."""
    return np.bincount(labels[labels >= 0], minlength=len(self.classes))

  def of_classes(self, labels: np.ndarray, these: np.ndarray) -> np.ndarray:
    """`[N]` bool: which records carry one of the classes with the numbers `these`."""
    return np.isin(labels, these)

  def renumbered(self, labels: np.ndarray, to: np.ndarray) -> np.ndarray:
    """`labels` with class `to[c]` for class c; -1 in `to` makes a label missing."""
    return np.where(labels >= 0, to[labels], -1).astype(np.int32)

  # Training.

  @abc.abstractmethod
  def losses(self, logits: jax.Array, labels: jax.Array, terms: Terms = PLAIN) -> jax.Array:
    """Loss of each record, `[B]`, finite where the label is missing too (it is masked there).

    `logits` `[B, O]` float32. A kind passes over the terms that it has no use for.
    """

  # Evaluation: counts on the device, scores on the host (see `scores`).

  def count_shapes(self) -> dict[str, tuple[int, ...]]:
    """What `count` counts, beside the number of records."""
    return {}

  def count(
    self, counts: Counts, logits: jax.Array, labels: jax.Array, known: jax.Array
  ) -> tuple[Arrays, Arrays]:
    """`counts` with a batch added, and what each record gave (`[B, ...]`) beside logits and loss.

    Runs inside the jitted eval step. `known` `[B]`: labelled, and no padding.
    """
    return {}, {}

  @abc.abstractmethod
  def scores(self, counts: Counts, found: Mapping[str, np.ndarray], labels: np.ndarray) -> Arrays:
    """All scores but `n`, `classes` and the mean `loss`; None where there is nothing to divide by.

    `counts` int64, `found` and `labels` `[N, ...]` in the order of the split.
    """

  def tables(self, counts: Counts) -> Arrays:
    """The entry of `tables.json`; empty where there is nothing to look up."""
    return {}

  def beside(self, scores: Scores) -> dict[str, float | None]:
    """Columns of the printed table that follow the main score, as fractions."""
    return {}

  def guess_scores(self, guess: np.ndarray, truth: np.ndarray) -> dict[str, float | None]:
    """`one_class`: what a baseline gets for a class each `[N]`; the main score comes first."""
    raise NotImplementedError

  def sureness(self, found: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """`[N]`: how sure the network is of its answers, where they may be to something unknown."""
    return None

  # Decide or abstain (`decides`; see `evaluation.calibration`).

  def probabilities(self, logits: np.ndarray) -> np.ndarray:
    """`[N, C]` float64 of logits, which may lack a constant that cancels out."""
    raise NotImplementedError

  def logits_of(self, p: np.ndarray) -> np.ndarray:
    """The logits of plain probabilities `[N, C]`, up to such a constant."""
    raise NotImplementedError

  def mean_loss(self, logits: np.ndarray, truth: np.ndarray) -> float:
    """The plain loss in float64, over labelled records."""
    raise NotImplementedError

  def possible(self, p: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probability of each answer that could be given to labelled records, and if it is right."""
    return p.max(axis=1, initial=0.0), p.argmax(axis=1) == truth

  def decide(self, p: np.ndarray, threshold: float) -> list[str]:
    """The names given to one record, from its calibrated probabilities `[C]`."""
    return [self.classes[int(p.argmax())]] if p.max() >= threshold else []

  # What it answers and stores.

  @abc.abstractmethod
  def answer(self, logits: jax.Array) -> jax.Array:
    """`[B, C]` probabilities, or `[B]` numbers in the label's unit."""

  @abc.abstractmethod
  def predictions(self, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is stored of each record: `stored`, but for the label."""

  def ranked(self, values: np.ndarray) -> Iterator[tuple[str, str]]:
    """Names with their probabilities, the likeliest first, as text; of one `answer`."""
    for c in np.argsort(-values, kind='stable'):
      yield self.classes[c], f'{values[c]:.4f}'

  # What a report makes of it: `kept` are the arrays `stored` of labelled records, `[N, ...]`.

  def comparable(self, kept: Mapping[str, np.ndarray]) -> np.ndarray:
    """`[N]`: what is true, in a form that means the same in another run."""
    return np.array(self.classes, object)[kept['label']]

  def right(self, kept: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """`[N]` bool whose mean is the main score to the digit; None where what is kept has no such."""
    return None

  def redrawn(self, metric: str, kept: Mapping[str, np.ndarray], group: np.ndarray) -> Redrawn:
    """`main` or a `further` score over draws of groups; `group` `[N]` is that of each record."""
    right = self.right(kept)
    assert right is not None and metric == self.main
    return redrawn_mean(right, 0 * group, group)

  def sample(self, kept: Mapping[str, np.ndarray], row: int) -> tuple[str, str, float]:
    """`one_class`: what is true, what was said and its probability, to stand below a picture."""
    raise NotImplementedError

  def floors(self, metric: str, scores: Scores) -> dict[str, float | None]:
    """What to hold a score of a report against, by name."""
    return {}


def class_names(name: str, feature: Any) -> tuple[str, ...]:
  """Of the `ClassLabel` behind the task `name`, which needs two or more."""
  if len(feature.names) < 2:
    raise UserError(
      f'config.tasks: {name!r} has {len(feature.names)} class(es); a task needs two or '
      'more: lower --min_per_class when preparing, or leave the task out'
    )
  return tuple(feature.names)
