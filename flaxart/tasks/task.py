"""The interface of a task, which is a labelled feature of the dataset.

A kind is one file with one subclass of `Task`, and one line in `kinds.KINDS`. Nothing else in
flaxart knows the kinds: training, evaluation, prediction and report ask the task.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Self

import jax
import numpy as np

from flaxart.tasks.redrawn import Redrawn, redrawn_mean
from tfds_rijks.errors import UserError
from tfds_rijks.words import counted

Counts = Mapping[str, Any]
Arrays = dict[str, Any]
Scores = Mapping[str, Any]


class Terms(NamedTuple):
  """How the training loss of a task departs from the plain one; by default it does not.

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

  Unless a kind overrides it, a record has one class: labels are `[N]` int32, -1 if missing, and the
  likeliest class is the answer. `center` and `scale` are of the training labels, for a head that
  answers a number. N are records of a split, B of a batch, C classes, O outputs.
  """

  name: str
  classes: tuple[str, ...] = ()
  weight: float = 1.0
  center: float = 0.0
  scale: float = 1.0

  kind: ClassVar[str]  # in labels.json
  main: ClassVar[str]  # the score that chooses the best checkpoint: a fraction, more is better
  main_words: ClassVar[str]  # the same in words
  further: ClassVar[Mapping[str, str]] = {}  # further scores with a table in the report: its title
  in_units: ClassVar[tuple[str, ...]] = ()  # scores in the label's unit; the first is also printed
  stored: ClassVar[tuple[str, ...]]  # names in `predictions_<split>.npz`, `label` among them
  one_class: ClassVar[bool] = True  # has baselines and sample pictures
  decides: ClassVar[bool] = True  # whether names are given above a calibrated probability
  scores_need_logits: ClassVar[bool] = True  # [N, O] floats of a split, kept on the host
  answers_number: ClassVar[bool] = False  # whether `answer` is a number, not names
  loss_factor: ClassVar[float] = 1.0  # of exp(-s) * loss where task weights are learned

  # Definition.

  @classmethod
  @abc.abstractmethod
  def of_feature(cls, name: str, feature: Any, weight: float) -> Self | None:
    """The task of a TFDS feature; None if the feature is for another kind."""

  @property
  def outputs(self) -> int:
    """Width of the head."""
    return len(self.classes)

  @functools.cached_property  # cached: a report compares thousands of classes, pair by pair
  def sha256(self) -> str:
    """Of the class names in order: equal hashes mean that the same index is the same class."""
    return hashlib.sha256('\n'.join(self.classes).encode()).hexdigest()

  def fitted(self, labels: np.ndarray) -> Task:
    """The task with what it needs from the training labels."""
    return self

  def is_labelled(self, labels: Any) -> Any:
    """`[N]` bool: which records have this label; NumPy or JAX, as `labels` are."""
    return labels >= 0

  def class_counts(self, labels: np.ndarray) -> np.ndarray:
    """`[C]`: how many records have each class."""
    return np.bincount(labels[labels >= 0], minlength=len(self.classes))

  def of_classes(self, labels: np.ndarray, these: np.ndarray) -> np.ndarray:
    """`[N]` bool: which records have one of the classes numbered `these`."""
    return np.isin(labels, these)

  def renumbered(self, labels: np.ndarray, to: np.ndarray) -> np.ndarray:
    """`labels` with class `to[c]` for class c; -1 in `to` makes a label missing."""
    return np.where(labels >= 0, to[labels], -1).astype(np.int32)

  # Training.

  @abc.abstractmethod
  def losses(self, logits: jax.Array, labels: jax.Array, terms: Terms = PLAIN) -> jax.Array:
    """Loss of each record, `[B]`, finite even where the label is missing (it is masked there).

    `logits` `[B, O]` float32. A kind ignores terms that do not apply to it.
    """

  def weighted_losses(
    self, logits: jax.Array, labels: jax.Array, weights: jax.Array, terms: Terms = PLAIN
  ) -> jax.Array:
    """`losses` times `weights` `[B]`; of several labels `[B, C]`, where 0 is unknown."""
    return self.losses(logits, labels, terms) * weights

  # Evaluation: counts on the device, scores on the host (see `scores`).

  def count_shapes(self) -> dict[str, tuple[int, ...]]:
    """Shapes of the counts, beside the number of records."""
    return {}

  def count(
    self, counts: Counts, logits: jax.Array, labels: jax.Array, known: jax.Array
  ) -> tuple[Arrays, Arrays]:
    """`counts` with a batch added, and results of each record (`[B, ...]`) beside logits and loss.

    Runs inside the jitted eval step. `known` `[B]`: labelled, and not padding.
    """
    return {}, {}

  @abc.abstractmethod
  def scores(self, counts: Counts, found: Mapping[str, np.ndarray], labels: np.ndarray) -> Arrays:
    """All scores but `n`, `classes` and the mean `loss`; None without a denominator.

    `counts` int64, `found` and `labels` `[N, ...]` in the order of the split.
    """

  def tables(self, counts: Counts) -> Arrays:
    """The entry of `tables.json`; empty for a kind without one."""
    return {}

  def beside(self, scores: Scores) -> dict[str, float | None]:
    """Columns of the printed table that follow the main score, as fractions."""
    return {}

  def guess_scores(self, guess: np.ndarray, truth: np.ndarray) -> dict[str, float | None]:
    """`one_class`: the scores of a baseline's classes `[N]`; the main score comes first."""
    raise NotImplementedError

  def sureness(self, found: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """`[N]`: how sure the network is of its answers, to detect unknown classes."""
    return None

  # Decide or abstain (`decides`; see `evaluation.calibration`).

  def probabilities(self, logits: np.ndarray) -> np.ndarray:
    """`[N, C]` float64 from logits, up to a constant that cancels out."""
    raise NotImplementedError

  def logits_of(self, p: np.ndarray) -> np.ndarray:
    """The logits of plain probabilities `[N, C]`, up to such a constant."""
    raise NotImplementedError

  def mean_loss(self, logits: np.ndarray, truth: np.ndarray) -> float:
    """The plain loss in float64, over labelled records."""
    raise NotImplementedError

  def possible(self, p: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of all possible answers for labelled records, and whether each is right."""
    return p.max(axis=1, initial=0.0), p.argmax(axis=1) == truth

  def decide(self, p: np.ndarray, threshold: float) -> list[str]:
    """The names given to one record, from its calibrated probabilities `[C]`."""
    return [self.classes[int(p.argmax())]] if p.max() >= threshold else []

  # Answers and stored arrays.

  @abc.abstractmethod
  def answer(self, logits: jax.Array) -> jax.Array:
    """`[B, C]` probabilities, or `[B]` numbers in the label's unit."""

  @abc.abstractmethod
  def predictions(self, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays `stored` of each record, except the label."""

  # For the report: `kept` are the arrays `stored` of labelled records, `[N, ...]`.

  def comparable(self, kept: Mapping[str, np.ndarray]) -> np.ndarray:
    """`[N]`: the labels, in a form comparable between runs."""
    return np.array(self.classes, object)[kept['label']]

  def right(self, kept: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """`[N]` bool whose mean is exactly the main score; None if there is no such array."""
    return None

  def redrawn(self, metric: str, kept: Mapping[str, np.ndarray], group: np.ndarray) -> Redrawn:
    """`main` or a `further` score over draws of groups; `group` `[N]` is that of each record."""
    right = self.right(kept)
    assert right is not None and metric == self.main
    return redrawn_mean(right, 0 * group, group)

  def sample(self, kept: Mapping[str, np.ndarray], row: int) -> tuple[str, str, float]:
    """`one_class`: label, answer and its probability, for the caption of a picture."""
    raise NotImplementedError

  def floors(self, metric: str, scores: Scores) -> dict[str, float | None]:
    """Floor and baselines to compare a score with, by name."""
    return {}


def class_names(name: str, feature: Any) -> tuple[str, ...]:
  """The class names of the task `name`; raises `UserError` if there are fewer than two."""
  if len(feature.names) < 2:
    raise UserError(
      f'config.tasks: {name!r} has {counted(len(feature.names), "class", "classes")}; a task needs '
      'two or more: lower --min_per_class when preparing, or leave the task out'
    )
  return tuple(feature.names)
