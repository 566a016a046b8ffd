"""What convolutions make of their kernels, made once for a network that does not learn.

`winograd` and `spectral` turn a kernel into other matrices before they multiply by it, and
`layers.pointwise` joins several. While a network learns that is new with every step. Where it does
not, `Inference` computes them before the first batch and hands them in with every batch; they are
two to three times as many values as the kernels.
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
  """`make(kernel)`, or the form of it that was made before; `kernel`: an array, or several."""
  provider = _provider.get()
  return make(kernel) if provider is None else provider(make, kernel)


def in_inference() -> bool:
  """Whether kernels' forms are made ahead or handed in; nothing is differentiated then."""
  return _provider.get() is not None


class Inference:
  """`function(arrays, batch)` under `jax.jit`, called with batches only.

  `arrays` never change, so neither do the forms of the kernels among them, which are made once for
  the batches' shape of the last call. `options` are those of `jax.jit`.
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
    """`function` of a batch."""
    return self._apply(self.arrays, self._forms(batch), batch)

  def traced(self, batch: Any) -> jax.stages.Traced:
    """The program of a call with such a batch, as JAX has it."""
    return self._apply.trace(self.arrays, self._forms(batch), batch)

  def _forms(self, batch: Any) -> Forms:
    shape = jax.tree.map(lambda x: (x.shape, x.dtype), batch)
    of_shape, forms = self._made  # read once: another thread may come with another shape
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
