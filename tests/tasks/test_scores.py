"""Padding, batch size and the number of processes change no digit of any kind of task."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from batches import NAMES, C, in_batches

from flaxart.tasks.regression import Regression
from flaxart.tasks.scores import finish
from flaxart.tasks.sigmoid import Sigmoid
from flaxart.tasks.softmax import Softmax

RNG = np.random.default_rng(0)
YEARS = np.where(RNG.random(33) < 0.2, np.nan, 1650 + 80 * RNG.normal(size=33))
CASES = [
  (Softmax('artist', NAMES), RNG.integers(-1, C, 33).astype(np.int32)),
  (Sigmoid('type', NAMES), RNG.random((33, C)) < 0.2),
  (Regression('year', center=1650.0, scale=80.0), YEARS.astype(np.float32)),
]


@pytest.mark.parametrize(('size', 'processes'), [(1, 1), (3, 1), (16, 4), (64, 2)])
@pytest.mark.parametrize(('task', 'labels'), CASES, ids=[task.kind for task, _ in CASES])
def test_padding_batch_size_and_processes_change_no_digit(task, labels, size, processes):
  logits = RNG.normal(size=(33, task.outputs)).astype(np.float32)
  whole = in_batches(task, logits, labels, size=33)
  cut = in_batches(task, logits, labels, size=size, processes=processes)
  jax.tree.map(np.testing.assert_array_equal, whole, cut)
  assert finish(task, *whole, labels) == finish(task, *cut, labels)
