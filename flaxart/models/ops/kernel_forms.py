"""What convolutions make of their kernels, made once for a network that does not learn.

`winograd` and `spectral` turn a kernel into other matrices before they multiply by it, and
`layers.pointwise` joins several. While a network learns that is new with every step. Where it does
not, `Kept` computes them before the first batch and hands them in with every batch; they are two to
three times as many values as the kernels.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import jax

Forms = list[Any]  # in the order in which a network asks for them

_asked: contextvars.ContextVar[Callable[..., Any] | None] = contextvars.ContextVar(
  'asked', default=None
)


def of_kernel(make: Callable[[Any], Any], kernel: Any) -> Any:
  """`make(kernel)`, or what has been kept of it; `kernel`: an array, or several."""
  asked = _asked.get()
  return make(kernel) if asked is None else asked(make, kernel)


def active() -> bool:
  """Whether kernels' forms are being kept or handed in; nothing is differentiated then."""
  return _asked.get() is not None


class Kept:
  """`function(arrays, batch)` under `jax.jit`, called with batches only.

  `arrays` never change, so neither does what is made of the kernels among them; it is kept for the
  batches' shape of the last call. `options` are those of `jax.jit`.
  """

  def __init__(self, function: Callable[[Any, Any], Any], arrays: Any, **options: Any):
    self.arrays = arrays
    self._kept: tuple[Any, Forms] = (None, [])  # the batch's shape and what was made for it

    def make(arrays: Any, batch: Any) -> Forms:
      forms: Forms = []

      def keep(of: Callable[[Any], Any], kernel: Any) -> Any:
        forms.append(of(kernel))
        return forms[-1]

      with _asking(keep):
        function(arrays, batch)
      return forms

    def apply(arrays: Any, forms: Forms, batch: Any) -> Any:
      ready = iter(forms)
      with _asking(lambda of, kernel: next(ready)):
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
    of_shape, forms = self._kept  # read once: another thread may come with another shape
    if shape != of_shape:
      forms = self._make(self.arrays, batch)
      self._kept = (shape, forms)
    return forms


@contextlib.contextmanager
def _asking(asked: Callable[..., Any]) -> Iterator[None]:
  token = _asked.set(asked)
  try:
    yield
  finally:
    _asked.reset(token)
