"""The kind of machine that programs are compiled for: usually the one they are traced on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import jax

TARGETS = ('cpu', 'gpu', 'tpu')
_target = jax.make_user_context()  # part of the key of `jax.jit`'s traces


def target() -> str:
  """`'cpu'`, `'gpu'` or `'tpu'`, for code that computes differently on one of them."""
  return _target.value or jax.default_backend()


@contextlib.contextmanager
def use_target(name: str) -> Iterator[None]:
  """Programs traced inside are for this kind of machine, whatever JAX runs on.

  They can be lowered for it without having one: `jax.stages.Traced.lower(lowering_platforms=...)`
  (which calls a GPU `cuda`). A CPU also runs programs for the others.
  """
  if name not in TARGETS:
    raise ValueError(f'target: found {name!r}, expected one of {", ".join(TARGETS)}')
  with _target(name):
    yield
