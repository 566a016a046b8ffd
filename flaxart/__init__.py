"""flaxart: recognise the artist, the material and the type of museum objects, in JAX and Flax.

`flaxart.load(workdir)` gives a finished run ready to call, `flaxart.load_trunk(file)` a converted
trunk. Both are imported when used: importing `flaxart` itself costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from flaxart.net import load as load
  from flaxart.net import load_trunk as load_trunk

__version__ = '0.2.0'
__all__ = ['__version__', 'load', 'load_trunk']
_LAZY = {'load': 'flaxart.net', 'load_trunk': 'flaxart.net'}


def __getattr__(name: str) -> Any:
  if name not in _LAZY:
    raise AttributeError(f'module flaxart has no attribute {name!r}')
  import importlib

  return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
  return __all__
