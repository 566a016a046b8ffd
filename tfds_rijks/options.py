"""What `prepare` needs from a dataset; each dataset package implements it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

import tensorflow_datasets as tfds


class Preparation(Protocol):
  """A checked dataset name, source folder and options, which make the TFDS builder.

  Attributes:
    dataset: the full TFDS name, 'rijksmuseum/multitask' or 'collection'.
    options: every option that decides the content of the build, as JSON values. image_size: short
    side in pixels of stored pictures; None keeps the files. max_pixels: largest height times width
    of a picture. processes: that read pictures; None: one per core. summary: of the input, printed
    before the estimate; '' for none. hidden: files below the source that are input although their
    names start with a dot. KEPT: folders of the data_dir in which builds keep files for later; not
    input.
  """

  KEPT: ClassVar[tuple[str, ...]]

  dataset: str
  options: Mapping[str, Any]
  image_size: int | None
  max_pixels: int
  processes: int | None
  summary: str
  hidden: list[Path]

  def __init__(self, config: str, manual_dir: Path, **options: Any): ...

  @staticmethod
  def add_arguments(parser: argparse._ArgumentGroup) -> None:
    """Adds a flag for each option; one that is not given must be absent (`SUPPRESS`)."""

  def place(self, data_dir: Path, *, dry_run: bool) -> None:
    """Sets where the dataset will be; in a dry run nothing must be written there."""

  def pictures(self) -> list[Path]:
    """The pictures that a build would read, for the estimate."""
    raise NotImplementedError

  def builder(self, data_dir: Path) -> tfds.core.DatasetBuilder:
    """The TFDS builder; its `download_and_prepare` leaves `build_report.json` beside the data."""
    raise NotImplementedError
