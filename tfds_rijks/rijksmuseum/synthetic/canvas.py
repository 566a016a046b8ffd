"""A picture in progress: shapes in unit coordinates, with colours, patterns and materials."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from tfds_rijks.rijksmuseum.synthetic.makers import Colour

PATTERNS = ('lines', 'waves', 'cross', 'dots')
SCALE = 2  # drawn twice as large and reduced: smooth edges in little time

GROUND: dict[str, Colour] = {
  'papier': (240, 232, 212),
  'perkament': (206, 176, 118),
  'olieverf': (86, 66, 46),
  'porselein': (250, 250, 252),
  'faience': (222, 222, 196),
  'zilver': (178, 184, 192),
  'brons': (92, 104, 74),
  'hout': (146, 92, 46),
}

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Hand:
  """The visible habit of a maker: two colours and a pattern."""

  tint: Colour
  ink: Colour
  pattern: str


class Canvas:
  """A picture in progress; shapes are in unit coordinates inside a box."""

  def __init__(self, size: tuple[int, int], *, material: str, hand: Hand, rng: np.random.Generator):
    self.w, self.h = size[0] * SCALE, size[1] * SCALE
    self.material, self.hand, self.rng = material, hand, rng
    self.image = Image.new('RGB', (self.w, self.h), (128, 128, 128))
    self.line_px = max(2, round(self.w * 0.008))

  def point(self, box: Box, x: float, y: float) -> tuple[float, float]:
    """Unit coordinates inside `box` to pixels."""
    return ((box[0] + (box[2] - box[0]) * x) * self.w, (box[1] + (box[3] - box[1]) * y) * self.h)

  def polygon(self, box: Box, points: list[tuple[float, float]]) -> Image.Image:
    """A mask of the polygon."""
    mask = Image.new('L', (self.w, self.h))
    ImageDraw.Draw(mask).polygon([self.point(box, x, y) for x, y in points], fill=255)
    return mask

  def ellipse(self, box: Box, x: float, y: float, rx: float, ry: float) -> Image.Image:
    """A mask of the ellipse."""
    mask = Image.new('L', (self.w, self.h))
    ImageDraw.Draw(mask).ellipse(
      [*self.point(box, x - rx, y - ry), *self.point(box, x + rx, y + ry)], fill=255
    )
    return mask

  def fill(self, mask: Image.Image, colour: Colour) -> None:
    box = mask.getbbox()  # pasting only this part takes a fifth of the time
    if box:
      self.image.paste(colour, box, mask=mask.crop(box))

  def stroke(
    self, box: Box, points: list[tuple[float, float]], colour: Colour, width: float = 1
  ) -> None:
    ImageDraw.Draw(self.image).line(
      [self.point(box, x, y) for x, y in points],
      fill=colour,
      width=max(1, round(width * self.line_px)),
      joint='curve',
    )

  def pattern(self, mask: Image.Image, colour: Colour, *, step: float = 0.045) -> None:
    """Fills `mask` with the maker's pattern; `step` is its period as a share of the width."""
    period = max(5.0, step * self.w * float(self.rng.uniform(0.9, 1.1)))
    box = mask.getbbox()
    if not box:
      return
    shape = (box[3] - box[1], box[2] - box[0])
    u = np.arange(shape[1], dtype=np.float32)[None, :] * (2 * np.pi / period)
    v = np.arange(shape[0], dtype=np.float32)[:, None] * (2 * np.pi / period)
    if self.hand.pattern == 'lines':
      on = np.broadcast_to(np.sin(v) > 0.1, shape)
    elif self.hand.pattern == 'waves':
      on = np.sin(v + 1.6 * np.sin(u / 2)) > 0.2
    elif self.hand.pattern == 'cross':
      on = (np.abs(np.sin((u + v) / 2)) < 0.32) | (np.abs(np.sin((u - v) / 2)) < 0.32)
    else:
      on = np.sin(u) * np.sin(v) > 0.3
    inked = ImageChops.multiply(mask.crop(box), Image.fromarray(on.astype(np.uint8) * 255))
    self.image.paste(colour, box, mask=inked)

  def body(self, mask: Image.Image, *, light: float = 1.0) -> None:
    """Fills `mask` with the object's material: its colour, texture and gloss, lit from the left."""
    box = mask.getbbox()
    if not box:
      return
    h, w = (box[3] - box[1] + 1) // SCALE, (box[2] - box[0] + 1) // SCALE
    shade = np.linspace(1 + 0.12 * light, 1 - 0.28 * light, w, dtype=np.float32)[None, :, None]
    pixels = np.array(GROUND[self.material], np.float32) * shade
    pixels = pixels + texture(self.material, (h, w), self.rng)[..., None]
    surface = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    surface = surface.resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.NEAREST)
    self.image.paste(surface, box, mask=mask.crop(box))

  def gloss(self, box: Box, x: float, y: float, rx: float, ry: float) -> None:
    """A highlight on glazed and metal surfaces."""
    strength = {'porselein': 255, 'zilver': 220, 'faience': 90, 'brons': 70}.get(self.material, 0)
    spot = self.ellipse(box, x, y, rx, ry).point(lambda value: value * strength // 255)
    self.fill(spot, (255, 255, 255))

  def backdrop(self, floor: float = 0.8) -> None:
    """The photographer's grey paper, with a floor below `floor`."""
    grey = float(self.rng.uniform(0.85, 1.1))
    rows = (
      np.where(
        np.arange(self.h) < floor * self.h,
        np.linspace(108, 150, self.h),
        np.linspace(120, 96, self.h),
      )
      * grey
    )
    column = np.repeat(np.clip(rows, 0, 255).astype(np.uint8)[:, None, None], 3, 2)
    self.image.paste(Image.fromarray(column).resize((self.w, self.h), Image.Resampling.NEAREST))

  def shadow(self, box: Box, x: float, y: float, rx: float, ry: float) -> None:
    soft = self.ellipse(box, x, y, rx, ry).reduce(4).filter(ImageFilter.BoxBlur(3))
    self.fill(soft.resize((self.w, self.h)).point(lambda value: value // 3), (20, 18, 16))

  def finish(self) -> Image.Image:
    """Reduces to the final size and adds the grain of a photograph."""
    pixels = np.asarray(self.image.reduce(SCALE), np.int16)
    grain = self.rng.integers(-5, 6, pixels.shape[:2], dtype=np.int16)[..., None]
    return Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))


def texture(material: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
  """Additive texture [H, W]: mottling, weave, grain or crackle."""
  h, w = shape
  y, x = np.arange(h)[:, None], np.arange(w)[None, :]
  if material == 'hout':
    bend = 6 * np.sin(y / h * float(rng.uniform(2, 5)))
    return 18 * np.sin((x + bend) / w * float(rng.uniform(90, 130))) + 0 * y
  if material == 'olieverf':
    return 9.0 * ((x // 2 + y // 2) % 2) - 4.5
  coarse = {'perkament': 26, 'brons': 22, 'papier': 6, 'faience': 8}.get(material, 2)
  blobs = Image.fromarray(rng.integers(0, 255, (9, 9), dtype=np.uint8)).resize((w, h))
  relief = (np.asarray(blobs, np.float32) / 255 - 0.5) * 2 * coarse
  if material == 'zilver':  # brushed bands of light
    relief = relief + 34 * np.sin((x + 0.6 * y) / w * 14)
  if material == 'faience':  # crackle in the tin glaze
    relief = relief - 26 * (np.abs(np.sin(x / w * 40 + 2 * np.sin(y / h * 17))) < 0.06)
  return relief


def mix(a: Colour, b: Colour, share: float) -> Colour:
  """`share` of `b` in `a`."""
  return tuple(round(p * (1 - share) + q * share) for p, q in zip(a, b, strict=True))  # type: ignore[return-value]
