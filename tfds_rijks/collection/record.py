"""A record of a collection: a picture, an object number, ties to other pictures, labels."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

Kind = Literal['label', 'labels', 'number', 'text']


@dataclasses.dataclass
class Record:
  """One picture; `image`, its path relative to the folder, is its name everywhere."""

  image: str
  path: Path
  object_number: str
  group: str = ''
  split: str = ''
  labels: dict[str, list[str]] = dataclasses.field(default_factory=dict)
  numbers: dict[str, float] = dataclasses.field(default_factory=dict)
  texts: dict[str, str] = dataclasses.field(default_factory=dict)
