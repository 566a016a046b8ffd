"""Copies as in a museum, made of drawn pictures, to measure the search for copies."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

HOW = (
  'jpeg 95',
  'jpeg 88',
  'jpeg 60',
  'size 50%',
  'size 70%',
  'size 90%',
  'tint',
  'crop 5%',
  'crop of one edge',
  'turn left',
  'turn right',
)
CROP = 0.05  # of a side, at each cropped edge
TINT = (0.85, 1.0, 1.1)  # factors of the three colours, in any order


def copied(data: bytes, how: str, rng: np.random.Generator) -> bytes:
  """An encoded picture -> a copy of it as JPEG; `how` is one of `HOW`."""
  picture = Image.open(io.BytesIO(data)).convert('RGB')
  kind, _, much = how.partition(' ')
  quality = int(much) if kind == 'jpeg' else 88
  if kind == 'size':
    share = int(much.rstrip('%')) / 100
    size = round(picture.width * share), round(picture.height * share)
    picture = picture.resize(size, Image.Resampling.BICUBIC)
  elif kind == 'tint':
    tinted = np.asarray(picture, np.float32) * rng.permutation(TINT)
    picture = Image.fromarray(np.clip(tinted, 0, 255).astype(np.uint8))
  elif kind == 'crop':
    edges = np.ones(4) if much == '5%' else np.eye(4)[rng.integers(4)]
    left, top, right, bottom = edges * CROP
    w, h = picture.size
    picture = picture.crop(
      (round(w * left), round(h * top), round(w * (1 - right)), round(h * (1 - bottom)))
    )
  elif kind == 'turn':
    turns = {'left': Image.Transpose.ROTATE_90, 'right': Image.Transpose.ROTATE_270}
    picture = picture.transpose(turns[much])
  out = io.BytesIO()
  picture.save(out, 'JPEG', quality=quality)
  return out.getvalue()
