"""Small collections on disk, for the tests of the builder `collection`."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from tfds_rijks.collection import Builder
from tfds_rijks.prepare import prepare

VERSION = str(Builder.VERSION)  # of a folder that is prepared


def draw(path: Path, seed: int, *, size: tuple[int, int] = (24, 20), **options: Any) -> Path:
  """A picture of noise in the format of its ending; equal seeds give equal pixels."""
  path.parent.mkdir(parents=True, exist_ok=True)
  pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
  Image.fromarray(pixels).save(path, **options)
  return path


def write_table(
  path: Path,
  columns: Sequence[str],
  rows: Sequence[Sequence[Any]],
  *,
  delimiter: str = ',',
  encoding: str = 'utf-8',
) -> Path:
  text = io.StringIO()
  csv.writer(text, delimiter=delimiter, lineterminator='\n').writerows([columns, *rows])
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(text.getvalue().encode(encoding))
  return path


def write_collection(folder: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Path:
  """Draws a picture for each row (its name is the first cell) and writes metadata.csv."""
  for i, row in enumerate(rows):
    draw(folder / str(row[0]), i)
  write_table(folder / 'metadata.csv', columns, rows)
  return folder


def simple(folder: Path, n: int = 60) -> Path:
  """Pictures 00.png ... with an artist (two of them) and a type."""
  rows = [
    (f'{i:02d}.png', ['Ann', 'Bob'][i % 2], ['bowl', 'coin', 'coin'][i % 3]) for i in range(n)
  ]
  return write_collection(folder, ['image', 'artist', 'type'], rows)


def build(source: Path, **options: Any) -> Path:
  """Prepares `source` beside itself, in this process."""
  options = {'min_per_class': 1, 'processes': 1, **options}
  return prepare('collection', manual_dir=source, data_dir=source.parent / 'prepared', **options)


def records(path: Path) -> list[dict[str, Any]]:
  """All records with texts and class names instead of bytes and ids, and their split."""
  builder = tfds.builder_from_directory(str(path))
  found = []
  for split in builder.info.splits:
    source = builder.as_data_source(split, decoders={'image': tfds.decode.SkipDecoding()})
    for record in source:
      plain: dict[str, Any] = {'split': split}
      for name, value in record.items():
        feature = builder.info.features[name]
        if isinstance(feature, tfds.features.Text):
          plain[name] = value.decode()
        elif isinstance(feature, tfds.features.ClassLabel):
          plain[name] = feature.int2str(int(value)) if value >= 0 else None
        elif isinstance(feature, tfds.features.Sequence):
          plain[name] = [feature.feature.int2str(int(v)) for v in value]
        else:
          plain[name] = value
      found.append(plain)
  return sorted(found, key=lambda record: record['object_number'])
