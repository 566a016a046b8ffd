"""Records and report of a prepared museum."""

from __future__ import annotations

import json
from pathlib import Path

import tensorflow_datasets as tfds

from tfds_rijks.rijksmuseum import configs


def records(data_dir: Path, config: str, split: str) -> list[dict]:
  """The records of a split, their pictures encoded."""
  return list(
    tfds.data_source(
      f'rijksmuseum/{config}',
      split=split,
      data_dir=str(data_dir),
      decoders={'image': tfds.decode.SkipDecoding()},
    )
  )


def report(data_dir: Path, config: str) -> dict:
  """The build report."""
  return json.loads(
    (data_dir / 'rijksmuseum' / config / configs.VERSION / 'build_report.json').read_text()
  )
