"""Transformed kernels of convolutions, made once for a network that does not learn.

`winograd` and `spectral` transform a kernel before they multiply by it, and `layers.pointwise`
joins several. While a network learns, the result changes with every step. Otherwise `Inference`
computes it before the first batch and passes it in with every batch; it has two to three times as
many values as the kernels.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import jax

Forms = list[Any]  # in the order in which a network asks for them

_provider: contextvars.ContextVar[Callable[..., Any] | None] = contextvars.ContextVar(
  'provider', default=None
)


def kernel_form(make: Callable[[Any], Any], kernel: Any) -> Any:
  """`make(kernel)`, or its form made beforehand; `kernel`: an array, or several."""
  provider = _provider.get()
  return make(kernel) if provider is None else provider(make, kernel)


def in_inference() -> bool:
  """Whether kernels' forms are made beforehand or passed in; nothing is differentiated then."""
  return _provider.get() is not None


class Inference:
  """`function(arrays, batch)` under `jax.jit`, called with batches only.

  `arrays` never change, nor do the forms of the kernels among them, which are made once for the
  shape of the last batch. `options` are those of `jax.jit`.
  """

  def __init__(self, function: Callable[[Any, Any], Any], arrays: Any, **options: Any):
    self.arrays = arrays
    self._made: tuple[Any, Forms] = (None, [])  # the batch's shape, and the forms for it

    def make(arrays: Any, batch: Any) -> Forms:
      forms: Forms = []

      def record(of: Callable[[Any], Any], kernel: Any) -> Any:
        forms.append(of(kernel))
        return forms[-1]

      with _provided_by(record):
        function(arrays, batch)
      return forms

    def apply(arrays: Any, forms: Forms, batch: Any) -> Any:
      ready = iter(forms)
      with _provided_by(lambda of, kernel: next(ready)):
        return function(arrays, batch)

    self._make, self._apply = jax.jit(make), jax.jit(apply, **options)

  def __call__(self, batch: Any) -> Any:
    """Applies `function` to a batch."""
    return self._apply(self.arrays, self._forms(batch), batch)

  def traced(self, batch: Any) -> jax.stages.Traced:
    """JAX's program of a call with such a batch."""
    return self._apply.trace(self.arrays, self._forms(batch), batch)

  def _forms(self, batch: Any) -> Forms:
    shape = jax.tree.map(lambda x: (x.shape, x.dtype), batch)
    of_shape, forms = self._made  # read once: another thread may set another shape
    if shape != of_shape:
      forms = self._make(self.arrays, batch)
      self._made = (shape, forms)
    return forms


@contextlib.contextmanager
def _provided_by(provider: Callable[..., Any]) -> Iterator[None]:
  token = _provider.set(provider)
  try:
    yield
  finally:
    _provider.reset(token)
