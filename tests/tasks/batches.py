"""Scores a split like evaluation does: counted in padded batches, divided once."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from flaxart.evaluation.records import Rows
from flaxart.tasks.scores import count, finish, zero_counts

CASES = settings(max_examples=200, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
C = 7
NAMES = (*(f'class {i}' for i in range(C - 1)), 'rest')
count_jit = jax.jit(count, static_argnums=0)


def in_batches(task, logits, labels, *, size, processes=1):
  """Counts and records over padded batches, whose rows are in the order of the processes."""
  counts, rows = zero_counts(task), Rows(len(logits))
  for start in range(0, len(logits), size):
    n = np.arange(start, start + size).reshape(-1, processes).T.ravel()
    record, mask = np.where(n < len(logits), n, 0), n < len(logits)
    counts, found = count_jit(task, counts, logits[record], labels[record], mask)
    rows.add(jax.device_get(found), record, mask)
  return jax.device_get(counts), rows.found


def score(task, logits, labels, *, size=8):
  return finish(task, *in_batches(task, logits, labels, size=size), labels)


def draw(seed, *, decimals=1):
  rng = np.random.default_rng(seed)
  n = int(rng.integers(1, 40))
  logits = np.round(rng.normal(size=(n, C)) * 2, decimals)  # one decimal: ties happen
  return rng, n, logits.astype(np.float32)


def exactly(value):
  return pytest.approx(value, abs=1e-9)
