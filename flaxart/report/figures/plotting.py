"""Matplotlib, imported when a figure is drawn; files are written whole or not at all."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tfds_rijks.errors import UserError

# Colours that colour-blind readers can distinguish (Okabe and Ito, 2008). Orange is for training
# from scratch, as in the paper's Figure 1; networks have theirs on their cards.
ORANGE = '#E69F00'
TASK_COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#56B4E9', '#444444')
_STYLE = {
  'font.size': 9,
  'axes.spines.top': False,
  'axes.spines.right': False,
  'axes.grid': True,
  'grid.color': '#e6e6e6',
  'grid.linewidth': 0.6,
  'axes.axisbelow': True,
  'legend.frameon': False,
  'svg.hashsalt': 'flaxart',  # the same file for the same numbers
  'figure.dpi': 100,
  'text.parse_math': False,  # settings and class names may hold dollar signs
}


def pyplot() -> Any:
  """`matplotlib.pyplot` without a display.

  Raises:
    UserError: Matplotlib is not installed.
  """
  try:
    import matplotlib
  except ImportError:
    raise UserError(
      "the report draws with Matplotlib, which is not installed; pip install 'flaxart[report]'"
    ) from None
  matplotlib.use('agg')
  import matplotlib.pyplot as plt

  return plt


@contextmanager
def figure(
  rows: int, columns: int, *, width: float, height: float, invented: bool = False, **keywords: Any
) -> Iterator[Any]:
  """A figure and its axes `[rows, columns]`, in inches, in the report's style."""
  plt = pyplot()
  with plt.rc_context(_STYLE):
    fig, axes = plt.subplots(
      rows, columns, figsize=(width, height), squeeze=False, layout='constrained', **keywords
    )
    if invented:
      fig.text(0.005, 0.005, 'invented objects', fontsize=7, color='#b00020')
    try:
      yield fig, axes
    finally:
      plt.close(fig)


def render(fig: Any, kind: str, *, dpi: int = 150) -> bytes:
  """The figure as `png` or `svg`, without a time stamp."""
  buffer = io.BytesIO()
  metadata = {'Date': None} if kind == 'svg' else {'Software': None}
  fig.savefig(buffer, format=kind, dpi=dpi, metadata=metadata)
  return buffer.getvalue()


def data_uri(data: bytes, kind: str) -> str:
  """A picture embedded in the page: `kind` is png, jpeg or svg+xml."""
  return f'data:image/{kind};base64,{base64.b64encode(data).decode()}'
