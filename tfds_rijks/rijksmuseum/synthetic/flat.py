"""Flat works: prints, drawings and paintings."""

from __future__ import annotations

import itertools

import numpy as np
from PIL import Image, ImageChops

from tfds_rijks.rijksmuseum.synthetic.canvas import GROUND, SCALE, Box, Canvas, mix, texture
from tfds_rijks.rijksmuseum.synthetic.makers import Colour


def draw_print(c: Canvas, subject: str) -> None:
  """A printed plate: margins of paper, a plate mark, one ink, the pattern as background."""
  c.body(c.polygon((0, 0, 1, 1), [(0, 0), (1, 0), (1, 1), (0, 1)]), light=0.3)
  m = float(c.rng.uniform(0.07, 0.12))
  box = (m, m, 1 - m, 1 - m - float(c.rng.uniform(0.02, 0.07)))
  plate = c.polygon(box, [(0, 0), (1, 0), (1, 1), (0, 1)])
  c.fill(plate, mix(GROUND[c.material], c.hand.tint, 0.6))
  c.pattern(c.polygon(box, [(0, 0), (1, 0), (1, 0.62), (0, 0.62)]), c.hand.ink)
  _scene(
    c, box, subject, sky=None, dark=c.hand.ink, light=mix(GROUND[c.material], c.hand.tint, 0.25)
  )
  c.stroke(box, [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)], c.hand.ink, 1.5)
  y = box[3] + (1 - box[3]) * 0.45  # the title below the plate
  for x in np.arange(m + 0.05, 1 - m - 0.1, 0.07):
    c.stroke(
      (0, 0, 1, 1),
      [(x, y), (x + float(c.rng.uniform(0.02, 0.05)), y)],
      mix(c.hand.ink, (90, 80, 70), 0.5),
    )


def draw_drawing(c: Canvas, subject: str) -> None:
  """A loose sheet, a little askew, with washes and pen strokes and no border."""
  c.image.paste((74, 72, 70), (0, 0, c.w, c.h))
  a, b = c.rng.uniform(0.02, 0.07, 2)
  sheet = c.polygon((0, 0, 1, 1), [(a, b), (1 - b, a), (1 - a, 1 - b), (b, 1 - a)])
  c.body(sheet, light=0.3)
  box = (0.16, 0.16, 0.84, 0.84)
  for _ in range(3):  # washes
    x, y = c.rng.uniform(0.2, 0.8, 2).tolist()
    wash = c.ellipse(box, x, y, float(c.rng.uniform(0.2, 0.38)), float(c.rng.uniform(0.12, 0.26)))
    c.fill(wash.point(lambda value: value * 3 // 5), c.hand.tint)
  c.pattern(c.ellipse(box, 0.5, 0.78, 0.5, 0.16), c.hand.ink)
  _scene(
    c,
    box,
    subject,
    sky=None,
    dark=c.hand.ink,
    light=mix(GROUND[c.material], c.hand.tint, 0.5),
    outline=True,
  )


def draw_painting(c: Canvas, subject: str) -> None:
  """Oil in a gilt frame, full of colour."""
  gold = mix((196, 150, 60), (120, 80, 30), float(c.rng.uniform(0, 0.4)))
  c.image.paste(gold, (0, 0, c.w, c.h))
  f = float(c.rng.uniform(0.10, 0.13))
  for share, colour in (
    (0.25, mix(gold, (255, 240, 180), 0.5)),
    (0.6, mix(gold, (50, 30, 10), 0.5)),
  ):
    e = f * share
    c.stroke((e, e, 1 - e, 1 - e), [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)], colour, 2)
  box = (f, f, 1 - f, 1 - f)
  inside = c.polygon(box, [(0, 0), (1, 0), (1, 1), (0, 1)])
  c.body(inside)
  c.fill(inside.point(lambda value: value * 4 // 5), c.hand.tint)
  c.pattern(
    c.polygon(box, [(0, 0), (1, 0), (1, 0.4), (0, 0.4)]),
    mix(c.hand.tint, (255, 250, 235), 0.35),
    step=0.1,
  )
  _scene(
    c,
    box,
    subject,
    sky=mix(c.hand.tint, (255, 245, 220), 0.4),
    dark=c.hand.ink,
    light=mix(c.hand.tint, (250, 235, 200), 0.65),
  )
  weave = Image.fromarray(
    (118 + texture('olieverf', (c.h // SCALE, c.w // SCALE), c.rng)).astype(np.uint8)
  )
  c.image.paste(
    ImageChops.soft_light(
      c.image, weave.resize((c.w, c.h), Image.Resampling.NEAREST).convert('RGB')
    ),
    mask=inside,
  )


def _scene(
  c: Canvas,
  box: Box,
  subject: str,
  *,
  sky: Colour | None,
  dark: Colour,
  light: Colour,
  outline: bool = False,
) -> None:
  """The scene of a flat work, in two colours; `outline` leaves it as strokes."""

  def shape(points: list[tuple[float, float]], colour: Colour) -> None:
    if not outline:
      c.fill(c.polygon(box, points), colour)
    c.stroke(box, [*points, points[0]], dark, 1.2)

  def disc(x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
    c.fill(c.ellipse(box, x, y, rx, ry), dark)
    c.fill(c.ellipse(box, x, y, rx * 0.9, ry * 0.9), colour)

  s = float(c.rng.uniform(-0.1, 0.1))
  horizon = float(c.rng.uniform(0.58, 0.68))
  if subject != 'portret':
    shape(
      [(0, horizon), (1, horizon + s * 0.4), (1, 0.995), (0, 0.995)],
      mix(dark, light, 0.35 if sky else 0.6),
    )
  if subject == 'landschap':  # a mill, and the sun
    disc(0.75 - s, 0.2, 0.09, 0.09, sky or light)
    x = 0.38 + s
    shape(
      [(x - 0.09, horizon + 0.06), (x - 0.05, 0.42), (x + 0.05, 0.42), (x + 0.09, horizon + 0.06)],
      light,
    )
    turn = float(c.rng.uniform(0, np.pi / 2))
    for k in range(4):
      dx, dy = 0.25 * np.cos(turn + k * np.pi / 2), 0.25 * np.sin(turn + k * np.pi / 2)
      c.stroke(box, [(x, 0.4), (x + dx, 0.4 + dy)], dark, 3)
  elif subject == 'schip':
    x = 0.5 + s
    shape([(x - 0.3, 0.6), (x + 0.32, 0.58), (x + 0.22, 0.76), (x - 0.22, 0.76)], dark)
    shape([(x + 0.02, 0.14), (x + 0.3, 0.54), (x + 0.02, 0.54)], light)
    shape([(x - 0.03, 0.2), (x - 0.26, 0.54), (x - 0.03, 0.54)], light)
  elif subject == 'portret':
    x = 0.5 + s * 0.5
    shape([(x - 0.36, 0.99), (x - 0.26, 0.68), (x + 0.26, 0.68), (x + 0.36, 0.99)], dark)
    disc(x, 0.64, 0.21, 0.07, (244, 240, 230))  # the ruff
    disc(x, 0.42, 0.15, 0.21, mix(light, (236, 190, 150), 0.6))
    shape([(x - 0.22, 0.3), (x - 0.12, 0.12), (x + 0.12, 0.12), (x + 0.22, 0.3)], dark)
  elif subject == 'stad':
    edges = np.linspace(0.06, 0.94, int(c.rng.integers(4, 6)))
    for k, (left, right) in enumerate(itertools.pairwise(edges)):
      top = float(c.rng.uniform(0.24, 0.42))
      shape(
        [
          (left, horizon + 0.08),
          (left, top + 0.1),
          ((left + right) / 2, top),
          (right, top + 0.1),
          (right, horizon + 0.08),
        ],
        light if k % 2 else mix(dark, light, 0.55),
      )
      c.stroke(box, [((left + right) / 2, top + 0.16), ((left + right) / 2, top + 0.24)], dark, 3)
  else:  # a still life: bowl and fruit
    for k in range(3):
      disc(
        0.34 + 0.15 * k + s * 0.3,
        0.5 - 0.05 * (k == 1),
        0.09,
        0.09,
        (light, mix(light, dark, 0.4))[k % 2],
      )
    shape([(0.2, 0.54), (0.8, 0.54), (0.66, 0.76), (0.34, 0.76)], mix(dark, light, 0.2))
