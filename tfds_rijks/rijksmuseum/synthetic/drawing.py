"""The pictures of the synthetic museum, drawn with Pillow so that every label is visible.

The type decides the composition (a plate mark, a loose sheet, a gilt frame, a vase, a plate, a
medal, a chair, a statue), the material the ground or body (cream paper, mottled vellum, oil with a
canvas weave, white porcelain with a highlight, crackled faience, silver, bronze, grained wood), the
maker the two colours and the pattern that fill surfaces. Patterns look the same mirrored, because
training flips.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from tfds_rijks.rijksmuseum.synthetic import flat, things
from tfds_rijks.rijksmuseum.synthetic.canvas import Canvas, Hand

_FLAT = {'prent': flat.draw_print, 'tekening': flat.draw_drawing, 'schilderij': flat.draw_painting}
_THINGS = {
  'vaas': things.draw_vase,
  'bord': things.draw_plate,
  'penning': things.draw_medal,
  'stoel': things.draw_chair,
  'beeld': things.draw_statue,
}


def draw(
  kind: str,
  *,
  material: str,
  hand: Hand,
  subject: str,
  size: tuple[int, int],
  rng: np.random.Generator,
) -> Image.Image:
  """One object as an RGB picture of `size` (width, height) pixels; a pure function."""
  canvas = Canvas(size, material=material, hand=hand, rng=rng)
  if kind in _FLAT:
    _FLAT[kind](canvas, subject)
  else:
    _THINGS[kind](canvas)
  return canvas.finish()
