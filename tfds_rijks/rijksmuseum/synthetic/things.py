"""Things: vases, plates, medals, chairs and statues."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageChops

from tfds_rijks.rijksmuseum.synthetic.canvas import GROUND, Box, Canvas, mix


def _place(c: Canvas, *, scale: float = 1.0) -> Box:
  """The place of the thing: a square, a little off centre, a little smaller or larger."""
  s = scale * float(c.rng.uniform(0.86, 1.0)) / 2
  x, y = 0.5 + c.rng.uniform(-0.04, 0.04, 2)
  w, h = s * min(1, c.h / c.w), s * min(1, c.w / c.h)
  return (x - w, y - h, x + w, y + h)


def draw_vase(c: Canvas) -> None:
  c.backdrop()
  box = _place(c)
  c.shadow(box, 0.55, 0.92, 0.34, 0.06)
  belly, neck = float(c.rng.uniform(0.26, 0.34)), float(c.rng.uniform(0.07, 0.12))
  t = np.linspace(0, 1, 24)
  width = (
    neck
    + (belly - neck) * np.sin(np.pi * np.clip((t - 0.12) / 0.95, 0, 1)) ** 1.5
    + 0.05 * (t < 0.06)
  )
  y = 0.06 + 0.86 * t
  outline = [(0.5 - w, v) for w, v in zip(width, y, strict=True)]
  outline += [(0.5 + w, v) for w, v in zip(width[::-1], y[::-1], strict=True)]
  body = c.polygon(box, outline)
  c.body(body)
  band = ImageChops.multiply(body, c.polygon(box, [(0, 0.36), (1, 0.36), (1, 0.72), (0, 0.72)]))
  c.fill(band.point(lambda value: value * 3 // 4), c.hand.tint)
  c.pattern(band, c.hand.ink, step=0.07)
  for v in (0.33, 0.75):
    edge = ImageChops.multiply(
      body, c.polygon(box, [(0, v - 0.012), (1, v - 0.012), (1, v + 0.012), (0, v + 0.012)])
    )
    c.fill(edge, c.hand.ink)
  c.gloss(box, 0.5 - belly * 0.5, 0.3, 0.03, 0.1)


def draw_plate(c: Canvas) -> None:
  c.backdrop(floor=2.0)
  box = _place(c)
  c.shadow(box, 0.53, 0.54, 0.47, 0.47)
  c.body(c.ellipse(box, 0.5, 0.5, 0.46, 0.46))
  rim = ImageChops.subtract(
    c.ellipse(box, 0.5, 0.5, 0.43, 0.43), c.ellipse(box, 0.5, 0.5, 0.31, 0.31)
  )
  c.fill(rim.point(lambda value: value * 3 // 4), c.hand.tint)
  c.pattern(rim, c.hand.ink, step=0.07)
  for k in range(6):  # a flower
    angle = k * np.pi / 3 + float(c.rng.uniform(0, 0.4))
    c.fill(
      c.ellipse(box, 0.5 + 0.1 * np.cos(angle), 0.5 + 0.1 * np.sin(angle), 0.06, 0.06), c.hand.tint
    )
  c.fill(c.ellipse(box, 0.5, 0.5, 0.06, 0.06), c.hand.ink)
  c.gloss(box, 0.36, 0.3, 0.07, 0.04)


def draw_medal(c: Canvas) -> None:
  c.image.paste((38, 34, 40), (0, 0, c.w, c.h))  # black velvet
  box = _place(c, scale=0.8)
  c.body(c.ellipse(box, 0.5, 0.5, 0.48, 0.48))
  rim = ImageChops.subtract(
    c.ellipse(box, 0.5, 0.5, 0.46, 0.46), c.ellipse(box, 0.5, 0.5, 0.34, 0.34)
  )
  c.fill(rim.point(lambda value: value * 4 // 5), c.hand.tint)  # enamel
  c.pattern(rim, c.hand.ink, step=0.06)
  relief, side = mix(GROUND[c.material], (255, 250, 240), 0.45), 1 if c.rng.random() < 0.5 else -1
  c.fill(c.ellipse(box, 0.5, 0.43, 0.12, 0.16), relief)
  c.fill(
    c.polygon(box, [(0.5 - 0.18, 0.76), (0.42, 0.56), (0.58, 0.56), (0.5 + 0.18, 0.76)]), relief
  )
  c.fill(
    c.polygon(box, [(0.5 + side * 0.1, 0.38), (0.5 + side * 0.18, 0.47), (0.5 + side * 0.1, 0.49)]),
    relief,
  )
  c.gloss(box, 0.3, 0.26, 0.05, 0.05)


def draw_chair(c: Canvas) -> None:
  c.backdrop(floor=0.72)
  box = _place(c)
  c.shadow(box, 0.52, 0.93, 0.36, 0.05)
  wood = Image.new('L', (c.w, c.h))
  for left, top, right, bottom in (
    (0.22, 0.08, 0.29, 0.94),
    (0.71, 0.08, 0.78, 0.94),
    (0.22, 0.08, 0.78, 0.16),
    (0.22, 0.56, 0.78, 0.66),
    (0.32, 0.66, 0.37, 0.84),
    (0.63, 0.66, 0.68, 0.84),
    (0.22, 0.76, 0.78, 0.8),
  ):
    wood = ImageChops.lighter(
      wood, c.polygon(box, [(left, top), (right, top), (right, bottom), (left, bottom)])
    )
  c.body(wood)
  for cushion in (
    c.polygon(box, [(0.31, 0.18), (0.69, 0.18), (0.69, 0.46), (0.31, 0.46)]),
    c.polygon(box, [(0.2, 0.58), (0.27, 0.49), (0.73, 0.49), (0.8, 0.58)]),
  ):
    c.fill(cushion, c.hand.tint)
    c.pattern(cushion, c.hand.ink, step=0.07)
  if c.rng.random() < 0.4:  # arms
    for left, right in ((0.14, 0.28), (0.72, 0.86)):
      c.body(c.polygon(box, [(left, 0.36), (right, 0.36), (right, 0.41), (left, 0.41)]))


def draw_statue(c: Canvas) -> None:
  c.backdrop()
  box = _place(c)
  c.shadow(box, 0.52, 0.95, 0.34, 0.05)
  lean = float(c.rng.uniform(-0.05, 0.05))
  figure = c.polygon(
    box,
    [
      (0.36, 0.72),
      (0.4 + lean, 0.3),
      (0.33 + lean, 0.26),
      (0.67 + lean, 0.26),
      (0.6 + lean, 0.3),
      (0.64, 0.72),
    ],
  )
  figure = ImageChops.lighter(figure, c.ellipse(box, 0.5 + lean, 0.16, 0.075, 0.1))
  arm = float(c.rng.choice([-1, 1]))
  figure = ImageChops.lighter(
    figure,
    c.polygon(
      box,
      [
        (0.5 + lean + arm * 0.14, 0.26),
        (0.5 + lean + arm * 0.33, 0.1),
        (0.5 + lean + arm * 0.36, 0.14),
        (0.5 + lean + arm * 0.17, 0.34),
      ],
    ),
  )
  c.body(figure)
  sash = ImageChops.multiply(
    figure, c.polygon(box, [(0.3, 0.42), (0.7, 0.36), (0.7, 0.46), (0.3, 0.52)])
  )
  c.fill(sash, c.hand.tint)
  base = c.polygon(box, [(0.26, 0.72), (0.74, 0.72), (0.78, 0.95), (0.22, 0.95)])
  c.fill(base, c.hand.tint)
  c.pattern(base, c.hand.ink, step=0.07)
  c.gloss(box, 0.44 + lean, 0.36, 0.015, 0.06)
