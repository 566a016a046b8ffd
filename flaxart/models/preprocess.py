"""Preprocessing as a network was trained with: size, channel order, offset and scale."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from tfds_rijks import strict_json
from tfds_rijks.errors import UserError

_RESAMPLING = {
  'nearest': Image.Resampling.NEAREST,
  'bilinear': Image.Resampling.BILINEAR,
  'bicubic': Image.Resampling.BICUBIC,
  'lanczos': Image.Resampling.LANCZOS,
}
_FITS = ('crop', 'squash', 'pad')
_ORDERS = ('rgb', 'bgr')
WHITE = (255, 255, 255)


@dataclasses.dataclass(frozen=True)
class Preprocess:
  """The preprocessing of a network; stored with its weights.

  `size` is the side of the square input in pixels. `fit` says how a picture becomes a square:
  `crop` (short side to `resize`, middle `size` x `size`), `squash` (both sides to `size`, the
  aspect ratio is lost), `pad` (long side to `size`, white borders). Then each channel becomes
  `(x - mean) * scale`, x from 0 to 255, channels and constants in `channel_order`.
  """

  size: int
  channel_order: str = 'rgb'
  mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
  scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
  interpolation: str = 'bilinear'
  fit: str = 'squash'
  resize: int = 0  # short side before the crop; 0 = size

  def __post_init__(self) -> None:
    for field, allowed in (
      ('channel_order', _ORDERS),
      ('fit', _FITS),
      ('interpolation', tuple(_RESAMPLING)),
    ):
      if getattr(self, field) not in allowed:
        raise UserError(
          f'preprocess.{field}: found {getattr(self, field)!r}, '
          f'expected one of {", ".join(allowed)}'
        )
    for field in ('mean', 'scale'):
      values = tuple(float(v) for v in getattr(self, field))
      if len(values) != 3 or not np.all(np.isfinite(values)):
        raise UserError(f'preprocess.{field}: found {values}, expected three finite numbers')
      object.__setattr__(self, field, values)
    if self.size < 1 or self.resize < 0 or 0 < self.resize < self.size:
      raise UserError(
        f'preprocess.size: found size {self.size} and resize {self.resize}, '
        'expected a positive size, and resize 0 or at least size'
      )

  def apply(self, images: jax.Array | np.ndarray, *, dtype: Any = jnp.float32) -> jax.Array:
    """`[B, H, W, 3]` uint8 RGB -> the network's input, same shape; any H and W."""
    x = jnp.asarray(images, dtype)
    if self.channel_order == 'bgr':
      x = x[..., ::-1]
    return (x - jnp.array(self.mean, dtype)) * jnp.array(self.scale, dtype)

  def square(self, image: Image.Image) -> np.ndarray:
    """A picture of any size -> `[size, size, 3]` uint8 RGB, as `fit` says.

    Pillow's antialiased resize, which torchvision's `Resize` and Keras's `load_img` also use on
    decoded pictures; sides and crop offsets are rounded as in torchvision.
    """
    image = image.convert('RGB')
    how = _RESAMPLING[self.interpolation]
    if self.fit == 'squash':
      return np.asarray(image.resize((self.size, self.size), how))
    width, height = image.size
    if self.fit == 'crop':
      short = self.resize or self.size
      ratio = short / min(width, height)
      # Truncated, not rounded: torchvision.transforms.functional._compute_resized_output_size.
      sides = (
        (short, int(short * height / width))
        if width <= height
        else (int(short * width / height), short)
      )
      image = image.resize(sides, how) if ratio != 1 else image
      left, top = (round((n - self.size) / 2.0) for n in image.size)
      return np.asarray(image.crop((left, top, left + self.size, top + self.size)))
    ratio = self.size / max(width, height)
    image = image.resize((max(1, round(width * ratio)), max(1, round(height * ratio))), how)
    canvas = Image.new('RGB', (self.size, self.size), WHITE)
    canvas.paste(image, ((self.size - image.width) // 2, (self.size - image.height) // 2))
    return np.asarray(canvas)

  def to_json(self) -> str:
    """One line of JSON."""
    return json.dumps(dataclasses.asdict(self))

  @classmethod
  def from_json(cls, text: str) -> Preprocess:
    """The inverse of `to_json`; refuses unknown or missing fields."""
    try:
      fields = strict_json.parse(text)
      known = {f.name for f in dataclasses.fields(cls)}
      if not isinstance(fields, dict) or set(fields) != known:
        raise UserError(f'preprocess: found {text[:200]}, expected fields {sorted(known)}')
      values: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()
      }
      return cls(**values)
    except (ValueError, TypeError) as error:
      raise UserError(
        f'preprocess: {text[:200]!r} cannot be read ({error}); convert the weights again'
      ) from None


def caffe(size: int = 224) -> Preprocess:
  """Keras's VGG19 and ResNet50: BGR minus ImageNet's mean (`imagenet_utils.py`, mode `caffe`)."""
  return Preprocess(size, channel_order='bgr', mean=(103.939, 116.779, 123.68))


def plus_minus_one(size: int = 299, **fields: Any) -> Preprocess:
  """Keras's Inception-V3 and Xception: RGB to [-1, 1] (`imagenet_utils.py`, mode `tf`)."""
  return Preprocess(size, mean=(127.5,) * 3, scale=(1 / 127.5,) * 3, **fields)


def imagenet_statistics(size: int = 224, **fields: Any) -> Preprocess:
  """torchvision: RGB, ImageNet's mean and deviation (`transforms/_presets.py`)."""
  mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
  return Preprocess(
    size,
    mean=tuple(255 * m for m in mean),  # type: ignore[arg-type]
    scale=tuple(1 / (255 * d) for d in deviation),  # type: ignore[arg-type]
    **fields,
  )
