"""What `prepare` must know of a dataset before it builds it; each dataset package has one."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

import tensorflow_datasets as tfds


class Preparation(Protocol):
  """A dataset name, a source folder and options, checked; from it comes the TFDS builder.

  Attributes:
    dataset: the full TFDS name, 'rijksmuseum/multitask' or 'collection'.
    options: every option that decides what the build holds, as JSON values.
    image_size: short side in pixels of what is stored; None for the files as they are.
    max_pixels: height times width that a picture may have.
    processes: that read pictures; None: one a core.
    summary: of what was read, to be printed before the estimate; '' for nothing.
    hidden: files below the source that are input although their names begin with a dot.
    KEPT: folders of the data_dir in which builds leave what they may need again; no input.
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
    """Says where the dataset will lie; in a dry run nothing may be written there."""

  def pictures(self) -> list[Path]:
    """The pictures that a build would read, for the estimate."""
    raise NotImplementedError

  def builder(self, data_dir: Path) -> tfds.core.DatasetBuilder:
    """The TFDS builder; its `download_and_prepare` leaves `build_report.json` beside the data."""
    raise NotImplementedError
